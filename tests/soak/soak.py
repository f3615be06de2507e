#!/usr/bin/env python3
"""make soak: one worker under a steady mix of everything; its memory and descriptors must stay flat.

SECONDS and RATE (jobs a second) are in the environment. After a warm-up the rest is cut into thirds: the
median of the last may lie above that of the first by the tolerances below, no more. Exits 1 when it does.
"""

import contextlib
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import redis as redis_client  # noqa: E402
from headgate import Worker, environment  # noqa: E402
from payloads import DEAD  # noqa: E402
from services import PRIMARY, RedisServer, Simulator  # noqa: E402
from support import free_port, raw_http, until  # noqa: E402

SECONDS = float(os.environ.get("SECONDS", 1800))
RATE = float(os.environ.get("RATE", 40))
WARM_UP = 0.2  # of the whole
OUTAGE_EVERY_S = 30
SAMPLE_EVERY_S = 1
REPORT_EVERY_S = 60
# What a flat line may rise by: heap pages that a later burst touched first, connections kept open.
MEMORY_TOLERANCE_KB, MEMORY_TOLERANCE = 2048, 0.05
DESCRIPTOR_TOLERANCE = 8


def sample(pid):
    """Resident KiB and open descriptors."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


class Load:
    """The threads that keep the worker busy; each goes on through outages."""

    def __init__(self, redis, sim, worker):
        self.redis, self.sim, self.worker = redis, sim, worker
        self.chance = random.Random(1)
        self.is_over = threading.Event()
        self.pushed = self.requests = self.outages = 0
        steps = [(self.push, 1 / RATE), (self.call_http, 0.2), (self.fail_models, 2)]
        self.threads = [threading.Thread(target=self.repeat, args=step) for step in steps]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, step, every_s):
        while not self.is_over.wait(every_s):
            with contextlib.suppress(OSError, redis_client.RedisError):
                step()

    def push(self):
        dice = self.chance.random()
        job = {"id": f"soak-{self.pushed}", "content": "x" * int(self.chance.expovariate(1 / 3000))}
        payload = json.dumps(job).encode()
        if dice < 0.03:
            payload = self.chance.choice(list(DEAD.values()))
        elif dice < 0.031:
            payload = json.dumps({**job, "content": "x" * 3_000_000}).encode()
        elif dice < 0.06:
            payload = json.dumps({**job, "run_at": time.time() + 5, "track_started": True}).encode()
        elif dice < 0.09:
            payload = json.dumps({**job, "reply_to": "soak-replies"}).encode()
        self.redis.client.rpush("analyze", payload)
        self.redis.client.ltrim("soak-replies", -10, -1)
        if dice > 0.98:
            self.worker.post(f"/cancel_task/{job['id']}")
        self.pushed += 1

    def call_http(self):
        port = self.worker.port
        self.requests += 1
        match self.requests % 6:
            case 0: self.worker.get("/metrics")
            case 1: self.worker.get("/queue_stats")
            case 2: self.worker.post("/analyze_section", {"section_name": "s", "content": "over HTTP"})
            case 3: self.worker.get(f"/task_status/soak-{max(0, self.pushed - 20)}")
            case 4: raw_http(port, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n" * 2 + b"\r\n")
            case 5: self.worker.get("/readyz")

    def fail_models(self):
        faults = ["throttle", "reset", "garbage", "drip"]
        self.sim.script({"do": self.chance.choice(faults)}, model=PRIMARY)

    def break_redis(self):
        """For the main thread: a server ends with the thread that started it."""
        self.outages += 1
        breaks = [self.hang_up_on_all, self.redis.client.script_flush, self.restart_redis]
        with contextlib.suppress(redis_client.RedisError):
            breaks[self.outages % 3]()

    def hang_up_on_all(self):
        self.redis.client.client_kill_filter(_type="normal", skipme=True)

    def restart_redis(self):
        self.redis.kill()
        self.redis.up()


def is_empty(redis):
    """Is nothing waiting? False also where our own connection was killed with the others."""
    try:
        return redis.client.llen("analyze") == 0
    except redis_client.RedisError:
        return False


def watch(worker, load):
    """(seconds, resident KiB, descriptors), one a second."""
    began, samples, reported = time.monotonic(), [], 0
    breaks_at = OUTAGE_EVERY_S
    print(f"{'second':>7} {'KiB':>7} {'fds':>4} {'pushed':>7} {'requests':>8} {'outages':>7}", flush=True)
    while (now := time.monotonic() - began) < SECONDS:
        time.sleep(SAMPLE_EVERY_S)
        assert worker.is_alive(), worker.last_words()
        samples.append((now, *sample(worker.pid)))
        if now >= breaks_at:
            breaks_at += OUTAGE_EVERY_S
            load.break_redis()
        if now >= reported:
            reported += REPORT_EVERY_S
            print(f"{now:7.0f} {samples[-1][1]:7} {samples[-1][2]:4} {load.pushed:7} "
                  f"{load.requests:8} {load.outages:7}", flush=True)
    return samples


def judge(samples):
    """What grew, as sentences."""
    steady = [s for s in samples if s[0] >= SECONDS * WARM_UP]
    third = len(steady) // 3
    thirds = [steady[:third], steady[third:2 * third], steady[2 * third:]]
    memory = [statistics.median(s[1] for s in part) for part in thirds]
    descriptors = [statistics.median(s[2] for s in part) for part in thirds]
    print(f"medians of the thirds after the warm-up: {memory} KiB, {descriptors} descriptors; "
          f"most: {max(s[1] for s in samples)} KiB, {max(s[2] for s in samples)} descriptors")
    grown = []
    if memory[2] > memory[0] * (1 + MEMORY_TOLERANCE) + MEMORY_TOLERANCE_KB:
        grown.append(f"memory grows: {memory}")
    if descriptors[2] > descriptors[0] + DESCRIPTOR_TOLERANCE:
        grown.append(f"descriptors grow: {descriptors}")
    return grown


def main():
    directory = Path(tempfile.mkdtemp(prefix="headgate-soak-"))
    print(f"soak: {SECONDS:.0f} s, {RATE:.0f} jobs/s, logs in {directory}")
    redis = RedisServer(directory / "redis", aof=True).up()
    sim = Simulator(directory / "sim", {
        "default": {"latency_ms": {"median": 300, "sigma": 0.5}, "reply": "feedback"}}).up()
    worker = Worker("worker", directory / "worker", environment(
        redis.url, sim.url, HEADGATE_CONCURRENCY=100, HEADGATE_RESULT_TTL=60, HEADGATE_DEAD_MAX=100,
        HEADGATE_LEASE_SECONDS=12, HEADGATE_HTTP=f"127.0.0.1:{free_port()}",
        **{name: os.environ[name] for name in ("HEADGATE_MEMORY_MAX",) if name in os.environ}))
    try:
        worker.up()
        load = Load(redis, sim, worker)
        try:
            grown = judge(watch(worker, load))
        finally:
            load.end()
        until(lambda: is_empty(redis), 60, "an empty queue")
        worker.end()
    finally:
        for process in (worker, sim, redis):
            process.kill()
    if grown:
        sys.exit(f"FAILED: {'; '.join(grown)}; logs in {directory}")
    shutil.rmtree(directory)
    print("flat")


if __name__ == "__main__":
    main()
