#!/usr/bin/env python3
"""make chaos: jobs in, faults everywhere, and a look from outside at what became of each job.

JOBS, SEED, SECONDS, WORKERS, TOPOLOGY (single, sentinel, cluster) and EVERY (seconds from fault to fault) are in
the environment. The same seed does the same faults at the same times. RECORD=FILE keeps what was seen, as JSON; LENIENCY=N makes all bounds of
time so much wider. Exits 1 when a promise was broken, and names the directory with all logs.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import queue as queues
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "e2e"), str(Path(__file__).parent)]

import network  # noqa: E402
import traffic  # noqa: E402
from conftest import Servers  # noqa: E402
from faults import LEASE, Mischief, kinds, schedule  # noqa: E402
from headgate import Worker, environment  # noqa: E402
from judge import empty_record, judge  # noqa: E402
from services import FINAL_STATES, PRIMARY, SECOND, THIRD, Simulator  # noqa: E402
from stores import STORES, RedisError  # noqa: E402
from support import free_port  # noqa: E402
from traffic import QUEUES, SLOW_MODEL, base  # noqa: E402

# A sanity bound for the end: what is still waiting then will never end.
SETTLE_S = 120
# Files that live in memory die with the host, not with a server that is killed: all that is done to
# them here. What else goes on on a disk is not what is measured.
MEMORY_DISK, ROOM_BYTES = "/dev/shm", 1 << 30
# How long what a dead worker held is watched.
GRAVE_S = 60


@dataclasses.dataclass
class Settings:
    jobs: int = int(os.environ.get("JOBS") or 10000)
    seconds: float = float(os.environ.get("SECONDS") or 120)
    seed: int = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    workers: int = int(os.environ.get("WORKERS") or 4)
    topology: str = os.environ.get("TOPOLOGY") or "single"
    every_s: float = float(os.environ.get("EVERY") or 3)
    leniency: float = float(os.environ.get("LENIENCY") or 1)


class House:
    """All processes of a run, and the diary of what was done to them."""

    def __init__(self, directory, settings, no_filter):
        self.directory, self.settings, self.no_filter = directory, settings, no_filter
        self.filter = None if no_filter else network.Filter()
        self.fsync = random.Random(settings.seed).choice(["everysec", "always"])
        self.starts = queues.Queue()
        self.graves = []
        self.locks, self.locks_lock = {}, threading.Lock()
        self.numbers = itertools.count(1)
        self.beds = threading.Semaphore(max(1, settings.workers - 2))
        self.models = [PRIMARY, SECOND, THIRD]
        self.servers = Servers(directory)
        self.store = STORES[settings.topology](self.servers, self.fsync)
        self.store.name = settings.topology
        self.sim = Simulator(directory / "sim", {
            "default": {"latency_ms": {"median": 150, "sigma": 0.5}},
            "models": {SLOW_MODEL: {"latency_ms": 5000}}}).up(free_port())
        # Every second worker's lines can be broken; the others show what that does to nobody else.
        self.wires = {slot: self._wires() for slot in range(0, settings.workers, 2)}
        self.record = empty_record(seconds=settings.seconds, began=time.time(),
                                   leniency=settings.leniency)
        self.workers = [None] * settings.workers
        self.producer = traffic.Producer(self, settings.jobs, settings.seconds, settings.seed)
        self.log = traffic.CallLog(self)
        self.watcher = traffic.Watcher(self, self.producer, self.lock("Redis"))
        for slot in range(settings.workers):
            self.new_worker(slot)

    def _wires(self):
        wires = {"models": network.Wire(self.sim.port)}
        if self.settings.topology == "single":
            wires["Redis"] = network.Wire(self.store.redis.port)
        return wires

    # ---- workers ----

    def new_worker(self, slot):
        wires = self.wires.get(slot, {})
        redis_url = wires["Redis"].redis_url if "Redis" in wires else self.store.url
        provider_url = wires["models"].http_url if wires else self.sim.url
        number = next(self.numbers)
        worker = Worker(f"worker{number}", self.directory / f"worker{number}", environment(
            redis_url, provider_url, HEADGATE_LEASE_SECONDS=LEASE,
            HEADGATE_QUEUES=",".join(f"{queue}={weight}" for queue, weight in QUEUES.items()),
            HEADGATE_CONCURRENCY=64, HEADGATE_RETRY_BASE_MS=200, HEADGATE_RETRY_CAP_MS=2000,
            HEADGATE_MAX_ATTEMPTS=20, HEADGATE_CALL_TIMEOUT=10,
            HEADGATE_HTTP=f"127.0.0.1:{free_port()}"))
        self.on_main(lambda: worker.up(wait_ready=False))
        self.workers[slot] = worker

    def kill_worker(self, slot):
        """It stands still before it dies, so that what it had in flight is known for sure."""
        worker = self.workers[slot]
        worker.stop()
        with self.death("kill", slot):
            worker.kill()
        self.new_worker(slot)

    def wait_drained(self, slot):
        worker = self.workers[slot]
        code = worker.wait(20)
        if code != 0:
            self.complain(f"{worker.name}, told to drain, exited with {code}")

    @contextlib.contextmanager
    def death(self, kind, slot):
        """What the worker has in flight, as Redis says: these jobs are owed a new start."""
        held, claims = self.held_by(slot)
        death = {"kind": kind, "slot": slot, "held": held, "at": time.time(), "taken_at": None}
        thread = threading.Thread(target=self._watch_claims, args=(death, claims), daemon=True)
        thread.start()
        self.graves.append(thread)
        yield
        death["until"] = time.time()
        self.record["deaths"].append(death)

    def held_by(self, slot):
        """The ids of its jobs and {(queue, key of a record): tokens}; None and {} where Redis does not
        say."""
        held, claims, mark = set(), {}, f":{self.workers[slot].pid}:".encode()
        try:
            for queue in QUEUES:
                with self.store.client_of(queue) as client:
                    for name in client.zrange(base(queue) + "workers", 0, -1):
                        if mark in name:
                            key = (base(queue) + "inflight:").encode() + name
                            record = client.hgetall(key)
                            held |= self._ids(record.values())
                            claims[queue, key] = set(record)
        except RedisError:
            return None, {}
        return sorted(held), claims

    def _watch_claims(self, death, claims):
        """Until none of them is on record any more: the jobs are in the hands of others, or at their
        end by the one who slept."""
        until = time.monotonic() + GRAVE_S
        while time.monotonic() < until:
            with contextlib.suppress(RedisError):
                if not any(self._is_on_record(*place, tokens) for place, tokens in claims.items()):
                    death["taken_at"] = time.time()
                    return
            time.sleep(0.1)

    def _is_on_record(self, queue, key, tokens):
        with self.store.client_of(queue) as client:
            return tokens & set(client.hkeys(key))

    @staticmethod
    def _ids(payloads):
        ids = set()
        for payload in payloads:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                ids.add(json.loads(payload)["id"])
        return ids

    def who_runs(self, name, queue):
        """The slot of the worker that has begun this job."""
        with contextlib.suppress(RedisError), self.store.client_of(queue) as client:
            owner = client.hget(base(queue) + "owners", name) or b""
            return next((slot for slot, worker in enumerate(self.workers)
                         if f":{worker.pid}:".encode() in owner), None)
        return None

    def has_ended(self, name, queue):
        with contextlib.suppress(RedisError), self.store.client_of(queue) as client:
            text = client.get(base(queue) + f"result:{name}")
            return bool(text) and json.loads(text)["state"] in FINAL_STATES
        return False

    # ---- Redis and models ----

    def admin(self, *words):
        """A command by a user whom no fault touches, on a connection that stays open."""
        for node in self.store.primaries():
            try:
                node.operator.execute_command(*words)
            except RedisError:
                # A killed script ends with an error, and so does a storm that hits a role's change.
                if words[0] not in ("SCRIPT", "EVAL", "CLIENT"):
                    raise

    @contextlib.contextmanager
    def redis_outage(self, name, hit=tuple(QUEUES)):
        since = time.time()
        try:
            yield
        finally:
            for queue in hit:
                self._wait_writable(queue, name)
            self.record["outages"].append({"name": name, "since": since, "to": time.time(),
                                           "queues": list(hit)})

    def _wait_writable(self, queue, name):
        limit = time.monotonic() + 60
        while not self.store.takes_writes(queue):
            if time.monotonic() > limit:
                self.complain(f"Redis takes no writes of {queue}, 60 s after {name!r}")
                return
            time.sleep(0.005)

    @contextlib.contextmanager
    def model_outage(self, name, everybody=True):
        since = time.time()
        yield
        self.record["model_outages"].append({"name": name, "since": since, "to": time.time(),
                                             "everybody": everybody})

    # ---- the run ----

    def lock(self, area):
        with self.locks_lock:
            return self.locks.setdefault(area, threading.Lock())

    def next_number(self):
        return next(self.numbers)

    def on_main(self, start):
        """Children die with the thread that started them, and a fault's thread ends soon."""
        if threading.current_thread() is threading.main_thread():
            start()
            return
        done = threading.Event()
        self.starts.put((start, done))
        done.wait()

    def serve_starts(self, threads):
        """The main thread's work while these threads live."""
        while any(thread.is_alive() for thread in threads):
            with contextlib.suppress(queues.Empty):
                start, done = self.starts.get(timeout=0.05)
                try:
                    start()
                except AssertionError as failure:
                    self.complain(f"a process did not start: {failure}")
                done.set()

    def tell(self, what):
        print(f"{time.time() - self.record['began']:7.1f} s  {what}", flush=True)

    def complain(self, what):
        self.tell(f"!! {what}")
        self.record["complaints"].append(what)

    def run(self, mischief):
        threads = (self.log, self.watcher, mischief, self.producer)
        for thread in threads:
            thread.start()
        self.serve_starts((self.producer, mischief))
        self.tell("the last fault is over")

    def settle(self):
        """Waits for the end of all jobs, ends the workers, and reads what they leave."""
        record, jobs = self.record, self.producer.jobs
        record["jobs"] = jobs
        names = [name for name, job in jobs.items() if job["kind"] != "bad"]
        record["results"] = traffic.results_of(self.store, jobs, names, SETTLE_S)
        self.tell("settled")
        time.sleep(1)
        for thread in self.graves:
            thread.join(GRAVE_S)
        self._wait_struck_off()
        for thread in (self.log, self.watcher):
            thread.is_over.set()
            thread.join()
        self.log.read()
        record["calls"] = [call for call in self.log.calls if call["id"]]
        self.end_workers()
        record["replies"] = traffic.reply_counts(self.store, jobs, names)
        record["shared"] = traffic.shared_replies(self.store)
        record["letters"] = traffic.dead_letters(self.store)
        record["remains"] = traffic.all_keys(self.store)

    def _wait_struck_off(self):
        """Who died with nothing in hand is known to the others for a lease more."""
        marks, until = [f":{worker.pid}:".encode() for worker in self.workers], time.monotonic() + GRAVE_S
        while time.monotonic() < until:
            names = []
            for queue in QUEUES:
                with self.store.client_of(queue, 30) as client:
                    names += client.zrange(base(queue) + "workers", 0, -1)
            if all(any(mark in name for mark in marks) for name in names):
                return
            time.sleep(0.2)

    def end_workers(self):
        for worker in self.workers:
            worker.cont()
            worker.term()
        for worker in self.workers:
            try:
                code = worker.wait(30)
            except AssertionError as failure:
                code = failure
                worker.kill()
            if code != 0:
                self.complain(f"{worker.name} exited with {code} at the end")
        for log in sorted(self.directory.glob("worker*/*.log")):
            text = log.read_text(errors="replace")
            if any(word in text for word in ("AddressSanitizer", "runtime error", "LeakSanitizer")):
                self.complain(f"a sanitizer has found something: {log}")

    def down(self):
        for worker in self.workers:
            if worker is not None:
                worker.kill()
        self.sim.kill()
        self.store.down()
        for wires in self.wires.values():
            for wire in wires.values():
                wire.down()


def memory_disk():
    with contextlib.suppress(OSError):
        if os.access(MEMORY_DISK, os.W_OK) and shutil.disk_usage(MEMORY_DISK).free > ROOM_BYTES:
            return MEMORY_DISK
    return None


def report(house, mischief, figures):
    print(f"\njobs: {len(house.producer.jobs)}; pushed again because Redis did not answer: "
          f"{house.producer.again}")
    print(f"faults: {len(mischief.done)}")
    for name, count in sorted(Counter(mischief.done).items()):
        print(f"  {count:3} {name}")
    for name, reason in sorted(mischief.skipped.items()):
        print(f"  skipped: {name}: {reason}")
    if house.settings.topology == "sentinel":
        print(f"failovers: {house.store.failovers()}, of which we caused {house.store.asked}")
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(f"looks at where all jobs are: {house.watcher.looks}")
    print(f"workers at most: {house.log.rss_kib / 1024:.0f} MiB resident, {house.log.fds} descriptors")


def main():
    settings = Settings()
    no_filter = network.go_to_a_network_of_our_own()
    directory = Path(tempfile.mkdtemp(prefix="headgate-chaos-", dir=memory_disk()))
    plan = schedule(settings.seed, settings.seconds, settings.workers, settings.topology,
                    settings.every_s)
    print(f"JOBS={settings.jobs} SEED={settings.seed} SECONDS={settings.seconds:g} "
          f"WORKERS={settings.workers} TOPOLOGY={settings.topology}: {len(plan)} faults, "
          f"{len(kinds(settings.topology))} kinds", flush=True)
    house = House(directory, settings, no_filter)
    try:
        print(f"Redis with appendfsync {house.fsync}; logs in {directory}", flush=True)
        mischief = Mischief(house, plan)
        house.run(mischief)
        house.settle()
        broken, figures = judge(house.record)
        report(house, mischief, figures)
    finally:
        house.down()
    if os.environ.get("RECORD"):
        Path(os.environ["RECORD"]).write_text(json.dumps(house.record))
    if broken:
        print(f"\n{len(broken)} promises broken; logs in {directory}")
        for what in broken[:40]:
            print(f"  {what}")
        (directory / "record.json").write_text(json.dumps(house.record))
        return 1
    shutil.rmtree(directory)
    print("\nevery promise kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
