"""What outside input can make the worker hold has a bound."""

import json
import os
import re
import socket

import pytest

from headgate import CommandLine, environment
from support import IS_SANITIZED, cpu_seconds, peak_memory_mb, until
from world import needs

MIB = 1024 * 1024
# A sanitizer's own memory says nothing about ours.
measures_memory = pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer needs memory of its own")


def figure(process, name):
    text = process.get("/metrics").body.decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def push_large(redis, count, size=8 * MIB - 1000, **fields):
    """Jobs of about `size` bytes; numbered, as fast as Redis takes them."""
    pipe = redis.client.pipeline(transaction=False)
    for n in range(count):
        pipe.rpush("analyze", json.dumps({"id": f"large-{n}", "content": "x" * size, **fields}))
        pipe.execute()


def ends(redis):
    stats = redis.client.hgetall("headgate:{analyze}:stats")
    return {state.decode(): int(count) for state, count in stats.items()}


@measures_memory
def test_many_large_jobs_stay_within_the_memory_that_was_allowed(redis, sim, worker):
    """64 jobs of 8 MiB that would all run at once, three to five times as much as is allowed."""
    sim.config(default={"latency_ms": 200})
    process = worker(HEADGATE_CONCURRENCY=100, HEADGATE_MEMORY_MAX="256m")
    push_large(redis, 64)
    until(lambda: ends(redis).get("succeeded", 0) == 64, 60, "all jobs")
    assert 1 < sim.stats()["max_open"] < 20
    assert peak_memory_mb(process.pid) < 256
    until(lambda: figure(process, "headgate_memory_held_bytes") == 0, what="nothing held")


@measures_memory
def test_large_dead_letters_stay_within_the_memory_that_was_allowed(redis, worker):
    process = worker(HEADGATE_CONCURRENCY=100, HEADGATE_MEMORY_MAX="220m")
    push_large(redis, 24, max_tokens="many")
    until(lambda: ends(redis).get("failed", 0) == 24, 60, "all jobs")
    assert peak_memory_mb(process.pid) < 220


@measures_memory
def test_large_answers_that_redis_does_not_take_stay_within_the_memory_that_was_allowed(
    redis, sim, worker
):
    """Small jobs, all open as Redis refuses to be written to, each answered with 6 MiB."""
    sim.config(default={"latency_ms": 500, "reply": {"text": "y" * (6 * MIB)}})
    process = worker(
        HEADGATE_CONCURRENCY=100, HEADGATE_MEMORY_MAX="220m", HEADGATE_MAX_ATTEMPTS=1
    )
    for n in range(60):
        redis.push({"id": f"small-{n}", "type": "chat", "query": "?"})
    until(lambda: sim.stats()["calls"] >= 60, what="the calls")
    redis.client.config_set("maxmemory", 1)
    until(lambda: sim.stats()["open"] == 0, 30, "the end of the calls")
    until(lambda: figure(process, "headgate_answers_kept") > 2, what="kept answers")
    assert process.get("/healthz").status == 200
    redis.client.config_set("maxmemory", 0)
    until(lambda: sum(ends(redis).get(s, 0) for s in ("succeeded", "failed")) == 60, 60, "all ends")
    assert peak_memory_mb(process.pid) < 220


def test_small_jobs_are_not_slowed_by_a_bound_on_memory(redis, sim, worker):
    sim.config(default={"latency_ms": 2000})
    worker(HEADGATE_CONCURRENCY=200, HEADGATE_MEMORY_MAX="300m")
    for n in range(200):
        redis.push({"id": f"small-{n}", "content": "text"})
    until(lambda: sim.stats()["max_open"] == 200, 20, "as many calls as there are slots")


def test_a_small_job_in_front_of_large_ones_does_not_hide_them(redis, sim, worker):
    """The claim that brings it has no room for the next: there is more all the same."""
    redis.push({"id": "first", "content": "text"})
    push_large(redis, 3)
    worker(HEADGATE_MEMORY_MAX="220m")
    for name in ("first", "large-0", "large-1", "large-2"):
        assert redis.wait_result(name, 20)["state"] == "succeeded"


def test_a_bound_too_small_for_one_job_is_told_at_the_start(redis, sim):
    cli = CommandLine(environment(redis.url, sim.url, HEADGATE_MEMORY_MAX="100m"))
    done = cli("worker")
    assert done.code == 2
    assert "HEADGATE_MEMORY_MAX=100m: must be 0 or at least " in done.err
    assert "HEADGATE_MAX_JOB_BYTES=8388608" in done.err


# ---- more than Redis takes ----

SMALL_BULKS = ("--proto-max-bulk-len", "1mb")


@pytest.fixture
def narrow(servers):
    """A Redis that takes no argument above 1 MiB, and hangs up on whoever sends one."""
    return servers.redis(arguments=SMALL_BULKS)


def test_a_result_larger_than_redis_takes_is_a_clear_failure(narrow, sim, worker):
    sim.config(default={"reply": {"text": "y" * (2 * MIB)}})
    worker(redis_url=narrow.url)
    payload = narrow.push({"id": "long", "type": "chat", "query": "mark-long"})
    result = narrow.wait_result("long")
    assert (result["state"], result["error"]["kind"]) == ("failed", "bad_output")
    assert re.search(r"the result of 2\d{6} bytes is more than Redis takes", result["error"]["message"])
    assert narrow.wait_dead_letter(payload)["kind"] == "bad_output"
    assert len(sim.calls("mark-long")) == 1
    sim.config(default={"reply": {"text": "short"}})
    narrow.push({"id": "short", "type": "chat", "query": "?"})
    assert narrow.wait_result("short")["state"] == "succeeded"


def test_a_dead_letter_larger_than_redis_takes_is_written_without_the_job(narrow, worker):
    worker(redis_url=narrow.url)
    narrow.push({"id": "bad", "content": "x" * (1_000_000), "max_tokens": "many"})
    result = narrow.wait_result("bad")
    assert (result["state"], result["error"]["kind"]) == ("failed", "bad_job")
    (letter,) = narrow.dead()
    assert (letter["id"], letter["kind"], letter["payload_base64"]) == ("bad", "bad_job", "")
    assert "more than Redis takes" in letter["message"]


def test_metadata_as_large_as_redis_takes_stops_no_job(narrow, sim, worker):
    """The result that repeats them is larger, and so is the running one."""
    worker(redis_url=narrow.url)
    job = {"id": "m", "content": "mark-m", "track_started": True, "metadata": {"m": ""}}
    job["metadata"]["m"] = "x" * (MIB - len(json.dumps(job)))
    narrow.push(job)
    result = narrow.wait_result("m")
    assert (result["state"], result["metadata"]) == ("failed", {})
    assert len(sim.calls("mark-m")) == 1


def test_an_answer_that_would_become_a_larger_result_is_bad_output(redis, sim, worker):
    """Items of a few bytes get all their fields."""
    items = ",".join(f'{{"confidence":1,"description":"{n}"}}' for n in range(400))
    sim.config(default={"reply": {"text": f'{{"feedback_items":[{items}]}}'}})
    worker(HEADGATE_MAX_RESPONSE_BYTES="20k", HEADGATE_MAX_ATTEMPTS=1)
    redis.push({"id": "many", "content": "text"})
    result = redis.wait_result("many")
    assert (result["state"], result["error"]["kind"]) == ("failed", "bad_output")
    assert "more than HEADGATE_MAX_RESPONSE_BYTES" in result["error"]["message"]


# ---- descriptors ----


@needs("prlimit")
def test_idle_connections_take_no_descriptor_from_calls_and_redis(redis, sim, worker):
    """Half of 64 are for calls; the port had taken all of them, and Redis could not be reached."""
    process = worker(within=["prlimit", "--nofile=64:64"])
    idle = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(100)]
    try:
        before = cpu_seconds(process.pid)
        redis.client.client_kill_filter(_type="normal", skipme=True)
        redis.client.connection_pool.disconnect()
        for n in range(20):
            redis.push({"id": f"j{n}", "content": "text"})
        for n in range(20):
            assert redis.wait_result(f"j{n}")["attempt"] == 1
        assert process.get("/healthz").status == 200
        assert "Too many open files" not in process.log()
        assert len(os.listdir(f"/proc/{process.pid}/fd")) < 64
        assert cpu_seconds(process.pid) - before < 1, "it spins"
    finally:
        for connection in idle:
            connection.close()


# ---- the HTTP port ----


@measures_memory
def test_clients_that_do_not_take_large_answers_are_bounded_together(redis, worker):
    process = worker(HEADGATE_MEMORY_MAX="400m")
    document = {"id": "huge", "state": "succeeded", "result": {"response": "z" * (8 * MIB)}}
    redis.client.set("headgate:{analyze}:result:huge", json.dumps(document))
    request = f"GET /task_status/huge HTTP/1.1\r\nHost: {process.host}\r\n\r\n".encode()
    clients = [lazy_client(process.port, request) for _ in range(40)]
    try:
        heads = [client.recv(12) for client in clients]
        assert {b"HTTP/1.1 200", b"HTTP/1.1 503"} == set(heads)
        assert process.get("/healthz").status == 200
        assert peak_memory_mb(process.pid) < 220
    finally:
        for client in clients:
            client.close()


def lazy_client(port, request):
    """One that reads nothing by itself, not even into its kernel's buffers."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    client.sendall(request)
    return client
