"""The jobs that go in, and those who watch from outside: the simulator's list of calls, and where
each job is while it is under way."""

import contextlib
import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

from services import FINAL_STATES, PRIMARY, SECOND, THIRD
from stores import RedisError

QUEUES = {"analyze": 3, "bulk": 1}
KINDS = {"plain": 70, "started": 4, "later": 4, "replied": 4, "cancelled": 3, "bad": 2, "twice": 3,
         "expires": 4, "models": 3, "tenant": 3}
# An answer takes long enough here that its worker can be found and killed meanwhile.
SLOW_MODEL = "chaos.slow-v1:0"
RETRY_S = 0.05
SNAPSHOT_EVERY_S = 2
# Where each payload of a queue is, at one moment.
SNAPSHOT = """
local found, base = {}, ARGV[1]
local function add(place, list)
    for _, payload in ipairs(list) do found[#found + 1] = place; found[#found + 1] = payload end
end
add('queue', redis.call('LRANGE', KEYS[1], 0, -1))
add('inbox', redis.call('LRANGE', base .. 'inbox', 0, -1))
add('sorted', redis.call('HVALS', base .. 'sorted:jobs'))
add('delayed', redis.call('HVALS', base .. 'delayed:jobs'))
for _, worker in ipairs(redis.call('ZRANGE', base .. 'workers', 0, -1)) do
    add('record of ' .. worker, redis.call('HVALS', base .. 'inflight:' .. worker))
end
return found
"""


def base(queue):
    return f"headgate:{{{queue}}}:"


class Producer(threading.Thread):
    """Pushes jobs evenly, each until Redis has said yes: what is unclear is pushed again."""

    def __init__(self, house, jobs, seconds, seed):
        super().__init__(daemon=True)
        self.house, self.count, self.seconds = house, jobs, seconds
        self.chance = random.Random(seed + 1)
        self.jobs = {}
        self.clients = {}
        self.again = 0

    def make(self, number):
        name = f"c{number}"
        kind = self.chance.choices(list(KINDS), KINDS.values())[0]
        queue = self.chance.choices(list(QUEUES), QUEUES.values())[0]
        fields = {"started": {"track_started": True}, "replied": {"reply_to": f"{{{queue}}}replies"},
                  "later": {"run_at": time.time() + self.chance.uniform(0.5, 4)},
                  "expires": {"expires_at": time.time() + self.chance.choice([0.2, 1, 5])},
                  "models": {"models": self.chance.sample([PRIMARY, SECOND, THIRD], 2)},
                  "tenant": {"tenant": f"tenant-{number % 7}"}}.get(kind, {})
        return name, kind, queue, fields

    def run(self):
        began = time.monotonic()
        for number in range(self.count):
            time.sleep(max(0, began + number * self.seconds / self.count - time.monotonic()))
            name, kind, queue, fields = self.make(number)
            for _ in range(2 if kind == "twice" else 1):
                self.push(name, kind, queue, fields)
            if kind == "cancelled":
                worker = self.house.workers[number % len(self.house.workers)]
                with contextlib.suppress(ConnectionError, OSError, http.client.HTTPException):
                    worker.post(f"/cancel_task/{name}", timeout=2)

    def push(self, name, kind, queue, fields):
        payload = json.dumps({"id": name, "content": f"mark-{name}", **fields})
        payload = payload[:-1] if kind == "bad" else payload
        job = self.jobs.setdefault(name, {"kind": kind, "queue": queue, "unclear": 0,
                                          "pushed_at": None, **fields})
        while True:
            try:
                self.client(queue).rpush(queue, payload)
                job["pushed_at"] = job["pushed_at"] or time.time()
                return
            except RedisError:
                # Where the queue's slot lives may have changed.
                self.clients.pop(queue, None)
                job["unclear"] += 1
                self.again += 1
                time.sleep(RETRY_S)

    def client(self, queue):
        if queue not in self.clients:
            self.clients[queue] = self.house.store.client_of(queue, 1)
        return self.clients[queue]


class CallLog(threading.Thread):
    """The simulator's own list of calls, and how the workers' memory and descriptors grow."""

    def __init__(self, house):
        super().__init__(daemon=True)
        self.house, self.calls, self.next = house, [], 0
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.rss_kib, self.fds = 0, 0

    def run(self):
        while not self.is_over.wait(0.5):
            with contextlib.suppress(OSError, http.client.HTTPException), self.lock:
                self.read()
            for worker in list(self.house.workers):
                with contextlib.suppress(OSError, IndexError, AttributeError):
                    status = Path(f"/proc/{worker.pid}/status").read_text()
                    self.rss_kib = max(self.rss_kib, int(status.split("VmRSS:")[1].split()[0]))
                    self.fds = max(self.fds, len(os.listdir(f"/proc/{worker.pid}/fd")))

    def read(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.house.sim.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"/sim/log?from={self.next}")
            answer = json.loads(connection.getresponse().read())
        for call in answer["calls"]:
            self.calls.append({"id": (call["marker"] or "").removeprefix("mark-"),
                               "at": call["at_ms"] / 1000, "ms": call["ms"], "model": call["model"],
                               "outcome": call["outcome"]})
        self.next = answer["next"]

    @contextlib.contextmanager
    def of_a_new_simulator(self):
        """Around its death: its list dies with it, so it is read up to the last moment."""
        with self.lock:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.read()
            yield
            self.next = 0


class Watcher(threading.Thread):
    """Looks every other second, at one moment, where all jobs are: each must be in exactly one place."""

    def __init__(self, house, producer, redis_lock):
        super().__init__(daemon=True)
        self.house, self.producer, self.redis_lock = house, producer, redis_lock
        self.is_over = threading.Event()
        self.final = set()
        self.looks = 0

    def run(self):
        while not self.is_over.wait(SNAPSHOT_EVERY_S):
            # Not while primaries change: who is asked may not be the one who is told.
            if not self.redis_lock.acquire(blocking=False):
                continue
            try:
                for queue in QUEUES:
                    with contextlib.suppress(RedisError):
                        self.look(queue)
            finally:
                self.redis_lock.release()

    def look(self, queue):
        watched = [name for name, job in list(self.producer.jobs.items())
                   if job["queue"] == queue and job["pushed_at"] and not job["unclear"]
                   and job["kind"] not in ("bad", "twice") and name not in self.final]
        with self.house.store.client_of(queue, 5) as client:
            found = client.eval(SNAPSHOT, 1, queue, base(queue))
            places = self.places(found)
            nowhere = [name for name in watched if name not in places]
            ended = set(final_results(client, queue, nowhere))
        self.looks += 1
        lost = [name for name in nowhere if name not in ended]
        if lost:
            self.house.complain(f"in no place at one moment: {lost[:10]}")
        seen = set(watched)
        double = {name: where for name, where in places.items() if name in seen and len(where) > 1}
        double |= {name: [*places[name], "final"] for name in places if name in self.final
                   and self.is_single(name)}
        if double:
            self.house.complain(f"in two places at one moment: {dict(list(double.items())[:5])}")
        self.final |= ended

    def is_single(self, name):
        job = self.producer.jobs[name]
        return not job["unclear"] and job["kind"] != "twice"

    @staticmethod
    def places(found):
        places = {}
        for place, payload in zip(found[::2], found[1::2]):
            if place == b"delayed":
                payload = payload.partition(b"\n")[2]
            with contextlib.suppress(ValueError, KeyError, TypeError):
                places.setdefault(json.loads(payload)["id"], []).append(place.decode())
        return places


def results_of(store, jobs, names, timeout_s):
    """Until no job is anywhere but at its end, or time is up. Returns {id: result}."""
    results, deadline = {}, time.monotonic() + timeout_s
    while True:
        for queue in QUEUES:
            open_ones = [n for n in names if n not in results and jobs[n]["queue"] == queue]
            with contextlib.suppress(RedisError), store.client_of(queue, 30) as client:
                for at in range(0, len(open_ones), 1000):
                    results |= final_results(client, queue, open_ones[at:at + 1000])
        if len(results) == len(names) or time.monotonic() > deadline:
            return results
        time.sleep(0.5)


def final_results(client, queue, names):
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.get(base(queue) + f"result:{name}")
    read = {name: json.loads(text) for name, text in zip(names, pipe.execute()) if text}
    return {name: result for name, result in read.items() if result["state"] in FINAL_STATES}


def reply_counts(store, jobs, names):
    counts = {}
    for queue in QUEUES:
        mine = [name for name in names if jobs[name]["queue"] == queue]
        with store.client_of(queue, 30) as client:
            for at in range(0, len(mine), 1000):
                pipe = client.pipeline(transaction=False)
                for name in mine[at:at + 1000]:
                    pipe.llen(base(queue) + f"reply:{name}")
                counts |= dict(zip(mine[at:at + 1000], pipe.execute()))
    return counts


def shared_replies(store):
    told = Counter()
    for queue in QUEUES:
        with store.client_of(queue, 30) as client:
            told.update(json.loads(text)["id"] for text in client.lrange(f"{{{queue}}}replies", 0, -1))
    return dict(told)


def dead_letters(store):
    found = []
    for queue in QUEUES:
        with store.client_of(queue, 30) as client:
            for text in client.lrange(base(queue) + "dead", 0, -1):
                letter = json.loads(text)
                found.append({"queue": queue, "id": letter["id"], "kind": letter["kind"]})
    return found


def all_keys(store):
    """{key: how many are in it} of every primary."""
    found = {}
    for node in store.primaries():
        for key in node.operator.scan_iter("*", count=1000):
            name = key.decode(errors="replace")
            sizes = {b"list": node.operator.llen, b"hash": node.operator.hlen,
                     b"zset": node.operator.zcard}
            is_plain = ":result:" in name or ":reply:" in name
            size = 1 if is_plain else sizes.get(node.operator.type(key), lambda _: 1)(key)
            found[name] = size
    return found
