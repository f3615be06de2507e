"""Celery's prefork workers and ours on one queue, killed with kill -9 in turn, as they come: every task
gets its result. A short run here; `make chaos-celery SECONDS=600` is a long one, and tells figures."""

import json
import os
import random
import time
from pathlib import Path

import pytest

from celery_clients import PRELUDE, newest
from support import Process, until

LONG = os.environ.get("HEADGATE_CELERY_CHAOS_SECONDS")
SECONDS = float(LONG or 12)
SEED = int(os.environ.get("SEED") or time.time_ns() % 1000000)
VISIBILITY = 5  # of all workers: what a killed one of Celery's held comes back after it
PER_SECOND = 25
SEND = f"""
end = time.monotonic() + {SECONDS}
while time.monotonic() < end:
    print(analyze_section_task.delay("S", "text").id, flush=True)
    time.sleep({1 / PER_SECOND})
"""


class Ledger:
    """Which tasks were sent, and which have their end; those are not asked for again."""

    def __init__(self, redis, producer):
        self.redis, self.producer = redis, producer
        self.ends = {}

    def open(self):
        return [task_id for task_id in self.producer.log().split("\n")[:-1] if task_id not in self.ends]

    def lost(self):
        """Those that neither wait nor are on record nor have their end, at one moment."""
        ids = self.open()
        with self.redis.client.pipeline(transaction=True) as moment:
            moment.lrange("analysis", 0, -1)
            moment.hvals("unacked")
            for task_id in ids:
                moment.get(f"celery-task-meta-{task_id}")
            waiting, held, *metas = moment.execute()
        for task_id, text in zip(ids, metas):
            document = json.loads(text or "{}")
            if document.get("status") in ("SUCCESS", "FAILURE"):
                self.ends[task_id] = document
        found = {json.loads(text)["headers"]["id"] for text in waiting}
        found |= {json.loads(text)[0]["headers"]["id"] for text in held}
        return [task_id for task_id in ids if task_id not in found and task_id not in self.ends]

    def count(self, fact):
        return sum(bool(fact(document)) for document in self.ends.values())


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_with_nothing_in_hand(process, ledger):
    """A worker of Celery pops a message and puts it on record in two steps: what it has in between is
    lost with a kill -9, and that is Celery's own. So it is stopped at random, and killed then if
    nothing is amiss, while Redis gives nobody anything. Its children, who do the work, go with it."""
    client = ledger.redis.client

    def is_dead():
        process.stop()
        client.execute_command("CLIENT", "PAUSE", 5000, "WRITE")
        lost = ledger.lost()
        if not lost:
            doomed = children(process.pid)
            process.kill()
            end(doomed)
        client.execute_command("CLIENT", "UNPAUSE")
        if lost:
            process.cont()
        return not lost

    until(is_dead, 20, "a moment with every task somewhere")


def end(pids):
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


@pytest.fixture
def producer(celery, tmp_path):
    client = celery()
    process = Process("producer", tmp_path / "producer")
    process.start([client.python, "-c", PRELUDE % 20 + SEND], client.env)
    yield process
    process.kill()


@newest()
def test_every_task_gets_a_result_while_workers_of_both_kinds_are_killed(
        redis, sim, celery, serve, producer, capsys):
    chance = random.Random(SEED)
    sim.config(default={"latency_ms": 200})
    client = celery(VISIBILITY=str(VISIBILITY), ACKS_LATE="1", TASK_SECONDS="0.2")
    settings = {"HEADGATE_CONCURRENCY": 5, "HEADGATE_CELERY_VISIBILITY_TIMEOUT": VISIBILITY}
    ours = [serve(**settings) for _ in range(2)]
    real = [client.worker(concurrency=2) for _ in range(2)]
    ledger = Ledger(redis, producer)
    kills = {"ours": 0, "theirs": 0}
    while producer.is_alive():
        time.sleep(chance.uniform(0.2, 2))
        at = chance.randrange(2)
        if chance.random() < 0.6:
            ours[at].kill()
            ours[at] = serve(**settings)
            kills["ours"] += 1
        else:
            kill_with_nothing_in_hand(real[at], ledger)
            real[at] = client.worker(concurrency=2)
            kills["theirs"] += 1
    ended = time.monotonic()
    until(lambda: not ledger.lost() and not ledger.open(), 60, "every result")
    after = time.monotonic() - ended
    until(lambda: not redis.client.exists("unacked", "unacked_index", "analysis"), 30, "the acks")
    by_python = ledger.count(lambda end: "by" in end["result"])
    failed = ledger.count(lambda end: end["status"] == "FAILURE")
    assert kills["ours"] and kills["theirs"] and by_python and by_python < len(ledger.ends)
    assert not failed or failed == ledger.count(lambda end: end["result"].get("exc_type") == "WorkerLostError")
    if not LONG:
        return
    with capsys.disabled():
        print(f"\n{len(ledger.ends)} tasks in {SECONDS:.0f} s, seed {SEED}: {len(ledger.ends) - by_python - failed} by "
              f"ours, {by_python} by Celery's, {failed} given up (three workers died on each); kills: "
              f"{kills['ours']} of ours, {kills['theirs']} of Celery's; "
              f"{sim.stats()['calls']} calls; the last result {after:.1f} s after the last task")
