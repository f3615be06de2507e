"""The host runs out of disk, descriptors or memory, or its system calls fail."""

import os
import re
import subprocess

import pytest
import redis as redis_client

from support import IS_SANITIZED, cpu_seconds, stays, until
from world import needs


def job(name, **fields):
    return {"id": name, "content": f"mark-{name}", **fields}


def assert_once(redis, *names, timeout=15):
    for name in names:
        assert redis.wait_result(name, timeout)["state"] == "succeeded", name
        assert len(redis.replies(name)) == 1, name


def shell(script):
    """A prefix that changes what the worker is given, then becomes it."""
    return ["sh", "-c", f'{script} exec "$@"', "sh"]


def figure(process, name):
    text = process.get("/metrics").body.decode()
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


# ---- disk ----


@needs("mount namespaces")
@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_a_full_disk_under_redis_costs_no_job_and_no_call(servers, sim, worker, fsync):
    """With everysec Redis refuses writes (MISCONF), with always it ends."""
    disk = servers.small_disk(8)
    redis = servers.redis(
        aof=True, within=disk.within, arguments=("--dir", disk.directory, "--appendfsync", fsync)
    )
    process = worker(redis_url=redis.url)
    sim.script({"do": "delay", "ms": 1000})
    redis.push(job("during"))
    sim.wait_open(1)
    try:
        redis.client.set("ballast", b"x" * 12_000_000)
    except redis_client.ConnectionError:
        pass  # it has ended before it could answer
    until(lambda: process.readiness() == 503, 15, "a red /readyz")
    until(lambda: sim.stats()["open"] == 0, what="the answer meanwhile")
    assert process.get("/healthz", timeout=2).status == 200
    assert (fsync == "always") != redis.is_alive()

    disk.grow(64)
    if fsync == "always":
        redis.up()
    until(lambda: accepts_writes(redis), what="a Redis that takes writes")
    redis.push(job("after"))
    assert_once(redis, "during", "after")
    assert [len(sim.calls(f"mark-{name}")) for name in ("during", "after")] == [1, 1]
    until(process.is_ready, what="a green /readyz")


def accepts_writes(redis):
    try:
        return redis.client.set("probe", 1)
    except redis_client.ResponseError:
        return False


def test_a_full_disk_under_the_log_drops_lines_and_no_job(redis, worker):
    process = worker(within=shell("exec 2>/dev/full;"))
    names = [f"full-{n}" for n in range(20)]
    for name in names:
        redis.push(job(name))
    assert_once(redis, *names)
    assert figure(process, "headgate_log_lines_dropped") > 0


def test_a_log_that_nobody_reads_drops_lines_and_no_job(redis, worker, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # For reading and writing: so neither end waits for the other.
    reader = os.open(pipe, os.O_RDWR)
    try:
        process = worker(within=shell(f"exec 2>{pipe};"), HEADGATE_LOG_LEVEL="debug")
        names = [f"unread-{n}" for n in range(400)]
        for name in names:
            redis.push(job(name))
        assert_once(redis, *names)
        assert figure(process, "headgate_log_lines_dropped") > 0
        assert process.get("/healthz", timeout=2).status == 200
    finally:
        os.close(reader)


# ---- descriptors and memory ----


@needs("prlimit")
def test_too_few_descriptors_make_calls_wait_and_lose_none(redis, sim, worker):
    process = worker(within=["prlimit", "--nofile=48:48"], HEADGATE_CONCURRENCY=200)
    sim.config(default={"latency_ms": 100})
    names = [f"few-{n}" for n in range(150)]
    for name in names:
        redis.push(job(name))
    assert_once(redis, *names, timeout=60)
    assert process.is_alive()
    assert {redis.result(name)["attempt"] for name in names} == {1}
    until(process.is_ready, what="a green /readyz")
    before = cpu_seconds(process.pid)
    stays(process.is_alive, 0.5, "the worker")
    assert cpu_seconds(process.pid) - before < 0.3, "it spins"


@needs("prlimit")
@pytest.mark.skipif(IS_SANITIZED, reason="AddressSanitizer needs terabytes of addresses")
def test_too_little_memory_loses_no_job(redis, sim, worker):
    """It works on, or dies and another takes over: nothing in between."""
    megabytes = 120
    sim.config(default={"latency_ms": 300})
    names = [f"large-{n}" for n in range(12)]
    for name in names:
        redis.push(job(name, filler="x" * 7_000_000))
    small = worker(wait_ready=False, within=["prlimit", f"--as={megabytes << 20}"])
    until(lambda: not small.is_alive() or all(map(redis.result, names)), 20, "its end, or theirs")
    worker()
    assert_once(redis, *names, timeout=30)


# ---- system calls ----


FAILURES = [
    ("readv", "EAGAIN"), ("readv", "ECONNRESET"), ("writev", "ENOBUFS"), ("writev", "EPIPE"),
    ("recvfrom", "ECONNRESET"), ("sendto", "ENOBUFS"), ("socket", "EMFILE"),
    ("connect", "ENETUNREACH"), ("epoll_wait", "EINTR"), ("epoll_ctl", "ENOMEM"),
    ("openat", "EMFILE"), ("accept4", "EMFILE"), ("getsockopt", "ENOBUFS"), ("fcntl", "EINVAL"),
    ("clone3", "EAGAIN"),
]


@needs("strace")
@pytest.mark.parametrize(("call", "error"), FAILURES, ids=lambda value: value)
def test_system_calls_that_fail_now_and_then_end_nobody(redis, sim, worker, call, error):
    """Every third one: connections are opened anew all the while, so that all of them are met."""
    process = worker(HEADGATE_JOB_TIMEOUT=5, HEADGATE_CALL_TIMEOUT=2, HEADGATE_MAX_ATTEMPTS=20)
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
         "-e", f"inject={call}:error={error}:when=2+3", "-p", str(process.pid)],
        stderr=subprocess.PIPE,
    )
    try:
        until(lambda: is_traced(process.pid), what="strace")
        names = [f"sys-{n}" for n in range(12)]
        for n, name in enumerate(names):
            if n % 4 == 0:
                redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            redis.push(job(name))
            stays(process.is_alive, 0.05, process.name)
    finally:
        tracer.terminate()
        tracer.wait()
        tracer.stderr.close()
    assert_once(redis, *names, timeout=30)
    redis.push(job("after"))
    assert_once(redis, "after")
    until(process.is_ready, 30, "a green /readyz")


def is_traced(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return "TracerPid:\t0\n" not in status.read()
