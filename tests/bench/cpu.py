#!/usr/bin/env python3
"""make bench-cpu: what one job costs the worker and Redis, for jobs of our own and for tasks of Celery.

JOBS jobs (10,000) of 2 KB are pushed while the worker stands still; then it goes on, with up to 1,000 calls at once to the simulator, which
answers after LATENCY ms (0). Times are user and system time of each process, of the jobs alone; memory is the most that the worker ever had.
MODE=native or MODE=celery runs one of the two.
"""

import base64
import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path

os.environ.setdefault("HEADGATE_BUILD", "build/release")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from headgate import Worker, environment  # noqa: E402
from services import RedisServer, Simulator  # noqa: E402
from support import cpu_seconds, peak_memory_mb, until  # noqa: E402

JOBS = int(os.environ.get("JOBS", "10000"))
LATENCY_MS = int(os.environ.get("LATENCY", "0"))
MODES = os.environ.get("MODE", "native,celery").split(",")
CONTENT = "At 10:00 the disk was full and the replica lagged behind. " * 34
WARM_UP = 300
AT_ONCE = 1000


def native_job():
    return "analyze", json.dumps({"id": uuid.uuid4().hex, "section_name": "Timeline", "content": CONTENT})


def celery_task():
    """As Celery 5 sends `analyze_section_task.delay("Timeline", CONTENT, "report", "s1")`."""
    task_id = str(uuid.uuid4())
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([["Timeline", CONTENT, "report", "s1"], {}, embed])
    return "analysis", json.dumps({
        "body": base64.b64encode(body.encode()).decode(), "content-encoding": "utf-8", "content-type": "application/json",
        "headers": {"lang": "py", "task": "celery_tasks_enhanced.analyze_section_task", "id": task_id, "shadow": None, "eta": None,
                    "expires": None, "group": None, "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": task_id,
                    "parent_id": None, "argsrepr": "...", "kwargsrepr": "{}", "origin": "gen1@host", "ignore_result": False},
        "properties": {"correlation_id": task_id, "reply_to": str(uuid.uuid4()), "delivery_mode": 2,
                       "delivery_info": {"exchange": "", "routing_key": "analysis"}, "priority": 0, "body_encoding": "base64",
                       "delivery_tag": str(uuid.uuid4())}})


KINDS = {"native": (native_job, {}), "celery": (celery_task, {"USE_CELERY": "true"})}


def push(redis, job, count):
    with redis.client.pipeline() as pipe:
        for _ in range(count):
            pipe.rpush(*job())
        pipe.execute()


def wait_for(sim, worker, calls):
    until(lambda: sim.stats()["calls"] >= calls, 300)
    until(lambda: "headgate_jobs_held 0" in worker.get("/metrics").body.decode(), 60)


def measure(mode, redis, sim, worker):
    job = KINDS[mode][0]
    push(redis, job, WARM_UP)
    wait_for(sim, worker, WARM_UP)
    worker.stop()
    push(redis, job, JOBS)
    before, redis_before, began = cpu_seconds(worker.pid), cpu_seconds(redis.pid), time.monotonic()
    worker.cont()
    wait_for(sim, worker, WARM_UP + JOBS)
    seconds = time.monotonic() - began
    print(f"{mode}: {1e6 * (cpu_seconds(worker.pid) - before) / JOBS:.0f} us a job, "
          f"Redis {1e6 * (cpu_seconds(redis.pid) - redis_before) / JOBS:.0f} us, {JOBS / seconds:.0f} jobs/s, "
          f"at most {peak_memory_mb(worker.pid)} MB", flush=True)


def run(mode, directory):
    processes = []

    def running(process):
        processes.insert(0, process)
        return process.up()

    try:
        redis = running(RedisServer(directory / "redis"))
        sim = running(Simulator(directory / "sim", {"default": {"latency_ms": LATENCY_MS, "reply": "feedback"}}))
        worker = running(Worker("worker", directory / "worker", environment(
            redis.url, sim.url, HEADGATE_CONCURRENCY=AT_ONCE, HEADGATE_LEASE_SECONDS=60, **KINDS[mode][1])))
        measure(mode, redis, sim, worker)
    finally:
        for process in processes:
            process.kill()


def main():
    for mode in MODES:
        with tempfile.TemporaryDirectory() as directory:
            run(mode, Path(directory))


if __name__ == "__main__":
    main()
