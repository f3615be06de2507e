#!/usr/bin/env python3
"""Jobs of 8 MiB, one after the other: what a worker has in memory at most stays within HEADGATE_MEMORY_MAX.

JOBS, SECONDS (whatever comes first), MEMORY_MAX and WAITING (how many are kept waiting in Redis) are in the
environment. Exits 1 when the worker had more in memory, or when a job did not succeed.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from headgate import Worker, environment  # noqa: E402
from services import RedisServer, Simulator  # noqa: E402
from support import until  # noqa: E402

JOBS = int(os.environ.get("JOBS") or 10000)
SECONDS = float(os.environ.get("SECONDS") or 3600)
MEMORY_MAX = os.environ.get("MEMORY_MAX") or "512m"
WAITING = int(os.environ.get("WAITING") or 100)
JOB_BYTES = 8 << 20
REPORT_EVERY_S = 30
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def resident_mib(pid, what):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) / 1024


def payload(number):
    """A job of exactly the largest size that is taken."""
    head, tail = f'{{"id":"large-{number}","content":"', '"}'
    return head + "x" * (JOB_BYTES - len(head) - len(tail)) + tail


def feed(redis, worker):
    """Pushes until JOBS or SECONDS are over; returns how many."""
    began, pushed, told = time.monotonic(), 0, 0.0
    while pushed < JOBS and time.monotonic() - began < SECONDS:
        assert worker.is_alive(), worker.last_words()
        for _ in range(min(JOBS - pushed, WAITING - redis.client.llen("analyze"))):
            redis.client.rpush("analyze", payload(pushed))
            pushed += 1
        if time.monotonic() - began >= told:
            told += REPORT_EVERY_S
            print(f"{time.monotonic() - began:6.0f} s: {pushed} pushed, {resident_mib(worker.pid, 'VmRSS'):.0f} "
                  f"MiB now, {resident_mib(worker.pid, 'VmHWM'):.0f} at most", flush=True)
        time.sleep(0.05)
    return pushed


def ends(redis):
    stats = redis.client.hgetall("headgate:{analyze}:stats")
    return {state: int(stats.get(state.encode(), 0))
            for state in ("succeeded", "failed", "expired", "cancelled")}


def main():
    bound_mib = int(MEMORY_MAX[:-1]) * UNITS[MEMORY_MAX[-1]] >> 20
    directory = Path(tempfile.mkdtemp(prefix="headgate-large-"))
    print(f"jobs of {JOB_BYTES} bytes, 1000 slots, HEADGATE_MEMORY_MAX={MEMORY_MAX}; logs in {directory}")
    redis = RedisServer(directory / "redis").up()
    sim = Simulator(directory / "sim", {"default": {"latency_ms": 400, "reply": "feedback"}}).up()
    worker = Worker("worker", directory / "worker", environment(
        redis.url, sim.url, HEADGATE_CONCURRENCY=1000, HEADGATE_MEMORY_MAX=MEMORY_MAX,
        HEADGATE_RESULT_TTL=60, HEADGATE_LEASE_SECONDS=12))
    try:
        began = time.monotonic()
        worker.up()
        pushed = feed(redis, worker)
        until(lambda: sum(ends(redis).values()) == pushed, 600, "the end of all jobs")
        most, took, open_ = resident_mib(worker.pid, "VmHWM"), time.monotonic() - began, sim.stats()["max_open"]
        print(f"{pushed} jobs of 8 MiB in {took:.0f} s: {json.dumps(ends(redis))}; {most:.0f} MiB resident "
              f"at most, {open_} calls at once, {resident_mib(worker.pid, 'VmRSS'):.0f} MiB at the end")
        succeeded = ends(redis)["succeeded"]
        worker.end()
    finally:
        for process in (worker, sim, redis):
            process.kill()
    if most > bound_mib or succeeded != pushed:
        sys.exit(f"FAILED: {bound_mib} MiB were allowed; logs in {directory}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
