"""Pacing, as jobs see it: who waits for which model, and who does not."""

import time

import pytest

from services import PRIMARY, SECOND, THIRD
from support import until

MODELS = (PRIMARY, SECOND, THIRD)


def pace_key(model):
    return f"headgate:{{m:{model}}}:pace"


def fill(redis, model, seconds, quota=1.0):
    """As if the cluster had learned this quota, and given all permits for so long."""
    now, micros = redis.client.time()
    now += micros / 1e6
    redis.client.hset(pace_key(model), mapping={
        "quota": quota, "unit": 1, "start": now, "sent": 0, "probe": 0, "due": now + seconds, "burst": 1,
        "dear": 1, "number": 10, "cut": 10,
    })


def push(redis, name, **fields):
    redis.push({"id": name, "content": f"mark-{name}", **fields})


def tried(result):
    return [call["model"] for call in result["calls"]]


def test_without_a_refusal_every_job_gets_its_primary(redis, sim, worker):
    worker()
    for n in range(50):
        push(redis, f"open-{n}")
    assert {redis.wait_result(f"open-{n}")["model"] for n in range(50)} == {PRIMARY}
    assert redis.client.hget(pace_key(PRIMARY), "number") == b"50"
    assert 0 < redis.client.pttl(pace_key(PRIMARY)) <= 600_000


def test_a_job_that_prefers_latency_takes_the_fallback_that_has_room(redis, sim, worker):
    fill(redis, PRIMARY, 30)
    worker()
    push(redis, "hurry")
    assert tried(redis.wait_result("hurry")) == [SECOND]
    assert sim.stats_of(PRIMARY)["calls"] == 0


@pytest.mark.parametrize("slow, model", [(PRIMARY, SECOND), (SECOND, PRIMARY)])
def test_a_job_that_prefers_latency_waits_for_a_permit_if_its_answer_comes_sooner(
    redis, sim, worker, slow, model
):
    sim.config(models={PRIMARY: {"latency_ms": 20}, SECOND: {"latency_ms": 20}})
    sim.config(models={slow: {"latency_ms": 2000}})
    worker()
    for name in (PRIMARY, SECOND):
        push(redis, f"known-{name}", models=[name])
        redis.wait_result(f"known-{name}")
    fill(redis, PRIMARY, 0.4, quota=2)
    push(redis, "hurry")
    assert tried(redis.wait_result("hurry")) == [model]


@pytest.mark.parametrize("prefer", ["balanced", "primary"])
def test_a_job_that_prefers_its_primary_waits_for_it(redis, sim, worker, prefer):
    fill(redis, PRIMARY, 0.5)
    worker()
    push(redis, "patient", prefer=prefer)
    assert tried(redis.wait_result("patient")) == [PRIMARY]


def test_a_job_does_not_wait_longer_than_it_wants_to(redis, sim, worker):
    fill(redis, PRIMARY, 30)
    worker()
    push(redis, "balanced", prefer="balanced")
    assert tried(redis.wait_result("balanced")) == [SECOND]
    # Not even its primary is worth the job's deadline.
    push(redis, "dated", prefer="primary", expires_at=time.time() + 10)
    assert tried(redis.wait_result("dated")) == [SECOND]


def test_the_preference_of_jobs_that_do_not_say_is_a_setting(redis, sim, worker):
    fill(redis, PRIMARY, 0.5)
    worker(HEADGATE_PREFER="primary")
    push(redis, "silent")
    assert tried(redis.wait_result("silent")) == [PRIMARY]


def test_when_no_model_has_room_jobs_wait_and_all_are_answered(redis, sim, worker):
    for model in MODELS:
        fill(redis, model, 1, quota=20)
    worker(HEADGATE_MAX_ATTEMPTS=1)
    for n in range(40):
        push(redis, f"crowd-{n}")
    results = [redis.wait_result(f"crowd-{n}", 20) for n in range(40)]
    assert {result["state"] for result in results} == {"succeeded"}
    assert all(len(result["calls"]) == 1 for result in results)


def test_jobs_that_no_model_has_room_for_wait_in_redis_for_any_worker(redis, sim, worker):
    for model in MODELS:
        fill(redis, model, 5, quota=1)
    process = worker()
    push(redis, "first")
    until(lambda: "headgate_pace_permits" in metrics(process), what="a known rate")
    for n in range(100):
        push(redis, f"rest-{n}")
    until(lambda: redis.waiting())
    held = redis.client.hlen(f"headgate:{{analyze}}:inflight:{process_id(redis)}")
    assert held <= 4 + 16  # a second's permits, and one claim that was on its way
    assert len(redis.waiting()) >= 80


def test_a_quiet_tenant_s_job_is_called_at_its_turn_though_a_flood_waits_for_the_model(redis, sim, worker):
    fill(redis, PRIMARY, 20)
    process = worker()

    def wait_together(tenant, count, all_of_them):
        for n in range(count):
            push(redis, f"{tenant}-{n}", tenant=tenant, models=[PRIMARY], prefer="primary")
        until(lambda: f'headgate_pace_jobs_waiting{{model="{PRIMARY}"}} {all_of_them}\n' in metrics(process))

    wait_together("flood", 8, 8)
    wait_together("quiet", 1, 9)
    fill(redis, PRIMARY, 0)
    redis.wait_result("flood-2", 20)
    calls = sorted(sim.calls(), key=lambda call: call["at_ms"])
    assert "mark-quiet-0" in [call["marker"] for call in calls][:3]


def metrics(process):
    return process.get("/metrics").body.decode()


def process_id(redis):
    return redis.client.zrange("headgate:{analyze}:workers", 0, 0)[0].decode()


def inflight(redis):
    return redis.client.hlen(f"headgate:{{analyze}}:inflight:{process_id(redis)}")


def test_a_job_that_waits_for_a_permit_can_be_cancelled(redis, sim, worker):
    for model in MODELS:
        fill(redis, model, 8)
    process = worker()
    push(redis, "unwanted")
    until(lambda: redis.client.hlen(f"headgate:{{analyze}}:inflight:{process_id(redis)}") == 1)
    assert process.post("/cancel_task/unwanted").status == 200
    assert redis.wait_result("unwanted")["state"] == "cancelled"
    assert sim.stats()["calls"] == 0


def test_a_job_waits_only_while_a_call_still_fits_in_its_timeout(redis, sim, worker):
    worker(HEADGATE_MAX_WAIT=0)
    fill(redis, PRIMARY, 9.5)
    push(redis, "late", models=[PRIMARY], prefer="primary", timeout=10)
    result = redis.wait_result("late", 20)
    assert (result["state"], result["error"]["kind"]) == ("failed", "throttled")
    assert sim.stats()["calls"] == 0


def test_a_job_that_finds_no_room_for_too_long_fails_as_throttled(redis, sim, worker):
    for model in MODELS:
        fill(redis, model, 60)
    worker(HEADGATE_MAX_WAIT=0)
    push(redis, "hopeless")
    result = redis.wait_result("hopeless", 20)
    assert (result["state"], result["error"]["kind"]) == ("failed", "throttled")
    assert result["error"]["message"] == "no model had room"
    assert sim.stats()["calls"] == 0


def test_a_job_that_cannot_be_started_before_it_expires_expires_at_once(redis, sim, worker):
    worker()
    for model in MODELS:
        fill(redis, model, 600)
    push(redis, "short", expires_at=time.time() + 300)
    result = redis.wait_result("short")
    assert (result["state"], result["error"]["kind"]) == ("expired", "expired")
    assert "no model takes a call" in result["error"]["message"]
    assert sim.stats()["calls"] == 0


def test_a_job_whose_room_does_not_come_expires_in_time_and_is_not_called(redis, sim, worker):
    worker()
    fill(redis, PRIMARY, 60)
    push(redis, "waiting", models=[PRIMARY], prefer="primary", expires_at=time.time() + 200)
    until(lambda: inflight(redis) == 1, what="a job that waits for its permit")
    push(redis, "due", models=[PRIMARY], expires_at=time.time() + 1)
    assert redis.wait_result("due")["state"] == "expired"
    redis.client.hset(pace_key(PRIMARY), "due", time.time() + 3600)
    assert redis.wait_result("waiting")["state"] == "expired"
    assert sim.stats()["calls"] == 0


def test_a_job_fails_over_rather_than_expire(redis, sim, worker):
    worker()
    fill(redis, PRIMARY, 600)
    push(redis, "dated", prefer="primary", expires_at=time.time() + 300)
    assert tried(redis.wait_result("dated")) == [SECOND]


def test_a_job_that_every_model_refuses_until_after_it_expires_expires_at_once(
    redis, sim, worker
):
    worker()
    for model in MODELS:
        sim.script({"do": "throttle", "retry_after": 200}, model=model)
    push(redis, "refused", expires_at=time.time() + 100)
    result = redis.wait_result("refused")
    assert result["state"] == "expired"
    assert tried(result) == list(MODELS)


def test_a_refusal_in_spite_of_a_permit_sends_the_job_to_its_next_model(redis, sim, worker):
    worker()
    sim.script({"do": "throttle"}, model=PRIMARY)
    push(redis, "refused")
    assert tried(redis.wait_result("refused")) == [PRIMARY, SECOND]
    until(lambda: float(redis.client.hget(pace_key(PRIMARY), "quota")) > 0,
          what="a limit that was learned")


def test_a_reset_forgets_what_was_learned_in_every_worker(redis, sim, worker):
    fill(redis, PRIMARY, 60)
    first, second = worker(), worker()
    for n in range(10):
        push(redis, f"before-{n}")
    assert {redis.wait_result(f"before-{n}")["model"] for n in range(10)} == {SECOND}
    assert first.post("/reset_model_cooldowns").status == 200
    assert not redis.client.exists(pace_key(PRIMARY))
    time.sleep(1.1)  # what Redis said is believed for a second
    for n in range(10):
        push(redis, f"after-{n}")
    assert {redis.wait_result(f"after-{n}")["model"] for n in range(10)} == {PRIMARY}
    assert second.is_alive()


def test_a_pace_of_a_wrong_type_stops_nobody(redis, sim, worker):
    redis.client.set(pace_key(PRIMARY), "nonsense")
    worker()
    push(redis, "anyway")
    assert tried(redis.wait_result("anyway")) == [PRIMARY]


def test_a_worker_that_gets_no_answer_keeps_to_what_it_last_heard(redis, sim, worker):
    fill(redis, PRIMARY, 0, quota=0.2)
    worker()
    push(redis, "first")
    assert tried(redis.wait_result("first")) == [PRIMARY]
    redis.client.set(pace_key(PRIMARY), "nonsense")
    for n in range(20):
        push(redis, f"alone-{n}")
    models = [redis.wait_result(f"alone-{n}")["model"] for n in range(20)]
    assert models.count(PRIMARY) <= 5 and models.count(SECOND) >= 15


def test_a_refusal_that_names_tokens_limits_tokens(redis, sim, worker):
    sim.config(models={PRIMARY: {"tpm": {"per_minute": 60, "burst": 10_000}}})
    worker()
    for n in range(20):
        push(redis, f"long-{n}")
    results = [redis.wait_result(f"long-{n}") for n in range(20)]
    assert {result["state"] for result in results} == {"succeeded"}
    until(lambda: float(redis.client.hget(pace_key(PRIMARY) + ":tokens", "quota") or 0) > 0,
          what="a limit of tokens")
    assert float(redis.client.hget(pace_key(PRIMARY), "quota")) == 0


def test_tokens_that_were_reserved_and_not_used_go_back(redis, sim, worker):
    sim.config(models={PRIMARY: {"latency_ms": 1000}})
    worker()
    redis.client.hset(pace_key(PRIMARY), mapping={"unit": 1, "burst": 8, "dear": 1, "has_tokens": 1})
    push(redis, "thrifty", max_tokens=50_000)
    sim.wait_calls(1)
    reserved = float(redis.client.hget(pace_key(PRIMARY) + ":tokens", "sent"))
    assert reserved > 50_000
    usage = redis.wait_result("thrifty")["usage"]
    used = usage["input_tokens"] + usage["output_tokens"]
    until(lambda: float(redis.client.hget(pace_key(PRIMARY) + ":tokens", "sent")) == used,
          what="the tokens that were used")


def test_the_metrics_say_what_was_learned_and_who_waits(redis, sim, worker):
    fill(redis, PRIMARY, 30, quota=2)
    process = worker()
    push(redis, "seen")
    redis.wait_result("seen")
    text = metrics(process)
    assert f'headgate_pace_permits_per_second{{model="{PRIMARY}"}} 1.94' in text
    assert f'headgate_pace_permits_per_second{{model="{SECOND}"}} -1' in text
    assert f'headgate_pace_jobs_waiting{{model="{PRIMARY}"}} 0' in text


def asks(redis):
    """Calls of the pace script: it alone reads several fields of a hash."""
    stats = redis.client.info("commandstats").get("cmdstat_hmget", {"calls": 0})
    return stats["calls"]


def test_below_the_quota_a_job_is_at_most_one_question(redis, sim, worker):
    worker()
    for n in range(50):
        push(redis, f"alone-{n}")
        redis.wait_result(f"alone-{n}")
    assert asks(redis) == 50
    for n in range(200):
        push(redis, f"crowd-{n}")
    for n in range(200):
        redis.wait_result(f"crowd-{n}")
    assert asks(redis) <= 250


def hint_reads(redis):
    """Calls of the script that reads hints: it alone asks for the type of a key."""
    return redis.client.info("commandstats").get("cmdstat_type", {"calls": 0})["calls"]


def test_of_models_that_refuse_nobody_no_hints_are_read(redis, sim, worker):
    worker()
    for n in range(30):
        push(redis, f"calm-{n}")
        redis.wait_result(f"calm-{n}")
    assert hint_reads(redis) == 0


def test_a_throttle_sets_a_cooldown_that_another_workers_success_clears(redis, sim, worker):
    first = worker()
    sim.script({"do": "throttle"}, model=PRIMARY)
    push(redis, "refused")
    assert tried(redis.wait_result("refused")) == [PRIMARY, SECOND]
    until(lambda: redis.client.exists(f"headgate:{{m:{PRIMARY}}}:cooldown"), what="a cooldown")
    first.kill()
    second = worker()
    shown = second.get("/model_stats").json()["stats"]["models"][0]
    assert (shown["status"], shown["recent_throttles_60s"]) == ("in_cooldown", 1)
    for n in range(3):
        push(redis, f"after-{n}", prefer="primary")
        assert tried(redis.wait_result(f"after-{n}")) == [PRIMARY]
    until(lambda: not redis.client.exists(f"headgate:{{m:{PRIMARY}}}:cooldown"), what="no cooldown")


def test_jobs_that_wait_do_not_ask_each_for_itself(redis, sim, worker):
    """Each of three lanes asks when its next permit is due, twice a second here."""
    for model in MODELS:
        fill(redis, model, 1, quota=2)
    worker()
    began = time.monotonic()
    for n in range(100):
        push(redis, f"patient-{n}")
    until(lambda: sim.stats()["calls"] >= 20, 30, "some calls")
    assert asks(redis) <= 3 * (5 + 4 * (time.monotonic() - began))
