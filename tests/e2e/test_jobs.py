"""Jobs in, results out: sections 1 and 2 of the contract."""

import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from services import PRIMARY, SECOND, THIRD
from support import stays, until

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

RESULT_FIELDS = {
    "id", "state", "type", "queue", "result", "model", "primary", "attempt", "calls", "usage",
    "cost_usd", "enqueued_at", "started_at", "finished_at", "worker", "metadata",
}
ITEM_FIELDS = {
    "id", "type", "category", "description", "suggestion", "example", "questions", "refs",
    "risk_level", "confidence",
}


def analyze(job_id, **fields):
    """The smallest useful job; the simulator's log shows its marker."""
    return {"id": job_id, "section_name": "Timeline", "content": f"mark-{job_id}", **fields}


def done(house, job, **options):
    house.redis.push(job, **options)
    return house.redis.wait_result(job["id"], **options)


def test_a_pushed_job_gets_a_result_with_every_field(house):
    before = time.time()
    result = done(house, analyze("every-field"))
    after = time.time()

    assert RESULT_FIELDS <= set(result)
    assert (result["id"], result["state"]) == ("every-field", "succeeded")
    assert result["type"] == "analyze"
    assert (result["queue"], result["model"], result["primary"]) == ("analyze", PRIMARY, True)
    assert result["attempt"] == 1
    assert before - 1 <= result["started_at"] <= result["finished_at"] <= after + 1
    assert result["enqueued_at"] is None
    assert result["metadata"] == {}
    assert "error" not in result or result["error"] is None
    assert isinstance(result["worker"], str) and result["worker"]

    (call,) = result["calls"]
    assert (call["model"], call["outcome"], call["status"]) == (PRIMARY, "ok", 200)
    assert 0 <= call["ms"] < 5000

    answer = result["result"]
    assert answer["success"] is True
    assert answer["section"] == "Timeline"
    assert answer["feedback_count"] == len(answer["feedback_items"])
    assert answer["model_used"] == "Claude 3.5 Sonnet"
    assert answer["duration"] >= 0
    tokens = answer["tokens"]
    assert tokens["total"] == tokens["input"] + tokens["output"] > 0
    assert result["usage"] == {
        "input_tokens": tokens["input"], "output_tokens": tokens["output"]
    }


def test_no_cost_is_made_up_for_a_model_without_a_price(house):
    assert done(house, analyze("cost"))["cost_usd"] is None


def test_feedback_items_are_cleaned_filtered_and_sorted(house):
    def item(name, confidence, **fields):
        return {"id": name, "type": "suggestion", "description": f"About {name}",
                "confidence": confidence, **fields}

    items = [
        item("low", 0.79), item("b", 0.85), "no object", item("a", 0.95), 7,
        item("a", 0.95), {"description": "Only this", "confidence": 0.9},
    ]
    text = f"Here you are:\n```json\n{json.dumps({'feedback_items': items})}\n```\nGood luck!"
    house.sim.script({"do": "text", "text": text})
    answer = done(house, analyze("cleaned"))["result"]

    assert [i["confidence"] for i in answer["feedback_items"]] == [0.95, 0.9, 0.85]
    assert answer["feedback_count"] == 3
    assert all(ITEM_FIELDS <= set(i) for i in answer["feedback_items"])


def test_a_job_without_id_gets_a_uuid(house):
    house.redis.push({"content": "mark-anonymous", "reply_to": "replies-anonymous"})
    _, text = house.redis.client.blpop("replies-anonymous", timeout=10)
    result = json.loads(text)
    assert UUID7.fullmatch(result["id"])
    assert house.redis.result(result["id"]) == result


def test_a_chat_job_gets_an_answer(house):
    answer = done(house, {
        "id": "chat", "type": "chat", "query": "What is missing?", "context": {"section": "Scope"},
    })["result"]
    assert answer["success"] is True
    assert isinstance(answer["response"], str) and answer["response"]
    assert answer["model_used"] == "Claude 3.5 Sonnet"
    assert set(answer["tokens"]) >= {"input", "output", "total"}
    assert answer["duration"] >= 0


def test_blpop_on_the_reply_list_waits_for_the_result(house):
    house.redis.push(analyze("reply"))
    key, text = house.redis.client.blpop("headgate:{analyze}:reply:reply", timeout=10)
    assert json.loads(text) == house.redis.result("reply")


def test_reply_to_gets_the_result_too(house):
    house.redis.push(analyze("reply-to", reply_to="my:replies"))
    _, text = house.redis.client.blpop("my:replies", timeout=10)
    assert json.loads(text) == house.redis.result("reply-to")


def test_a_reply_to_that_is_no_list_loses_no_result(house):
    house.redis.client.set("a:string", "x")
    assert done(house, analyze("reply-string", reply_to="a:string"))["state"] == "succeeded"
    assert house.redis.client.get("a:string") == b"x"


def test_the_id_of_a_finished_job_is_published(house):
    with house.redis.client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("headgate:{analyze}:done")
        channel.get_message(timeout=1)
        house.redis.push(analyze("published"))
        message = until(lambda: channel.get_message(timeout=0.1), what="the message")
        assert message["data"] == b"published"


def test_metadata_is_echoed(house):
    metadata = {"order": 12345678901234567890, "tags": ["ä", {"deep": None}], "ratio": 0.1}
    assert done(house, analyze("metadata", metadata=metadata))["metadata"] == metadata


def test_enqueued_at_and_traceparent_are_carried_into_the_result(house):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    pushed = round(time.time() - 5, 3)
    result = done(house, analyze("carried", enqueued_at=pushed, traceparent=trace))
    assert result["enqueued_at"] == pytest.approx(pushed, abs=0.001)
    assert result["traceparent"] == trace


def test_a_job_may_name_its_own_models(house):
    result = done(house, analyze("own-models", models=[THIRD, SECOND]))
    assert result["model"] == THIRD
    assert [call["model"] for call in house.sim.calls("mark-own-models")] == [THIRD]


def test_max_tokens_is_passed_and_always_sent(house):
    done(house, analyze("tokens-own", max_tokens=77))
    done(house, analyze("tokens-default"))
    (own,), (default,) = house.sim.calls("mark-tokens-own"), house.sim.calls("mark-tokens-default")
    assert own["max_tokens"] == 77
    assert default["max_tokens"] >= 256


def test_model_parameters_and_prompt_reach_the_model(servers, redis, worker):
    recorder = servers.recorder()
    worker(provider_url=recorder.url)
    content = "Größe 東京 🚀 \"quoted\" \\ {{7*7}} ${jndi:ldap://x} $(id) %n \t end"
    redis.push({
        "id": "parameters", "content": content, "section_name": "S", "temperature": 0.25,
        "top_p": 0.5, "stop_sequences": ["STOP"], "max_tokens": 9,
    })
    assert redis.wait_result("parameters")["state"] == "succeeded"
    (body,) = recorder.bodies()
    assert body["inferenceConfig"] == {
        "maxTokens": 9, "temperature": 0.25, "topP": 0.5, "stopSequences": ["STOP"]
    }
    assert content in recorder.prompt()
    path, headers, _ = recorder.requests[0]
    assert path == f"/model/{PRIMARY.replace(':', '%3A')}/converse"
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


def test_a_prompt_of_a_megabyte_arrives_whole(servers, redis, worker):
    recorder = servers.recorder()
    worker(provider_url=recorder.url)
    content = "".join(f"{n:07d} äöü\n" for n in range(70_000))
    redis.push({"id": "long", "content": content})
    assert redis.wait_result("long")["state"] == "succeeded"
    assert content in recorder.prompt()


@pytest.mark.parametrize("spelling", ["unix", "rfc3339"])
def test_a_job_with_run_at_waits_for_its_date(house, spelling):
    job_id, date = f"run-at-{spelling}", time.time() + 1.2
    run_at = date if spelling == "unix" else rfc3339(date)
    house.redis.push(analyze(job_id, run_at=run_at))
    until(lambda: queue_figures(house)["delayed"] == 1, what="the job in the delayed set")
    assert house.redis.wait_result(job_id)["state"] == "succeeded"
    (call,) = house.sim.calls(f"mark-{job_id}")
    assert date - 0.005 <= call["at_ms"] / 1000 < date + 1.5


@pytest.mark.parametrize("spelling", ["unix", "rfc3339"])
def test_a_job_past_its_expires_at_is_not_started(house, spelling):
    job_id, date = f"expired-{spelling}", time.time() - 5
    result = done(house, analyze(
        job_id, expires_at=date if spelling == "unix" else rfc3339(date)
    ))
    assert result["state"] == "expired"
    assert result["error"]["kind"] == "expired"
    assert house.sim.calls(f"mark-{job_id}") == []


def test_a_job_that_expires_before_its_run_at_is_told_so_when_it_expires(house):
    date = time.time() + 0.5
    house.redis.push(analyze("never", run_at=time.time() + 3600, expires_at=date))
    assert house.redis.wait_result("never")["state"] == "expired"
    assert time.time() >= date - 0.005
    assert queue_figures(house)["delayed"] == 0


def test_a_job_that_expires_later_runs(house):
    assert done(house, analyze("fresh", expires_at=time.time() + 60))["state"] == "succeeded"


def test_unknown_fields_are_no_error(house):
    job = analyze("unknown", priority="high\n", attempts=99, ID="evil", __proto__={"a": 1})
    result = done(house, job)
    assert (result["id"], result["state"], result["attempt"]) == ("unknown", "succeeded", 1)


def test_the_same_id_runs_once(house):
    house.sim.script({"do": "delay", "ms": 300}, model=PRIMARY)
    for _ in range(10):
        house.redis.push(analyze("twins"))
    assert house.redis.wait_result("twins")["state"] == "succeeded"
    until(lambda: queue_figures(house)["waiting"] == 0, what="an empty queue")
    until(lambda: queue_figures(house)["in_flight"] == 0, what="no job in flight")
    assert len(house.sim.calls("mark-twins")) == 1
    assert len(house.redis.replies("twins")) == 1


def test_a_result_that_was_written_is_never_paid_again(house):
    first = done(house, analyze("paid"))
    house.redis.push(analyze("paid", content="mark-paid but changed"))
    assert done(house, analyze("after-paid"))["state"] == "succeeded"
    until(lambda: queue_figures(house)["in_flight"] == 0, what="no job in flight")
    assert len(house.sim.calls("mark-paid")) == 1
    assert house.redis.result("paid") == first
    assert len(house.redis.replies("paid")) == 1


def test_track_started_writes_the_running_state(house):
    house.sim.script({"do": "delay", "ms": 500})
    house.redis.push(analyze("tracked", track_started=True))
    running = until(lambda: house.redis.result("tracked"), what="a running state")
    assert (running["state"], running["id"]) == ("running", "tracked")
    assert house.redis.replies("tracked") == []
    assert house.redis.wait_result("tracked")["state"] == "succeeded"


def test_without_track_started_nothing_is_written_before_the_end(house):
    house.sim.script({"do": "delay", "ms": 300})
    house.redis.push(analyze("untracked"))
    house.sim.wait_open(1)
    while house.sim.stats()["open"]:
        seen = house.redis.result("untracked")
        assert seen is None or seen["state"] == "succeeded"
    assert house.redis.wait_result("untracked")["state"] == "succeeded"


def test_a_job_stops_at_its_own_timeout(redis, sim, worker):
    worker()
    sim.script({"do": "hang", "times": 10})
    began = time.monotonic()
    redis.push(analyze("slow", timeout=1, max_attempts=1))
    result = redis.wait_result("slow")
    assert 0.9 <= time.monotonic() - began < 4
    assert (result["state"], result["error"]["kind"]) == ("failed", "timeout")


def test_results_and_replies_live_as_long_as_set(redis, worker):
    worker(HEADGATE_RESULT_TTL=100)
    redis.push(analyze("ttl"))
    redis.wait_result("ttl")
    for kind in ("result", "reply"):
        assert 90 <= redis.client.ttl(f"headgate:{{analyze}}:{kind}:ttl") <= 100


def test_a_prefix_of_our_own_replaces_headgate_in_every_key(redis, worker):
    worker(HEADGATE_PREFIX="acme:llm")
    redis.push(analyze("prefixed"))
    until(lambda: redis.client.exists("acme:llm:{analyze}:result:prefixed"), what="the result")
    assert not redis.client.keys("headgate:*")


def test_every_key_of_a_queue_carries_its_hash_tag(redis, worker):
    worker(HEADGATE_QUEUES="tagged")
    redis.push(analyze("tag"), queue="tagged")
    redis.push(b"no job", queue="tagged")
    redis.push(analyze("later", run_at=time.time() + 60), queue="tagged")
    redis.wait_result("tag", queue="tagged")
    until(lambda: redis.dead("tagged"), what="the dead letter")
    for key in redis.client.keys("*"):
        assert key.startswith((b"headgate:{tagged}:", b"headgate:{m:")), key


def test_five_hundred_jobs_end_once_each(redis, sim, worker):
    worker()
    sim.config(default={"latency_ms": 20})
    names = [f"bulk-{n}" for n in range(500)]
    for name in names:
        redis.push(analyze(name))
    for name in names:
        assert redis.wait_result(name, 30)["state"] == "succeeded"
        assert len(redis.replies(name)) == 1
    assert sim.stats()["calls"] == 500
    stays(lambda: redis.waiting() == [], 0.1)


def queue_figures(house):
    (figures,) = house.worker.get("/queue_stats").json()["queues"]
    return figures


def rfc3339(seconds):
    zone = timezone(timedelta(hours=2))
    return datetime.fromtimestamp(seconds, zone).isoformat(timespec="milliseconds")
