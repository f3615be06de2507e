#!/usr/bin/env python3
"""make bench-cpu: what one job costs the worker and Redis, for jobs of our own and for tasks of Celery.

JOBS jobs (10,000) of 2 KB are pushed while the worker stands still; then it goes on, with up to 1,000 calls at once to the simulator, which
answers after LATENCY ms (0). Times are user and system time of the worker's processes, of the jobs alone; memory is the most that they ever had.
WORKERS="native" or "celery" runs one of the two. WORKERS="celery prefork gevent" sets Celery's own workers beside ours: the same
messages, and a task that calls the same simulator with boto3. They get a fifth of the jobs, or a hundredth where only 8 run at once.
With TENANTS each job of our own is of one of so many tenants by chance, who take turns: WORKERS="native unfair" TENANTS=1000 REPEATS=5 tells
what turns cost, by the medians of runs that take turns themselves.
"""

import base64
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

os.environ.setdefault("HEADGATE_BUILD", "build/release")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from headgate import Worker, environment  # noqa: E402
from services import RedisServer, Simulator  # noqa: E402
from support import ROOT, Process, cpu_seconds, peak_memory_mb, until  # noqa: E402

JOBS = int(os.environ.get("JOBS", "10000"))
LATENCY_MS = int(os.environ.get("LATENCY", "0"))
TENANTS = int(os.environ.get("TENANTS") or 0)
REPEATS = int(os.environ.get("REPEATS") or 1)
WORKERS = (os.environ.get("WORKERS") or "native celery").split()
CONTENT = "At 10:00 the disk was full and the replica lagged behind. " * 34
AT_ONCE = 1000
PROMPT = 'Analyze the section {name} of this document. Answer with JSON only: {{"feedback_items": [...]}}\n\n{content}'
BENCH = Path(__file__).resolve().parent


def native_job():
    tenant = {"tenant": f"customer-{random.randrange(TENANTS)}"} if TENANTS > 0 else {}
    return "analyze", json.dumps({"id": uuid.uuid4().hex, **tenant, "section_name": "Timeline", "content": CONTENT})


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


def push(redis, job, count):
    with redis.client.pipeline() as pipe:
        for _ in range(count):
            pipe.rpush(*job())
        pipe.execute()


class Headgate(Worker):
    """Ours, by the settings that make it one of the two kinds."""

    warm_up = 300

    def __init__(self, directory, redis, sim, job, **settings):
        config = directory.parent / "headgate.json"
        config.write_text(json.dumps({"types": {"analyze": {
            "system": "", "prompt": PROMPT.format(name="{{section_name}}", content="{{content}}")}}}))
        super().__init__("worker", directory, environment(
            redis.url, sim.url, HEADGATE_CONCURRENCY=AT_ONCE, HEADGATE_LEASE_SECONDS=60, HEADGATE_CONFIG=config, **settings))
        self.job, self.jobs = job, JOBS

    def is_idle(self):
        return "headgate_jobs_held 0" in self.get("/metrics").body.decode()

    def pids(self):
        return [self.pid]


class CeleryWorker(Process):
    """Celery's own, with one of its pools."""

    job = staticmethod(celery_task)

    def __init__(self, directory, redis, sim, pool, at_once):
        super().__init__("celery", directory)
        self.redis, self.pool, self.at_once = redis, pool, at_once
        self.warm_up = 2 * at_once
        self.jobs = JOBS // 5 if at_once == AT_ONCE or LATENCY_MS < 100 else JOBS // 100
        self.env = {**environment(redis.url, sim.url), "BEDROCK_URL": sim.url, "PROMPT": PROMPT, "PYTHONPATH": str(BENCH),
                    "PYTHONDONTWRITEBYTECODE": "1", "C_FORCE_ROOT": "1", "HOME": str(directory)}

    def up(self):
        python = ROOT / "build/celery/bench/bin/python"
        self.start([python, "-m", "celery", "-A", "celery_bedrock", "worker", "-P", self.pool, "-c", self.at_once,
                    "-l", "WARNING"], self.env)
        until(lambda: self.redis.client.exists("_kombu.binding.analysis"), 60, "a worker of Celery")
        return self

    def is_idle(self):
        return not self.redis.client.exists("analysis", "unacked")

    def pids(self):
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def kill(self):
        for pid in reversed(self.pids()):
            os.kill(pid, signal.SIGKILL)
        super().kill()


CONTENDERS = {
    "native": lambda *place: Headgate(*place, native_job),
    "unfair": lambda *place: Headgate(*place, native_job, HEADGATE_FAIR="off"),
    "celery": lambda *place: Headgate(*place, celery_task, USE_CELERY="true"),
    "prefork": lambda *place: CeleryWorker(*place, "prefork", 8),
    "gevent": lambda *place: CeleryWorker(*place, "gevent", AT_ONCE),
}


def cpu_of(worker):
    return sum(map(cpu_seconds, worker.pids()))


def wait_for(sim, worker, calls):
    until(lambda: sim.stats()["calls"] >= calls, 300)
    until(worker.is_idle, 60)


def measure(redis, sim, worker):
    """Microseconds of the worker's and of Redis' processor for a job, jobs a second, MB."""
    push(redis, worker.job, worker.warm_up)
    wait_for(sim, worker, worker.warm_up)
    worker.stop()
    push(redis, worker.job, worker.jobs)
    before, redis_before, began = cpu_of(worker), cpu_seconds(redis.pid), time.monotonic()
    worker.cont()
    wait_for(sim, worker, worker.warm_up + worker.jobs)
    seconds, per_job = time.monotonic() - began, 1e6 / worker.jobs
    return (per_job * (cpu_of(worker) - before), per_job * (cpu_seconds(redis.pid) - redis_before), worker.jobs / seconds,
            sum(map(peak_memory_mb, worker.pids())))


def say(name, figures):
    print("{}: {:.0f} us a job, Redis {:.0f} us, {:.0f} jobs/s, at most {:.0f} MB".format(name, *figures), flush=True)


def run(name, directory):
    processes = []

    def running(process):
        processes.insert(0, process)
        return process.up()

    try:
        redis = running(RedisServer(directory / "redis"))
        sim = running(Simulator(directory / "sim", {"default": {"latency_ms": LATENCY_MS, "reply": "feedback"}}))
        return measure(redis, sim, running(CONTENDERS[name](directory / "worker", redis, sim)))
    finally:
        for process in processes:
            process.kill()


def main():
    runs = {name: [] for name in WORKERS}
    for name in WORKERS * REPEATS:
        with tempfile.TemporaryDirectory() as directory:
            runs[name].append(run(name, Path(directory)))
        say(name, runs[name][-1])
    for name in runs if REPEATS > 1 else ():
        say(f"median of {name}", map(statistics.median, zip(*runs[name])))


if __name__ == "__main__":
    main()
