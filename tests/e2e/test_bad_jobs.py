"""A body that is no job goes to the dead letters, byte for byte, and stops nobody."""

import base64
import itertools
import json

import pytest

from payloads import DEAD, EITHER, GOOD, HOSTILE_FIELDS, ODD_IDS
from services import PRIMARY
from support import IS_SANITIZED, peak_memory_mb, until

MEGABYTE = 1024 * 1024
numbers = itertools.count(1)


def assert_next_good_job_works(house):
    job_id = f"good-{next(numbers)}"
    house.redis.push({"id": job_id, "content": "text"})
    assert house.redis.wait_result(job_id)["state"] == "succeeded"


def assert_letter_keeps(letter, payload):
    assert base64.b64decode(letter["payload_base64"]) == payload
    assert set(letter) >= {"id", "queue", "kind", "message", "at", "worker", "attempt"}
    assert letter["kind"] == "bad_job"
    assert letter["queue"] == "analyze"
    assert letter["message"]
    assert isinstance(letter["at"], (int, float))


@pytest.mark.parametrize("payload", DEAD.values(), ids=DEAD.keys())
def test_what_is_no_job_becomes_a_dead_letter(house, payload):
    calls = house.sim.stats()["calls"]
    house.redis.client.delete("headgate:{analyze}:dead")
    house.redis.push(payload)
    letter = house.redis.wait_dead_letter(payload)
    assert_letter_keeps(letter, payload)
    assert len(house.redis.dead()) == 1
    assert house.sim.stats()["calls"] == calls
    assert_next_good_job_works(house)


def test_a_job_that_never_started_has_no_duration_and_its_letter_is_a_warning(redis, worker):
    process = worker()
    redis.push({"id": "never-started", "content": 7})
    redis.wait_result("never-started")
    final = 'headgate_jobs_total{queue="analyze",state="failed"} 1'
    text = until(
        lambda: (t := process.get("/metrics").body.decode()) and final in t and t,
        what="the failed job in the metrics",
    )
    assert "headgate_job_duration_seconds_count" not in text
    (line,) = [line for line in process.log().splitlines() if "job is final" in line]
    assert "level=warn" in line


def test_a_bad_job_with_a_usable_id_gets_a_failed_result_too(house):
    payload = b'{"id":"usable","content":7,"reply_to":"usable:replies","metadata":{"a":1}}'
    house.redis.push(payload)
    result = house.redis.wait_result("usable")
    assert (result["state"], result["error"]["kind"]) == ("failed", "bad_job")
    assert "content" in result["error"]["message"]
    assert house.redis.dead_letter(payload)["id"] == "usable"
    assert len(house.redis.replies("usable")) == 1


def test_a_bad_job_without_a_usable_id_has_none_in_its_letter(house):
    payload = b'{"id":"","content":"text"}'
    house.redis.push(payload)
    assert house.redis.wait_dead_letter(payload)["id"] is None


def test_a_bad_job_does_not_replace_the_result_of_its_id(house):
    house.redis.push({"id": "taken", "content": "text"})
    first = house.redis.wait_result("taken")
    payload = b'{"id":"taken","content":false}'
    house.redis.push(payload)
    house.redis.wait_dead_letter(payload)
    assert house.redis.result("taken") == first
    assert len(house.redis.replies("taken")) == 1


@pytest.mark.parametrize("payload", EITHER.values(), ids=EITHER.keys())
def test_what_may_be_a_job_is_done_or_a_dead_letter(house, payload):
    client = house.redis.client
    client.delete("headgate:{analyze}:dead")
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("headgate:{analyze}:done")
        channel.get_message(timeout=1)
        forget_results(client)
        house.redis.push(payload)
        until(
            lambda: channel.get_message() or house.redis.dead_letter(payload),
            what="an end of this job",
        )
    assert_next_good_job_works(house)


def forget_results(client):
    """The payloads of one table share their ids."""
    for key in client.keys("headgate:{analyze}:re*"):
        client.delete(key)


@pytest.mark.parametrize("text", ["1e999", "-1", "0", "1.5", "9223372036854775808", "9" * 400])
def test_an_absurd_max_tokens_never_reaches_the_model(house, text):
    job_id = f"absurd-{next(numbers)}"
    payload = f'{{"id":"{job_id}","content":"mark-{job_id}","max_tokens":{text}}}'.encode()
    house.redis.push(payload)
    house.redis.wait_result(job_id)
    for call in house.sim.calls(f"mark-{job_id}"):
        assert 1 <= call["max_tokens"] < 2**31


@pytest.mark.parametrize("job_id", ODD_IDS, ids=ascii)
def test_an_odd_id_is_one_job_with_one_key(house, job_id):
    house.redis.push({"id": job_id, "content": "text"})
    result = house.redis.wait_result(job_id)
    assert (result["id"], result["state"]) == (job_id, "succeeded")
    assert len(house.redis.replies(job_id)) == 1


def test_an_escaped_id_is_the_same_as_a_plain_one(house):
    house.redis.push(b'{"id":"\\u006e2","content":"text"}')
    assert house.redis.wait_result("n2")["id"] == "n2"


def test_names_of_fields_are_taken_as_they_are_spelled(house):
    house.redis.push(b'{"ID":"evil","id":"spelled","Content":"evil","content":"text"}')
    assert house.redis.wait_result("spelled")["state"] == "succeeded"
    assert house.redis.result("evil") is None


ODD_TEXTS = [
    "${jndi:ldap://127.0.0.1/a}", "{{7*7}} {{content}} {{section_name}} {{{", "$(id) `id` %s%n%n",
    "\x01\x02\x1b[31m\x7f", "'; DROP TABLE jobs; --", "\u202etfel ot thgir\ufeff\u2028",
    "\\u0041 \\ \" /",
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_a_prompt_reaches_the_model_unchanged(servers, redis, worker, text):
    recorder = servers.recorder()
    worker(provider_url=recorder.url)
    redis.push({"id": "odd-text", "content": f"[{text}]"})
    assert redis.wait_result("odd-text")["state"] == "succeeded"
    assert f"[{text}]" in recorder.prompt()


def test_hostile_fields_change_neither_target_nor_state_nor_headers(servers, redis, worker):
    recorder = servers.recorder()
    worker(provider_url=recorder.url)
    redis.push({"id": "hostile", "content": "text", **HOSTILE_FIELDS})
    result = redis.wait_result("hostile")
    assert (result["state"], result["attempt"], result["model"]) == ("succeeded", 1, PRIMARY)
    ((path, headers, _),) = recorder.requests
    assert path.endswith("/converse")
    assert "X-Evil" not in headers
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")


def test_a_nul_escape_in_the_content_is_never_silently_cut(servers, redis, worker):
    recorder = servers.recorder()
    worker(provider_url=recorder.url)
    payload = redis.push(b'{"id":"nul","content":"before\\u0000behind"}')
    result = redis.wait_result("nul")
    if result["state"] == "succeeded":
        assert "behind" in recorder.prompt()
    else:
        assert redis.dead_letter(payload)


def test_a_job_over_the_limit_is_kept_byte_for_byte(redis, worker):
    worker(HEADGATE_MAX_JOB_BYTES=MEGABYTE)
    payload = redis.push({"id": "big", "content": "x" * 2 * MEGABYTE})
    assert_letter_keeps(redis.wait_dead_letter(payload), payload)
    redis.push(GOOD)
    assert redis.wait_result("x")["state"] == "succeeded"


def test_a_job_just_under_the_limit_works(redis, worker):
    worker(HEADGATE_MAX_JOB_BYTES=MEGABYTE)
    frame = len(json.dumps({"id": "fits", "content": ""}))
    redis.push({"id": "fits", "content": "x" * (MEGABYTE - frame)})
    assert redis.wait_result("fits")["state"] == "succeeded"


@pytest.mark.parametrize("kind", ["prompt", "garbage"])
def test_64_megabytes_stop_nobody_and_memory_stays_bounded(redis, worker, kind):
    process = worker()
    size = 64 * MEGABYTE
    redis.push({"content": "x" * size} if kind == "prompt" else b"\x9f" * size)
    until(lambda: redis.client.llen("headgate:{analyze}:dead") == 1, 30, "the dead letter")
    redis.push(GOOD)
    assert redis.wait_result("x", 30)["state"] == "succeeded"
    if not IS_SANITIZED:
        assert peak_memory_mb(process.pid) < 700
