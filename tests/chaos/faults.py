"""What is done to the house while jobs run, and when: one seed, one list of faults."""

import random
import signal
import threading
import time

import redis as redis_client

LEASE = 12


def _worker_kill(house, slot, _seconds):
    house.note_kill(slot)
    house.workers[slot].kill()
    house.new_worker(slot)


def _worker_term(house, slot, _seconds):
    house.workers[slot].term()
    code = house.workers[slot].wait(20)
    if code != 0:
        house.complain(f"a worker that was told to drain exited with {code}")
    house.new_worker(slot)


def _worker_stop(house, slot, seconds):
    house.workers[slot].signal(signal.SIGSTOP)
    time.sleep(seconds)
    house.workers[slot].cont()


def _worker_sleep(house, slot, _seconds):
    """Longer than its lease: the others take its jobs, and it wakes up with stale claims."""
    house.note_kill(slot)
    _worker_stop(house, slot, LEASE + 3)


def _redis_kill(house, _slot, seconds):
    with house.redis_outage():
        house.restart_redis(seconds / 2)


def _redis_freeze(house, _slot, seconds):
    with house.redis_outage():
        house.redis.signal(signal.SIGSTOP)
        time.sleep(seconds)
        house.redis.cont()


def _redis_pause(house, _slot, seconds):
    with house.redis_outage():
        house.admin("CLIENT", "PAUSE", str(int(seconds * 1000)), "ALL")
        time.sleep(seconds)


def _redis_sleep(house, _slot, seconds):
    with house.redis_outage():
        threading.Thread(target=lambda: house.admin("DEBUG", "SLEEP", str(seconds))).start()
        time.sleep(seconds + 0.1)


def _setting(name, bad, good):
    def fault(house, _slot, seconds):
        with house.redis_outage():
            house.admin("CONFIG", "SET", name, bad)
            time.sleep(seconds)
            house.admin("CONFIG", "SET", name, good)

    return fault


def _redis_readonly(house, _slot, seconds):
    """A replica of nobody: it refuses writes and keeps its data."""
    with house.redis_outage():
        house.admin("REPLICAOF", "127.0.0.1", "1")
        time.sleep(seconds)
        house.admin("REPLICAOF", "NO", "ONE")


def _redis_no_replicas(house, _slot, seconds):
    _setting("min-replicas-to-write", "1", "0")(house, _slot, seconds)


def _redis_busy(house, _slot, seconds):
    with house.redis_outage():
        house.admin("CONFIG", "SET", "busy-reply-threshold", "100")
        loop = threading.Thread(target=lambda: house.admin("EVAL", "while true do end", "0"))
        loop.start()
        time.sleep(seconds)
        house.admin("SCRIPT", "KILL")
        loop.join()


def _redis_password(house, _slot, seconds):
    with house.redis_outage():
        house.admin("ACL", "SETUSER", "default", "-@all")
        house.admin("CLIENT", "KILL", "USER", "default")
        time.sleep(seconds)
        house.admin("ACL", "SETUSER", "default", "+@all")


def _clients_killed(house, _slot, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        house.admin("CLIENT", "KILL", "USER", "default")
        time.sleep(0.1)


def _scripts_flushed(house, _slot, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        house.admin("SCRIPT", "FLUSH")
        time.sleep(0.05)


def _model(**fault):
    def run(house, slot, _seconds):
        house.sim.script({"times": 40, **fault}, model=house.models[slot % len(house.models)])

    return run


FAULTS = {
    "worker kill -9": _worker_kill,
    "worker SIGTERM": _worker_term,
    "worker SIGSTOP, short": _worker_stop,
    "worker SIGSTOP beyond its lease": _worker_sleep,
    "Redis kill -9": _redis_kill,
    "Redis SIGSTOP": _redis_freeze,
    "Redis CLIENT PAUSE": _redis_pause,
    "Redis DEBUG SLEEP": _redis_sleep,
    "Redis out of memory": _setting("maxmemory", "1", "0"),
    "Redis out of clients": _setting("maxclients", "1", "10000"),
    "Redis READONLY": _redis_readonly,
    "Redis NOREPLICAS": _redis_no_replicas,
    "Redis BUSY": _redis_busy,
    "Redis rights taken away": _redis_password,
    "Redis CLIENT KILL storm": _clients_killed,
    "Redis SCRIPT FLUSH storm": _scripts_flushed,
    "model throttles": _model(do="throttle"),
    "model fails": _model(do="status", status=503),
    "model resets": _model(do="reset"),
    "model is slow": _model(do="delay", ms=3000),
}
# A worker's death is what most promises are about.
OFTEN = ("worker kill -9", "worker SIGSTOP beyond its lease", "Redis kill -9")


def schedule(seed, seconds, workers):
    """[(second, name, slot, length)]: a fault about every 4 s, each kind in turn, shuffled."""
    chance = random.Random(seed)
    plan, bag, at = [], [], 3.0
    while at < seconds - 2:
        if not bag:
            bag = [*FAULTS, *OFTEN]
            chance.shuffle(bag)
        plan.append((round(at, 2), bag.pop(), chance.randrange(workers),
                     round(chance.uniform(0.5, 4), 2)))
        at += chance.uniform(2.5, 5.5)
    return plan


class Mischief(threading.Thread):
    """Does what the schedule says, each fault on a thread: two of them may overlap, but not two of
    Redis, nor two of the same worker."""

    def __init__(self, house, plan):
        super().__init__(daemon=True)
        self.house, self.plan = house, plan
        self.locks = {}
        self.done = []
        self.threads = []

    def run(self):
        began = time.monotonic()
        for at, name, slot, length in self.plan:
            time.sleep(max(0, began + at - time.monotonic()))
            area = f"worker {slot}" if name.startswith("worker") else name.split()[0]
            lock = self.locks.setdefault(area, threading.Lock())
            thread = threading.Thread(target=self._do, args=(lock, name, slot, length), daemon=True)
            thread.start()
            self.threads.append(thread)
        for thread in self.threads:
            thread.join(120)

    def _do(self, lock, name, slot, length):
        with lock:
            self.house.tell(f"{name} (worker {slot}, {length} s)")
            try:
                FAULTS[name](self.house, slot, length)
            except (redis_client.exceptions.RedisError, AssertionError, OSError) as failure:
                self.house.complain(f"the fault {name!r} could not be done: {failure!r}")
            self.done.append(name)
