"""docs/schema: the schema of a job takes what the worker takes, and what the worker writes is valid."""

import base64
import json
import time

import pytest

from payloads import DEAD, EITHER, HOSTILE_FIELDS, ODD_IDS, job
from schemas import DEAD_LETTER, JOB, RESULT
from services import PRIMARY
from support import until

REJECTED = {"do": "status", "status": 400, "code": "ValidationException", "message": "no"}

# What JSON Schema can't say: it sees a value, not the bytes. The schema takes these, the worker
# does not.
BEYOND_SCHEMA = {
    "two ids": "a parser keeps one of two members of the same name",
    "two ids, one escaped": "a parser keeps one of two members of the same name",
    "id lone surrogate": "text that is no Unicode can't be named in a pattern",
    "900 deep": "there is no bound for nesting",
    "id of 129 two-byte characters": "lengths are in characters, not in bytes",
    "reply_to with NUL": "a NUL is a character like others",
    "run_at on a 30th of February": "a pattern does not know the calendar",
    "unknown type": "a configuration file may have it",
}

# Jobs at the edges of what is allowed, and one step beyond them.
EDGES = {
    "everything": job(extra=',"type":"analyze","section_name":"","doc_type":"","context":{},"query":"",'
                      '"tenant":"","user_id":"","session_id":"","prefer":"primary","max_tokens":1000000,'
                      '"temperature":2,"top_p":1,"stop_sequences":["a"],"min_confidence":1,"run_at":0,'
                      '"expires_at":253402300799,"timeout":3600,"max_attempts":100,"reply_to":"r",'
                      '"track_started":true,"enqueued_at":1.5,"metadata":{"a":[1]},"traceparent":"00-a"'),
    "nothing but null": job(job_id="null", extra=',"type":null,"section_name":null,"doc_type":null,'
                            '"context":null,"query":null,"tenant":null,"models":null,"prefer":null,'
                            '"max_tokens":null,"temperature":null,"top_p":null,"stop_sequences":null,'
                            '"min_confidence":null,"run_at":null,"expires_at":null,"timeout":null,'
                            '"max_attempts":null,"reply_to":null,"track_started":null,'
                            '"enqueued_at":null,"metadata":null,"traceparent":null'),
    "chat": b'{"id":"x","type":"chat","query":"Why?"}',
    "chat with null": b'{"id":"x","type":"chat","query":null}',
    "chat, blank": b'{"id":"x","type":"chat","query":" \\n\\t "}',
    "content of blanks": job(content=r'" \r\n\f\t"'),
    "content of a no-break space": job(content='"\u00a0"'),
    "content of a backspace": job(content=r'"\b"'),
    "max_tokens 1": job(extra=',"max_tokens":1'),
    "max_tokens 64.0": job(extra=',"max_tokens":64.0'),
    "max_tokens 1e2": job(extra=',"max_tokens":1e2'),
    "max_tokens 1000001": job(extra=',"max_tokens":1000001'),
    "max_tokens 1e400": job(extra=',"max_tokens":1e400'),
    "temperature 2.0001": job(extra=',"temperature":2.0001'),
    "top_p 1.5": job(extra=',"top_p":1.5'),
    "min_confidence 1.01": job(extra=',"min_confidence":1.01'),
    "17 stop sequences": job(extra=',"stop_sequences":' + json.dumps(["a"] * 17)),
    "16 stop sequences": job(extra=',"stop_sequences":' + json.dumps(["a"] * 16)),
    "an empty stop sequence": job(extra=',"stop_sequences":[""]'),
    "no stop sequences": job(extra=',"stop_sequences":[]'),
    "10 models": job(extra=',"models":' + json.dumps([PRIMARY] * 10)),
    "a model with a blank": job(extra=',"models":["a b"]'),
    "a model of 2048": job(extra=f',"models":["{PRIMARY}","{"m" * 2048}"]'),
    "a model of 2049": job(extra=f',"models":["{"m" * 2049}"]'),
    "a model without a name": job(extra=',"models":[""]'),
    "timeout 1": job(extra=',"timeout":1'),
    "timeout 1.5": job(extra=',"timeout":1.5'),
    "timeout 0.999": job(extra=',"timeout":0.999'),
    "max_attempts 1": job(extra=',"max_attempts":1'),
    "run_at as a date": job(extra=',"run_at":"2020-02-29T23:59:59.123456Z"'),
    "run_at with an offset": job(extra=',"run_at":"2020-02-29 23:59:59+05:30"'),
    "run_at in a small t": job(extra=',"run_at":"2020-02-29t23:59:59z"'),
    "run_at without a zone": job(extra=',"run_at":"2020-02-29T23:59:59"'),
    "run_at a day": job(extra=',"run_at":"2020-02-29"'),
    "run_at as digits": job(extra=',"run_at":"1582934400"'),
    "run_at on a 30th of February": job(extra=',"run_at":"2020-02-30T00:00:00Z"'),
    "expires_at beyond 9999": job(extra=',"expires_at":253402300800'),
    "expires_at long ago": job(extra=',"expires_at":0'),
    "enqueued_at -1": job(extra=',"enqueued_at":-1'),
    "enqueued_at a date": job(extra=',"enqueued_at":"2020-02-29T23:59:59Z"'),
    "reply_to of 512": job(extra=f',"reply_to":"{"r" * 512}"'),
    "reply_to of 513": job(extra=f',"reply_to":"{"r" * 513}"'),
    "reply_to empty": job(extra=',"reply_to":""'),
    "reply_to with NUL": job(extra=r',"reply_to":"a\u0000b"'),
    "id of 256": job(f'"{"i" * 256}"'),
    "id of 129 two-byte characters": job(f'"{"é" * 129}"'),
    "id with C1": job('"a\u0085b"'),
    "traceparent of 256": job(extra=f',"traceparent":"{"t" * 256}"'),
    "traceparent of 257": job(extra=f',"traceparent":"{"t" * 257}"'),
    "traceparent empty": job(extra=',"traceparent":""'),
    "traceparent with umlaut": job(extra=',"traceparent":"ü"'),
    "hostile fields": job(extra="," + json.dumps(HOSTILE_FIELDS)[1:-1]),
}
PAYLOADS = {**DEAD, **EITHER, **EDGES, **{f"odd id {i!a}": job(json.dumps(i)) for i in ODD_IDS}}


def refuse(constant):
    raise ValueError(f"{constant} is no JSON")


def is_valid(payload):
    """The schema's word for these bytes; what is not even JSON is no job."""
    try:
        document = json.loads(payload.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return JOB.is_valid(document)


@pytest.fixture(scope="module")
def ends(house):
    """Waits for a pushed job's end: its result, None if it has none, and its dead letter, or None.
    Both are valid, as everything is that the worker writes."""
    client = house.redis.client
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("headgate:{analyze}:done")
        until(lambda: client.pubsub_numsub("headgate:{analyze}:done")[0][1], what="a listener")

        def push(payload):
            for key in client.scan_iter("headgate:{analyze}:re*"):
                client.delete(key)
            client.delete("headgate:{analyze}:dead")
            while channel.get_message():
                pass
            house.redis.push(payload)
            done = until(lambda: channel.get_message() or client.llen("headgate:{analyze}:dead"),
                         what="an end of this job")
            letter = next(iter(house.redis.dead()), None)
            texts = client.mget(client.keys("headgate:{analyze}:result:*") or ["none"])
            results = [json.loads(text) for text in texts if text]
            for result in results:
                RESULT.validate(result)
            if letter:
                DEAD_LETTER.validate(letter)
                assert base64.b64decode(letter["payload_base64"]) == payload
            assert done and len(results) <= 1
            return next(iter(results), None), letter

        yield push


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_schema_takes_a_job_where_the_worker_does(ends, name):
    payload = PAYLOADS[name]
    result, letter = ends(payload)
    is_taken = letter is None or letter["kind"] != "bad_job"
    if is_taken:
        assert result["state"] in ("succeeded", "failed", "expired")
        assert result.get("error", {}).get("kind") != "bad_job"
    if name in BEYOND_SCHEMA:
        assert (is_taken, is_valid(payload)) == (False, True), BEYOND_SCHEMA[name]
    else:
        assert is_taken == is_valid(payload)


def test_what_the_schema_cannot_say_is_listed_only_where_it_is_so():
    assert set(BEYOND_SCHEMA) <= set(PAYLOADS)


@pytest.mark.parametrize(("fault", "state", "kind"), [
    ({"do": "throttle"}, "succeeded", None),
    ({**REJECTED, "times": 3}, "failed", "rejected"),
    ({"do": "status", "status": 500, "code": "InternalServerException", "times": 3}, "failed",
     "unavailable"),
    ({"do": "reset", "times": 30}, "failed", "unavailable"),
    ({"do": "text", "text": "no feedback", "times": 3}, "failed", "bad_output"),
])
def test_the_result_is_valid_however_the_calls_went(ends, house, fault, state, kind):
    house.sim.reset()
    house.sim.script(fault)
    result, letter = ends(job(extra=',"max_attempts":1,"metadata":{"a":1},"traceparent":"00-1-2-3"'))
    assert (result["state"], result.get("error", {}).get("kind")) == (state, kind)
    assert (letter and letter["kind"]) == kind
    assert result["calls"][0]["outcome"] != "ok" and result["traceparent"] == "00-1-2-3"
    house.sim.reset()


@pytest.mark.parametrize(("output", "answer"), [
    ("json", '{"a": [1, null]}'), ("json", "[1]"), ("text", "a text"),
    ("feedback", '{"feedback_items": []}'),
])
def test_jobs_and_results_of_a_configured_type_are_valid(
        redis, sim, worker, tmp_path, output, answer):
    config = tmp_path / "headgate.json"
    config.write_text(json.dumps({"types": {"own": {"prompt": "{{topic}}", "output": output}}}))
    worker(HEADGATE_CONFIG=config)
    sim.script({"do": "text", "text": answer})
    own = {"id": "own", "type": "own", "topic": "any"}
    assert JOB.is_valid(own)
    redis.push(own)
    result = redis.wait_result("own")
    RESULT.validate(result)
    assert (result["state"], result["type"]) == ("succeeded", "own")


def test_running_cancelled_and_expired_results_are_valid(redis, sim, worker):
    process = worker()
    sim.script({"do": "hang"})
    redis.push({"id": "seen", "content": "text", "track_started": True})
    running = until(lambda: redis.result("seen"), what="a running result")
    RESULT.validate(running)
    process.post("/cancel_task/seen")
    redis.push({"id": "old", "content": "text", "expires_at": time.time() - 1})
    states = ["running"]
    for name in ("seen", "old"):
        result = redis.wait_result(name)
        RESULT.validate(result)
        assert json.loads(redis.replies(name)[0]) == result
        states.append(result["state"])
    assert states == ["running", "cancelled", "expired"]


@pytest.mark.parametrize("change", [
    {"state": "running"}, {"error": {"kind": "internal", "message": ""}}, {"result": None},
    {"surprise": 1}, {"attempt": 0}, {"state": "failed"}, {"calls": []}, {"model": None},
])
def test_the_schema_refuses_results_that_contradict_themselves(ends, change):
    result, _ = ends(job())
    assert not RESULT.is_valid({**result, **change})
