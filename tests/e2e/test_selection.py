"""Section 5 of the contract: which model a job gets, and what a throttle means for others."""

import functools
import re
import time

import pytest

from services import PRIMARY, SECOND, THIRD
from support import free_port, stays, until

THROTTLE = {"do": "throttle"}


@pytest.fixture
def worker(worker):
    """Pacing has tests of its own."""
    return functools.partial(worker, HEADGATE_POLICY="v2")


def job(name, **fields):
    return {"id": name, "content": f"mark-{name}", **fields}


def hint(redis, model, what):
    return f"headgate:{{m:{model}}}:{what}"


def run(redis, name, timeout=10, **fields):
    redis.push(job(name, **fields))
    return redis.wait_result(name, timeout)


def tried(result):
    return [call["model"] for call in result["calls"]]


def stats_of(process, model):
    models = process.get("/model_stats").json()["stats"]["models"]
    return next(m for m in models if m["id"] == model)


@pytest.mark.parametrize(
    ("fault", "outcome", "status"),
    [
        ({"do": "throttle"}, "throttled", 429),
        ({"do": "status", "status": 500, "code": "InternalServerException"}, "transient", 500),
        ({"do": "status", "status": 503, "code": "ServiceUnavailableException"}, "transient", 503),
        ({"do": "status", "status": 502, "code": None}, "transient", 502),
        ({"do": "status", "status": 404, "code": "ResourceNotFoundException",
          "message": "Model not found"}, "model_config", 404),
        ({"do": "close"}, "transient", None),
        ({"do": "reset"}, "transient", None),
        ({"do": "cut"}, "transient", None),
        ({"do": "garbage"}, "transient", None),
        ({"do": "html"}, "transient", 200),
        ({"do": "redirect", "location": "http://127.0.0.1:9/"}, None, 307),
        ({"do": "text", "text": "I can not help with that."}, "bad_output", 200),
        ({"do": "text", "text": '{"feedback_items":7}'}, "bad_output", 200),
        ({"do": "empty"}, "bad_output", 200),
        ({"do": "body", "status": 200, "body": "{}"}, None, 200),
    ],
    ids=lambda value: value["do"] if isinstance(value, dict) else None,
)
def test_a_failed_call_sends_the_job_to_its_next_model(redis, sim, worker, fault, outcome, status):
    worker()
    sim.script(fault, model=PRIMARY)
    result = run(redis, "fallback")
    assert result["state"] == "succeeded"
    assert (result["model"], result["primary"], result["attempt"]) == (SECOND, False, 1)
    assert tried(result) == [PRIMARY, SECOND]
    first, second = result["calls"]
    assert first["outcome"] == outcome or outcome is None
    assert first["outcome"] != "ok"
    assert first["status"] == status or status is None
    assert second["outcome"] == "ok"


def test_a_model_that_hangs_is_left_after_the_call_timeout(redis, sim, worker):
    worker(HEADGATE_CALL_TIMEOUT=0.5)
    sim.script({"do": "hang"}, model=PRIMARY)
    result = run(redis, "hung")
    assert (result["state"], result["model"]) == ("succeeded", SECOND)
    assert result["calls"][0]["outcome"] == "timeout"
    assert 400 <= result["calls"][0]["ms"] < 2000


def test_a_model_that_drips_is_left_after_the_call_timeout(redis, sim, worker):
    worker(HEADGATE_CALL_TIMEOUT=0.5)
    sim.script({"do": "drip", "byte_ms": 20}, model=PRIMARY)
    result = run(redis, "dripped")
    assert (result["state"], result["model"]) == ("succeeded", SECOND)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_that_is_too_large_is_cut_off(redis, sim, worker, chunked):
    worker(HEADGATE_MAX_RESPONSE_BYTES=1024 * 1024)
    sim.script({"do": "oversized", "bytes": 20_000_000, "chunked": chunked}, model=PRIMARY)
    result = run(redis, "oversized")
    assert (result["state"], result["model"]) == ("succeeded", SECOND)


def test_a_throttled_primary_sets_the_documented_hints(redis, sim, worker):
    worker()
    sim.script(THROTTLE, model=PRIMARY)
    run(redis, "throttled")
    client = redis.client
    assert client.get(hint(redis, PRIMARY, "cooldown")) == b"10"
    assert 8000 < client.pttl(hint(redis, PRIMARY, "cooldown")) <= 10000
    assert 0 < client.pttl(hint(redis, PRIMARY, "throttled")) <= 2000
    assert 55000 < client.pttl(hint(redis, PRIMARY, "throttles")) <= 60000
    assert not client.exists(hint(redis, SECOND, "cooldown"))


def test_cooldowns_grow_from_10_to_30_to_60_seconds(redis, sim, worker):
    worker()
    sim.script({**THROTTLE, "times": 5}, model=PRIMARY)
    lengths = []
    for n in range(5):
        run(redis, f"growing-{n}", models=[PRIMARY, THIRD])
        lengths.append(redis.client.get(hint(redis, PRIMARY, "cooldown")))
        # With the marks gone the primary is first again, though its throttles count.
        redis.client.delete(hint(redis, PRIMARY, "throttled"), hint(redis, PRIMARY, "cooldown"))
        if n < 4:
            until(lambda: primary_is_first(redis), what="the primary in front")
    assert lengths == [b"10", b"30", b"30", b"60", b"60"]


def primary_is_first(redis):
    # A worker's own copy of the hints is 200 ms old at most.
    time.sleep(0.25)
    return not redis.client.exists(hint(redis, PRIMARY, "throttled"))


def test_a_longer_retry_after_replaces_the_cooldown(redis, sim, worker):
    worker()
    sim.script({"do": "throttle", "retry_after": 45}, model=PRIMARY)
    run(redis, "retry-after")
    assert redis.client.get(hint(redis, PRIMARY, "cooldown")) == b"45"
    assert 43000 < redis.client.pttl(hint(redis, PRIMARY, "cooldown")) <= 45000


def test_a_retry_after_counts_five_minutes_at_most(redis, sim, worker):
    worker()
    sim.script({"do": "throttle", "retry_after": 86400}, model=PRIMARY)
    run(redis, "retry-after-day")
    assert redis.client.get(hint(redis, PRIMARY, "cooldown")) == b"300"


def test_a_short_retry_after_changes_nothing(redis, sim, worker):
    worker()
    sim.script({"do": "throttle", "retry_after": 1}, model=PRIMARY)
    run(redis, "retry-after-short")
    assert redis.client.get(hint(redis, PRIMARY, "cooldown")) == b"10"


def test_a_later_hint_never_shortens_a_running_cooldown(redis, sim, worker):
    worker()
    redis.client.set(hint(redis, PRIMARY, "cooldown"), "200", px=200_000)
    sim.script(THROTTLE, model=PRIMARY)
    assert tried(run(redis, "no-shorter")) == [PRIMARY, SECOND]
    assert redis.client.pttl(hint(redis, PRIMARY, "cooldown")) > 190_000


def test_server_errors_set_no_cooldown(redis, sim, worker):
    process = worker()
    sim.script({"do": "status", "status": 500, "code": "InternalServerException"}, model=PRIMARY)
    run(redis, "no-cooldown")
    assert not redis.client.exists(hint(redis, PRIMARY, "cooldown"))
    assert stats_of(process, PRIMARY)["status"] == "available"


def test_a_success_clears_throttles_and_cooldown(redis, sim, worker):
    process = worker()
    sim.script(THROTTLE, model=PRIMARY)
    run(redis, "to-clear")
    assert stats_of(process, PRIMARY)["status"] == "in_cooldown"
    assert run(redis, "clearing", models=[PRIMARY])["state"] == "succeeded"
    until(
        lambda: not redis.client.exists(hint(redis, PRIMARY, "cooldown")), what="no cooldown"
    )
    figures = stats_of(process, PRIMARY)
    assert (figures["status"], figures["recent_throttles_60s"]) == ("available", 0)


def test_a_primary_throttled_just_now_moves_behind_the_fallbacks(redis, sim, worker):
    worker()
    sim.script(THROTTLE, model=PRIMARY)
    run(redis, "first")
    assert tried(run(redis, "second")) == [SECOND]


def test_the_primary_is_first_again_two_seconds_after_its_throttle(redis, sim, worker):
    worker()
    redis.client.set(hint(redis, PRIMARY, "throttled"), "1", px=700)
    assert tried(run(redis, "within")) == [SECOND]
    until(lambda: not redis.client.exists(hint(redis, PRIMARY, "throttled")), what="no mark")
    time.sleep(0.25)
    assert tried(run(redis, "later")) == [PRIMARY]


def test_hints_of_one_worker_order_the_models_of_another(redis, sim, worker):
    first, second = worker(), worker()
    first.stop()
    sim.script(THROTTLE, model=PRIMARY)
    run(redis, "by-second")
    second.term()
    assert second.wait() == 0
    first.cont()
    assert tried(run(redis, "by-first")) == [SECOND]


def test_hints_set_by_hand_are_honoured_within_200_ms(redis, sim, worker):
    worker()
    run(redis, "before")
    redis.client.set(hint(redis, PRIMARY, "throttled"), "1", px=2000)
    time.sleep(0.2)
    assert tried(run(redis, "marked")) == [SECOND]
    redis.client.delete(hint(redis, PRIMARY, "throttled"))
    redis.client.set(hint(redis, SECOND, "cooldown"), "60", px=60_000)
    time.sleep(0.2)
    sim.script({"do": "status", "status": 503, "code": None}, model=PRIMARY)
    assert tried(run(redis, "cooled")) == [PRIMARY, THIRD]


def test_a_cooldown_orders_and_never_blocks(redis, sim, worker):
    worker()
    for model in (PRIMARY, SECOND, THIRD):
        redis.client.set(hint(redis, model, "cooldown"), "60", px=60_000)
        redis.client.set(hint(redis, model, "throttled"), "1", px=2000)
    time.sleep(0.2)
    result = run(redis, "all-cooling")
    assert result["state"] == "succeeded"
    assert len(result["calls"]) == 1


def test_a_primary_in_cooldown_is_first_again_when_its_mark_is_gone(redis, worker):
    worker()
    redis.client.set(hint(redis, PRIMARY, "cooldown"), "60", px=60_000)
    time.sleep(0.2)
    assert tried(run(redis, "primary-cooling")) == [PRIMARY]


def test_hints_of_a_wrong_type_stop_nobody(redis, worker):
    process = worker()
    redis.client.rpush(hint(redis, PRIMARY, "throttled"), "x")
    redis.client.rpush(hint(redis, PRIMARY, "cooldown"), "x")
    redis.client.set(hint(redis, PRIMARY, "throttles"), "x")
    redis.client.set(hint(redis, PRIMARY, "stats"), "x")
    assert run(redis, "wrong-type")["state"] == "succeeded"
    assert process.is_alive()


def test_reset_clears_cooldowns_and_throttles_but_not_the_counters(redis, sim, worker):
    process = worker()
    sim.script(THROTTLE, model=PRIMARY)
    run(redis, "to-reset")
    until(lambda: stats_of(process, PRIMARY)["total_attempts"] == 1, what="the counters")
    answer = process.post("/reset_model_cooldowns")
    assert answer.status == 200
    assert answer.json() == {"success": True, "message": "All model cooldowns have been reset"}
    figures = stats_of(process, PRIMARY)
    assert (figures["status"], figures["recent_throttles_60s"]) == ("available", 0)
    assert (figures["cooldown_remaining"], figures["total_attempts"]) == (0, 1)
    assert tried(run(redis, "after-reset")) == [PRIMARY]


def test_when_all_are_throttled_the_job_waits_without_spending_an_attempt(redis, sim, worker):
    worker(HEADGATE_MAX_ATTEMPTS=1)
    sim.script({**THROTTLE, "times": 6})
    result = run(redis, "patient", timeout=20)
    assert (result["state"], result["attempt"]) == ("succeeded", 1)
    assert sim.stats()["calls"] == 7
    assert not redis.dead()


def test_a_retry_never_comes_sooner_than_retry_after(redis, sim, worker):
    worker()
    sim.script({"do": "throttle", "retry_after": 2, "times": 3})
    run(redis, "obedient", timeout=20)
    calls = sim.calls("mark-obedient")
    assert calls[3]["at_ms"] - calls[2]["at_ms"] >= 1900


def test_a_job_that_waited_too_long_fails_as_throttled(redis, sim, worker):
    worker(HEADGATE_MAX_WAIT=1)
    sim.script({**THROTTLE, "times": 1000})
    payload = redis.push(job("hopeless"))
    result = redis.wait_result("hopeless", 20)
    assert (result["state"], result["error"]["kind"]) == ("failed", "throttled")
    assert redis.wait_dead_letter(payload)["kind"] == "throttled"


def test_a_waiting_job_expires(redis, sim, worker):
    worker()
    sim.script({**THROTTLE, "times": 1000})
    result = run(redis, "expiring", timeout=20, expires_at=time.time() + 1)
    assert (result["state"], result["error"]["kind"]) == ("expired", "expired")


def test_one_jobs_throttle_changes_nothing_for_a_running_call(redis, sim, worker):
    worker()
    sim.script({"do": "delay", "ms": 600}, THROTTLE, model=PRIMARY)
    redis.push(job("running"))
    sim.wait_open(1)
    assert run(redis, "throttled")["model"] == SECOND
    running = redis.wait_result("running")
    assert (running["state"], running["model"]) == ("succeeded", PRIMARY)
    assert tried(running) == [PRIMARY]


def test_retries_spend_attempts_and_end_as_unavailable(redis, sim, worker):
    worker(HEADGATE_MAX_ATTEMPTS=3)
    sim.script({"do": "status", "status": 500, "code": "InternalServerException", "times": 100})
    payload = redis.push(job("failing"))
    result = redis.wait_result("failing")
    assert (result["state"], result["error"]["kind"]) == ("failed", "unavailable")
    assert result["attempt"] == 3
    assert tried(result) == [PRIMARY, SECOND, THIRD]
    assert len(sim.calls("mark-failing")) == 9
    letter = redis.wait_dead_letter(payload)
    assert (letter["kind"], letter["attempt"], letter["id"]) == ("unavailable", 3, "failing")


def test_a_job_brings_its_own_max_attempts(redis, sim, worker):
    worker()
    sim.script({"do": "status", "status": 500, "code": "InternalServerException", "times": 100})
    assert run(redis, "twice", max_attempts=2)["attempt"] == 2


def test_a_job_succeeds_on_a_later_attempt(redis, sim, worker):
    worker()
    sim.script({"do": "status", "status": 500, "code": "InternalServerException", "times": 3})
    result = run(redis, "second-try")
    assert (result["state"], result["attempt"], result["model"]) == ("succeeded", 2, PRIMARY)
    assert tried(result) == [PRIMARY], "calls are those of the last attempt"


def test_bad_output_of_every_model_fails_as_bad_output(redis, sim, worker):
    worker(HEADGATE_MAX_ATTEMPTS=2)
    sim.config(default={"reply": {"text": "no object"}})
    result = run(redis, "babble")
    assert (result["state"], result["error"]["kind"]) == ("failed", "bad_output")


def test_the_callers_fault_on_every_model_is_rejected_at_once(redis, sim, worker):
    worker()
    sim.script({"do": "status", "status": 400, "code": "ValidationException",
                "message": "messages: text content blocks must be non-empty", "times": 100})
    payload = redis.push(job("wrong"))
    result = redis.wait_result("wrong")
    assert (result["state"], result["error"]["kind"]) == ("failed", "rejected")
    assert result["attempt"] == 1
    assert redis.wait_dead_letter(payload)["kind"] == "rejected"


def test_wrong_credentials_burn_no_job(redis, sim, worker):
    sim.config(secret_key="another")
    process = worker(wait_ready=False)
    names = [f"kept-{n}" for n in range(20)]
    for name in names:
        redis.push(job(name))
    until(lambda: "signature" in readiness(process), what="a red /readyz that says why")
    stays(lambda: not any(map(redis.result, names)) and not redis.dead(), 0.5, "no result")
    assert re.search("level=error.*signature", process.log())
    assert sim.stats()["calls"] < 100, "the backlog is tried again and again"
    sim.config(secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    for name in names:
        result = redis.wait_result(name, 20)
        assert (result["state"], result["attempt"]) == ("succeeded", 1)
    until(process.is_ready, what="a green /readyz")


def readiness(process):
    if process.readiness() != 503:
        return ""
    return process.get("/readyz").body.decode().lower()


def test_no_credentials_at_all_burn_no_job(redis, worker):
    process = worker(wait_ready=False, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    redis.push(job("no-credentials"))
    until(lambda: "credential" in readiness(process), what="a red /readyz that says why")
    stays(lambda: redis.result("no-credentials") is None and not redis.dead(), 0.3)


def test_an_unreachable_provider_burns_no_job(redis, sim, worker):
    process = worker()
    port = sim.port
    sim.kill()
    redis.push(job("cut-off"))
    until(lambda: readiness(process), what="a red /readyz")
    stays(lambda: redis.result("cut-off") is None and not redis.dead(), 0.5, "no result")
    sim.up(port)
    result = redis.wait_result("cut-off", 20)
    assert (result["state"], result["attempt"]) == ("succeeded", 1)
    until(process.is_ready, what="a green /readyz")


def test_a_queued_job_can_be_cancelled(redis, sim, worker):
    process = worker(HEADGATE_CONCURRENCY=1)
    sim.script({"do": "delay", "ms": 400})
    redis.push(job("ahead"))
    sim.wait_open(1)
    redis.push(job("queued"))
    answer = process.post("/cancel_task/queued")
    assert (answer.status, answer.json()["success"]) == (200, True)
    result = redis.wait_result("queued")
    assert (result["state"], result["error"]["kind"]) == ("cancelled", "cancelled")
    assert sim.calls("mark-queued") == []
    assert redis.wait_result("ahead")["state"] == "succeeded"


def test_a_running_call_is_aborted_by_a_cancel(redis, sim, worker):
    process = worker()
    sim.script({"do": "hang"})
    redis.push(job("doomed"))
    sim.wait_open(1)
    began = time.monotonic()
    assert process.post("/cancel_task/doomed").json()["success"] is True
    result = redis.wait_result("doomed")
    assert time.monotonic() - began < 2
    assert result["state"] == "cancelled"
    until(lambda: sim.stats_of(PRIMARY)["aborted"] == 1, what="the aborted call")
    (call,) = sim.calls("mark-doomed")
    assert call["outcome"] == "aborted"


def test_a_cancel_reaches_the_worker_that_runs_the_job(redis, sim, worker):
    worker()
    sim.script({"do": "hang"})
    redis.push(job("elsewhere"))
    sim.wait_open(1)
    other = worker()
    other.post("/cancel_task/elsewhere")
    assert redis.wait_result("elsewhere")["state"] == "cancelled"


def test_a_delayed_job_can_be_cancelled(redis, worker):
    process = worker()
    redis.push(job("dated", run_at=time.time() + 60))
    until(lambda: queue_of(process)["delayed"] == 1, what="the delayed job")
    process.post("/cancel_task/dated")
    assert redis.wait_result("dated")["state"] == "cancelled"


def queue_of(process):
    return process.get("/queue_stats").json()["queues"][0]


def test_a_finished_job_cannot_be_cancelled(redis, worker):
    process = worker()
    result = run(redis, "over")
    answer = process.post("/cancel_task/over").json()
    assert answer["success"] is False
    assert redis.result("over") == result


def test_a_proxy_of_the_environment_is_used_only_when_asked_for(redis, sim, worker):
    nobody = f"http://127.0.0.1:{free_port()}"
    careful = worker(http_proxy=nobody, all_proxy=nobody)
    assert run(redis, "direct")["state"] == "succeeded"
    assert "HEADGATE_PROXY=environment" in careful.log()
    careful.end()
    asked = worker(http_proxy=nobody, HEADGATE_PROXY="environment")
    redis.push({"id": "proxied", "content": "text"})
    until(lambda: asked.readiness() == 503, 10, "red, for the proxy is asked and not there")
