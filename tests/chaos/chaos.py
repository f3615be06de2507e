#!/usr/bin/env python3
"""make chaos: jobs in, faults everywhere, and a look from outside at what became of each job.

JOBS, SEED, SECONDS and WORKERS are in the environment. The same seed does the same faults at the same
times. Exits 1 when a promise was broken, and names the directory with all logs.
"""

import contextlib
import json
import os
import queue
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "e2e"), str(Path(__file__).parent)]

import redis as redis_client  # noqa: E402
from faults import FAULTS, LEASE, Mischief, schedule  # noqa: E402
from headgate import Worker, environment  # noqa: E402
from services import FINAL_STATES, PRIMARY, SECOND, THIRD, RedisServer, Simulator  # noqa: E402

JOBS = int(os.environ.get("JOBS", 10000))
SECONDS = float(os.environ.get("SECONDS", 120))
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
WORKERS = int(os.environ.get("WORKERS", 4))
QUEUES = {"analyze": 3, "bulk": 1}
RECOVERY_S, SILENCE_S = 15.0, 2.0
# A sanity bound for the end: what is still waiting then will never end.
SETTLE_S = 120
# What may stay when all is over; docs/redis-keys.md explains each.
LASTING = ("result:", "reply:", "stats", "dead", "crashes", "cancelled")


class House:
    def __init__(self, directory):
        self.directory = directory
        chance = random.Random(SEED)
        self.fsync = chance.choice(["everysec", "always"])
        self.redis = RedisServer(directory / "redis", aof=True, arguments=(
            "--appendfsync", self.fsync, "--enable-debug-command", "yes")).up()
        self.sim = Simulator(directory / "sim", {
            "default": {"latency_ms": {"median": 150, "sigma": 0.5}}}).up()
        self._let_operator_in()
        self.models = [PRIMARY, SECOND, THIRD]
        self.workers = [None] * WORKERS
        self.generation = 0
        self.kills = []  # (when, {ids held then}, slot)
        self.outages = []  # (from, to) of Redis
        self.complaints = []
        self.starts = queue.Queue()
        self.began = time.time()
        for slot in range(WORKERS):
            self.new_worker(slot)

    def new_worker(self, slot):
        self.generation += 1
        self.workers[slot] = Worker(
            f"worker{self.generation}", self.directory / f"worker{self.generation}",
            environment(self.redis.url, self.sim.url, HEADGATE_LEASE_SECONDS=LEASE,
                        HEADGATE_QUEUES=",".join(f"{q}={w}" for q, w in QUEUES.items()),
                        HEADGATE_CONCURRENCY=64, HEADGATE_RETRY_BASE_MS=200,
                        HEADGATE_RETRY_CAP_MS=2000, HEADGATE_MAX_ATTEMPTS=20))
        start = self.workers[slot].up
        if threading.current_thread() is threading.main_thread():
            start(wait_ready=False)
        else:
            self.on_main(lambda: start(wait_ready=False))

    def client(self, timeout=2):
        return redis_client.Redis(port=self.redis.port, socket_timeout=timeout,
                                  socket_connect_timeout=timeout)

    def admin(self, *words):
        """A command by a user whom no fault touches, on a connection that stays open."""
        try:
            return self.operator.execute_command(*words)
        except redis_client.exceptions.ResponseError as failure:
            if "SCRIPT" not in words and "EVAL" not in words:
                raise
            return failure

    def _let_operator_in(self):
        """Users are not in the AOF; a new Redis has to be told again."""
        client = redis_client.Redis(unix_socket_path=self.redis.socket)
        client.execute_command("ACL", "SETUSER", "chaos", "on", ">chaos", "~*", "&*", "+@all")
        self.operator = redis_client.Redis(unix_socket_path=self.redis.socket, username="chaos",
                                           password="chaos")
        # Four connections for what runs side by side, opened before Redis has no room for more.
        pool = self.operator.connection_pool
        for connection in [pool.get_connection("PING") for _ in range(4)]:
            pool.release(connection)

    def restart_redis(self, pause_s):
        self.redis.kill()
        time.sleep(pause_s)
        self.on_main(self.redis.up)
        self._let_operator_in()

    def on_main(self, start):
        """Children die with the thread that started them, and a fault's thread ends soon."""
        done = threading.Event()
        self.starts.put((start, done))
        done.wait()

    def serve_starts(self, threads):
        """The main thread's work while these threads live."""
        while any(thread.is_alive() for thread in threads):
            with contextlib.suppress(queue.Empty):
                start, done = self.starts.get(timeout=0.05)
                start()
                done.set()

    def note_kill(self, slot):
        """What the worker has in flight, as Redis says: these jobs are owed a new start."""
        held = set()
        with contextlib.suppress(redis_client.exceptions.RedisError):
            client = self.client()
            for key in client.scan_iter(f"headgate:*:inflight:*:{self.workers[slot].pid}:*",
                                        count=1000):
                for payload in client.hvals(key):
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        held.add(json.loads(payload)["id"])
        self.kills.append((time.time(), held, slot))

    @contextlib.contextmanager
    def redis_outage(self):
        began = time.time()
        try:
            yield
        finally:
            self._wait_writable()
            self.outages.append((began, time.time()))

    def _wait_writable(self):
        began = time.monotonic()
        while True:
            try:
                with contextlib.closing(self.client(0.5)) as client:
                    client.set("chaos:probe", "1")
                return
            except redis_client.exceptions.RedisError as failure:
                if time.monotonic() - began > 30:
                    self.complain(f"Redis does not come back: {failure!r}")
                    os._exit(3)
                time.sleep(0.005)

    def tell(self, what):
        print(f"{time.time() - self.began:7.1f} s  {what}", flush=True)

    def complain(self, what):
        self.tell(f"!! {what}")
        self.complaints.append(what)

    def end(self):
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
        self.sim.kill()
        self.redis.kill()


class Producer(threading.Thread):
    """Pushes jobs evenly, each until Redis has said yes: what is unclear is pushed again."""

    def __init__(self, house):
        super().__init__(daemon=True)
        self.house = house
        self.chance = random.Random(SEED + 1)
        self.kind = {}  # id -> kind
        self.queue = {}
        self.pushed_at = {}
        self.bad = []
        self.again = 0

    def make(self, number):
        name = f"c{number}"
        kind = self.chance.choices(
            ["plain", "started", "later", "replied", "cancelled", "bad", "twice"],
            [80, 4, 4, 4, 3, 2, 3])[0]
        fields = {"id": name, "content": f"mark-{name}"}
        fields |= {"started": {"track_started": True}, "replied": {"reply_to": "replies"},
                   "later": {"run_at": time.time() + self.chance.uniform(0.5, 4)}}.get(kind, {})
        self.kind[name] = kind
        self.queue[name] = self.chance.choices(list(QUEUES), [3, 1])[0]
        payload = json.dumps(fields)
        return name, payload[:-1] if kind == "bad" else payload

    def run(self):
        client = self.house.client(1)
        began = time.monotonic()
        for number in range(JOBS):
            time.sleep(max(0, began + number * SECONDS / JOBS - time.monotonic()))
            name, payload = self.make(number)
            kind = self.kind[name]
            for _ in range(2 if kind == "twice" else 1):
                self.push(client, self.queue[name], payload)
            if kind == "bad":
                self.bad.append(payload)
            if kind == "cancelled":
                with contextlib.suppress(ConnectionError, OSError):
                    self.house.workers[number % WORKERS].post(f"/cancel_task/{name}", timeout=2)
            self.pushed_at[name] = time.time()

    def push(self, client, name, payload):
        while True:
            try:
                return client.rpush(name, payload)
            except redis_client.exceptions.RedisError:
                self.again += 1
                time.sleep(0.05)


class Log(threading.Thread):
    """The simulator's own list of calls, and how the workers' memory and descriptors grow."""

    def __init__(self, house):
        super().__init__(daemon=True)
        self.house, self.calls, self.next = house, [], 0
        self.is_over = threading.Event()
        self.rss_kib, self.fds = 0, 0

    def run(self):
        while not self.is_over.wait(0.5):
            self.read()
            for worker in list(self.house.workers):
                with contextlib.suppress(OSError, IndexError, AttributeError):
                    status = Path(f"/proc/{worker.pid}/status").read_text()
                    self.rss_kib = max(self.rss_kib, int(status.split("VmRSS:")[1].split()[0]))
                    self.fds = max(self.fds, len(os.listdir(f"/proc/{worker.pid}/fd")))

    def read(self):
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", self.house.sim.port, timeout=30)
        connection.request("GET", f"/sim/log?from={self.next}")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        self.calls += answer["calls"]
        self.next = answer["next"]


def wait_settled(house, producer):
    """Until no job is anywhere but at its end. Returns {id: result}."""
    client = house.client(30)
    names = [n for n, kind in producer.kind.items() if kind != "bad"]
    results, deadline = {}, time.monotonic() + SETTLE_S
    while True:
        open_ones = [n for n in names if n not in results]
        for at in range(0, len(open_ones), 1000):
            part = open_ones[at:at + 1000]
            pipe = client.pipeline(transaction=False)
            for name in part:
                pipe.get(f"headgate:{{{producer.queue[name]}}}:result:{name}")
            for name, text in zip(part, pipe.execute()):
                result = json.loads(text) if text else None
                if result and result["state"] in FINAL_STATES:
                    results[name] = result
        if len(results) == len(names) or time.monotonic() > deadline:
            return results
        time.sleep(0.5)


def places(client):
    """Jobs that are not at their end, by key."""
    found = {}
    for name in QUEUES:
        for key in [name.encode(), *client.scan_iter(f"headgate:{{{name}}}:*", count=1000)]:
            kind = key.decode().split("}:")[-1]
            if kind.startswith(("result:", "reply:")):
                continue
            size = {b"list": client.llen, b"hash": client.hlen, b"zset": client.zcard}.get(
                client.type(key), lambda _: 0)(key)
            found[key.decode()] = size
    return found


def judge(house, producer, log, results):
    client = house.client(30)
    broken, figures = list(house.complaints), {}
    names = [n for n, kind in producer.kind.items() if kind != "bad"]

    lost = [n for n in names if n not in results]
    figures["lost"] = len(lost)
    if lost:
        broken.append(f"{len(lost)} jobs have no end: {lost[:10]}")

    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.llen(f"headgate:{{{producer.queue[name]}}}:reply:{name}")
    replies = dict(zip(names, pipe.execute()))
    doubly = [n for n in results if replies[n] != 1]
    shared = Counter(json.loads(text)["id"] for text in client.lrange("replies", 0, -1))
    doubly += [n for n in names if producer.kind[n] == "replied" and shared[n] != 1]
    figures["doubly final"] = len(doubly)
    if doubly:
        broken.append(f"{len(doubly)} jobs have not exactly one reply: "
                      f"{[(n, replies[n], shared[n]) for n in doubly[:10]]}")

    states = Counter(r["state"] for r in results.values())
    figures["states"] = dict(states)
    for name, result in results.items():
        wanted = {"succeeded", "cancelled"} if producer.kind[name] == "cancelled" else {"succeeded"}
        kind = (result.get("error") or {}).get("kind")
        if result["state"] not in wanted and kind != "crashed":
            broken.append(f"{name} ({producer.kind[name]}) ended {result['state']}: "
                          f"{result.get('error')}")

    letters = Counter()
    for name in QUEUES:
        for text in client.lrange(f"headgate:{{{name}}}:dead", 0, -1):
            letters[json.loads(text)["kind"]] += 1
    figures["dead letters"] = dict(letters)
    if letters["bad_job"] < len(producer.bad):
        broken.append(f"{len(producer.bad)} bad jobs, {letters['bad_job']} letters")
    if letters["bad_job"] > len(producer.bad) + producer.again:
        broken.append(f"only {len(producer.bad)} bad jobs, but {letters['bad_job']} letters")

    judge_calls(house, log, results, broken, figures)
    judge_times(house, log, results, broken, figures)
    return broken, figures


def judge_calls(house, log, results, broken, figures):
    calls = defaultdict(list)
    for call in log.calls:
        if call["marker"]:
            calls[call["marker"].removeprefix("mark-")].append(call)
    paid = {name: [c for c in list_ if c["outcome"] == "ok"] for name, list_ in calls.items()}
    repeated = sum(len(list_) - 1 for list_ in paid.values() if len(list_) > 1)
    allowed = sum(len(held) for _, held, _ in house.kills)
    figures["model calls repeated"] = f"{repeated} (in flight at kills: {allowed})"
    if repeated > allowed:
        broken.append(f"{repeated} calls repeated, only {allowed} jobs were in flight at kills")
    late = [name for name, list_ in calls.items() if name in results and any(
        call["at_ms"] / 1000 > results[name]["finished_at"] + 0.1 for call in list_)]
    figures["calls for a written result"] = len(late)
    if late:
        broken.append(f"calls were made for results that stood already: {late[:10]}")


def judge_times(house, log, results, broken, figures):
    starts = defaultdict(list)
    for call in log.calls:
        starts[(call["marker"] or "").removeprefix("mark-")].append(call["at_ms"] / 1000)
    longest = 0.0
    for when, held, _slot in house.kills:
        outage = sum(max(0, to - max(since, when - LEASE)) for since, to in house.outages
                     if to > when - LEASE and since < when + LEASE + 5)
        for name in held & set(results):
            again = [at for at in starts[name] if at > when]
            wait = min([*again, results[name]["finished_at"]]) - when
            wait -= outage + (2 * SILENCE_S if outage else 0)
            longest = max(longest, wait)
            if wait > RECOVERY_S:
                broken.append(f"{name} waited {wait:.1f} s after its worker was killed")
    figures["longest wait after a kill"] = f"{longest:.1f} s"

    everything = sorted(call["at_ms"] / 1000 for call in log.calls)
    ends = sorted(result["finished_at"] for result in results.values())
    silence = 0.0
    for _since, to in house.outages:
        following = [min((at for at in list_ if at >= to), default=None)
                     for list_ in (everything, ends)]
        following = [at for at in following if at is not None]
        if following and to < house.began + SECONDS - SILENCE_S:
            silence = max(silence, min(following) - to)
    figures["longest silence after Redis was back"] = f"{silence:.2f} s"
    if silence > SILENCE_S:
        broken.append(f"nothing happened for {silence:.1f} s after Redis was back")
    took = sorted(r["finished_at"] - r["started_at"] for r in results.values() if r["started_at"])
    if took:
        figures["start to end, median and p99"] = (
            f"{took[len(took) // 2]:.2f} s, {took[len(took) * 99 // 100]:.2f} s")


def judge_remains(client, broken):
    for key, size in places(client).items():
        kind = key.split("}:")[-1]
        if size and not kind.startswith(LASTING) and "{m:" not in key:
            broken.append(f"something is left in {key}: {size}")


def main():
    directory = Path(tempfile.mkdtemp(prefix="headgate-chaos-"))
    plan = schedule(SEED, SECONDS, WORKERS)
    print(f"JOBS={JOBS} SEED={SEED} SECONDS={SECONDS:g} WORKERS={WORKERS}: {len(plan)} faults, "
          f"{len(FAULTS)} kinds", flush=True)
    house = House(directory)
    print(f"Redis with appendfsync {house.fsync}; logs in {directory}", flush=True)
    producer, log, mischief = Producer(house), Log(house), Mischief(house, plan)
    for thread in (log, mischief, producer):
        thread.start()
    house.serve_starts((producer, mischief))
    house.tell("the last fault is over")
    results = wait_settled(house, producer)
    house.tell("settled")
    time.sleep(1)
    log.is_over.set()
    log.join()
    log.read()
    broken, figures = judge(house, producer, log, results)
    client = house.client(30)
    for worker in house.workers:
        worker.term()
    for worker in house.workers:
        worker.wait(40)
    judge_remains(client, broken)
    house.end()

    print(f"\njobs: {JOBS}, pushed again because Redis did not answer: {producer.again}")
    print(f"faults: {len(mischief.done)}")
    for name, count in sorted(Counter(mischief.done).items()):
        print(f"  {count:3} {name}")
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(f"workers at most: {log.rss_kib / 1024:.0f} MiB resident, {log.fds} descriptors")
    if broken:
        print(f"\n{len(broken)} promises broken; logs in {directory}")
        for what in broken[:40]:
            print(f"  {what}")
        return 1
    shutil.rmtree(directory)
    print("\nevery promise kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
