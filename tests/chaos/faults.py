"""What is done to the house while jobs run, and when: one seed, one list of faults."""

import functools
import random
import threading
import time

from network import WIRE_FAULTS
from stores import RedisError
from traffic import QUEUES, SLOW_MODEL

LEASE = 12
EVERYWHERE = ("single", "sentinel", "cluster")
# A server that hangs longer than this is deposed where others watch it, and what it had acknowledged
# and not passed on is gone: Redis' loss, not what is looked for here.
WATCHED_HANG_S = 0.8
POISON_S = 100


class Impossible(Exception):
    """What this host does not allow."""


# ---- workers ----


def _worker_kill(house, slot, _seconds):
    house.kill_worker(slot)


def _worker_term(house, slot, _seconds):
    with house.death("drain", slot):
        house.workers[slot].term()
        house.wait_drained(slot)
    house.new_worker(slot)


def _worker_term_twice(house, slot, _seconds):
    with house.death("drain", slot):
        house.workers[slot].term()
        time.sleep(0.1)
        house.workers[slot].term()
        house.wait_drained(slot)
    house.new_worker(slot)


def _worker_stop(house, slot, seconds):
    house.workers[slot].stop()
    time.sleep(seconds)
    house.workers[slot].cont()


def _worker_sleep(house, slot, _seconds):
    """Longer than its lease: the others take its jobs, and it wakes up with stale claims."""
    with house.beds:
        house.workers[slot].stop()
        with house.death("sleep", slot):
            time.sleep(LEASE + 3)
            house.workers[slot].cont()


def _poison(house, slot, _seconds):
    """A job whose workers die: whoever calls a model for it is killed, until it is given up."""
    queue = list(QUEUES)[slot % len(QUEUES)]
    name = f"poison{house.next_number()}"
    house.producer.push(name, "poison", queue, {"models": [SLOW_MODEL]})
    until = time.monotonic() + POISON_S
    while time.monotonic() < until and not house.has_ended(name, queue):
        victim = house.who_runs(name, queue)
        if victim is not None:
            # What began beside it should be over: who dies with it three times is given up too.
            time.sleep(1)
            with house.lock(f"worker {victim}"):
                if house.who_runs(name, queue) == victim:
                    house.kill_worker(victim)
        time.sleep(0.05)


# ---- Redis ----


def _on_redis(fault):
    """Redis is away from the fault's begin until it takes writes again."""

    @functools.wraps(fault)
    def run(house, slot, seconds, name):
        with house.redis_outage(name):
            fault(house, slot, seconds)

    run.wants_name = True
    return run


@_on_redis
def _redis_kill(house, _slot, seconds):
    house.store.restart(seconds / 2, house.on_main)


@_on_redis
def _redis_freeze(house, slot, seconds):
    primaries = house.store.primaries()
    node = primaries[slot % len(primaries)]
    node.stop()
    time.sleep(seconds if house.store.name == "single" else min(seconds / 5, WATCHED_HANG_S))
    node.cont()


@_on_redis
def _redis_pause(house, _slot, seconds):
    house.admin("CLIENT", "PAUSE", str(int(seconds * 1000)), "ALL")
    time.sleep(seconds)


@_on_redis
def _redis_sleep(house, _slot, seconds):
    threading.Thread(target=lambda: house.admin("DEBUG", "SLEEP", str(seconds))).start()
    time.sleep(seconds + 0.1)


def _setting(name, bad, good):
    @_on_redis
    def fault(house, _slot, seconds):
        house.admin("CONFIG", "SET", name, bad)
        time.sleep(seconds)
        house.admin("CONFIG", "SET", name, good)

    return fault


@_on_redis
def _redis_readonly(house, _slot, seconds):
    """A replica of nobody: it refuses writes and keeps its data."""
    house.admin("REPLICAOF", "127.0.0.1", "1")
    time.sleep(seconds)
    house.admin("REPLICAOF", "NO", "ONE")


@_on_redis
def _redis_busy(house, _slot, seconds):
    house.admin("CONFIG", "SET", "busy-reply-threshold", "100")
    loop = threading.Thread(target=lambda: house.admin("EVAL", "while true do end", "0"))
    loop.start()
    time.sleep(seconds)
    house.admin("SCRIPT", "KILL")
    loop.join()


@_on_redis
def _redis_password(house, _slot, seconds):
    house.admin("ACL", "SETUSER", "default", "-@all")
    house.admin("CLIENT", "KILL", "USER", "default")
    time.sleep(seconds)
    house.admin("ACL", "SETUSER", "default", "+@all")


def _storm(words, every_s):
    def fault(house, _slot, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            house.admin(*(words or house.store.storm))
            time.sleep(every_s)

    return fault


def _failover(is_killed):
    def fault(house, _slot, _seconds, name):
        with house.redis_outage(name):
            house.store.begin_failover(is_killed)
        house.store.end_failover(house.on_main)

    fault.wants_name = True
    return fault


def _sentinel_kill(house, slot, seconds):
    house.store.restart_sentinel(slot, seconds, house.on_main)


def _shard_failover(is_killed):
    def fault(house, slot, _seconds, name):
        queue = list(QUEUES)[slot % len(QUEUES)]
        with house.redis_outage(name):
            house.store.begin_failover(queue, is_killed)
        house.store.end_failover(house.on_main)

    fault.wants_name = True
    return fault


def _slot_move(house, slot, _seconds, name):
    queue = list(QUEUES)[slot % len(QUEUES)]
    with house.redis_outage(name, [queue]):
        house.store.move_slot(queue)


_slot_move.wants_name = True


# ---- models ----


def _model(times, **fault):
    """The next calls of one model. Few: a worker that is refused again and again asks seldom."""

    def run(house, slot, _seconds):
        house.sim.script({"times": times, **fault}, model=house.models[slot % len(house.models)])

    return run


def _model_quota(house, slot, seconds):
    model = house.models[slot % len(house.models)]
    house.sim.config(models={model: {"rpm": {"kind": "bucket", "per_minute": 60, "burst": 2}}})
    time.sleep(seconds)
    house.sim.config(models={model: {"rpm": None}})


def _provider_fails(house, _slot, seconds, name):
    with house.model_outage(name):
        house.sim.config(models={model: {"error_rate": 1} for model in house.models})
        time.sleep(seconds)
        house.sim.config(models={model: {"error_rate": 0} for model in house.models})


_provider_fails.wants_name = True


def _provider_kill(house, _slot, seconds, name):
    with house.model_outage(name), house.log.of_a_new_simulator():
        house.sim.kill()
        time.sleep(seconds)
        house.on_main(lambda: house.sim.up(house.sim.port))


_provider_kill.wants_name = True


# ---- lines ----


def _wire(end, action):
    def fault(house, slot, seconds, name):
        wire = house.wires[slot - slot % 2][end]
        if end == "Redis":
            action(wire, seconds)
        else:
            with house.model_outage(name, everybody=False):
                action(wire, seconds)

    fault.wants_name = True
    return fault


def _packets(end, what):
    def fault(house, _slot, seconds, name):
        if house.filter is None:
            raise Impossible(house.no_filter)
        is_redis = end == "redis"
        ports = [node.port for node in house.store.nodes] if is_redis else [house.sim.port]
        with house.redis_outage(name) if is_redis else house.model_outage(name):
            for port in ports:
                house.filter.meet(end, port, what)
            time.sleep(seconds)
            house.filter.pass_all(end)

    fault.wants_name = True
    return fault


# name: (what, where it can be done)
FAULTS = {
    "worker kill -9": (_worker_kill, EVERYWHERE),
    "worker SIGTERM": (_worker_term, EVERYWHERE),
    "worker SIGTERM twice": (_worker_term_twice, EVERYWHERE),
    "worker SIGSTOP, short": (_worker_stop, EVERYWHERE),
    "worker SIGSTOP beyond its lease": (_worker_sleep, EVERYWHERE),
    "poison job": (_poison, EVERYWHERE),
    "Redis kill -9": (_redis_kill, ("single",)),
    "Redis SIGSTOP": (_redis_freeze, EVERYWHERE),
    "Redis CLIENT PAUSE": (_redis_pause, ("single",)),
    "Redis DEBUG SLEEP": (_redis_sleep, ("single",)),
    "Redis out of memory": (_setting("maxmemory", "1", "0"), EVERYWHERE),
    "Redis out of clients": (_setting("maxclients", "1", "10000"), ("single",)),
    "Redis READONLY": (_redis_readonly, ("single",)),
    "Redis NOREPLICAS": (_setting("min-replicas-to-write", "9", "0"), EVERYWHERE),
    "Redis BUSY": (_redis_busy, ("single",)),
    "Redis rights taken away": (_redis_password, ("single",)),
    "Redis CLIENT KILL storm": (_storm(None, 0.1), EVERYWHERE),
    "Redis SCRIPT FLUSH storm": (_storm(("SCRIPT", "FLUSH"), 0.05), EVERYWHERE),
    "Redis primary kill -9": (_failover(is_killed=True), ("sentinel",)),
    "Redis planned failover": (_failover(is_killed=False), ("sentinel",)),
    "Redis Sentinel kill -9": (_sentinel_kill, ("sentinel",)),
    "Redis master kill -9": (_shard_failover(is_killed=True), ("cluster",)),
    "Redis CLUSTER FAILOVER": (_shard_failover(is_killed=False), ("cluster",)),
    "Redis slot moves": (_slot_move, ("cluster",)),
    "model throttles": (_model(10, do="throttle"), EVERYWHERE),
    "model has a small quota": (_model_quota, EVERYWHERE),
    "model fails": (_model(10, do="status", status=503), EVERYWHERE),
    "model resets": (_model(20, do="reset"), EVERYWHERE),
    "model is slow": (_model(40, do="delay", ms=3000), EVERYWHERE),
    "model hangs": (_model(10, do="hang"), EVERYWHERE),
    "model drips": (_model(10, do="drip", byte_ms=5), EVERYWHERE),
    "model cuts answers": (_model(20, do="cut"), EVERYWHERE),
    "model answers garbage": (_model(20, do="garbage"), EVERYWHERE),
    "provider fails": (_provider_fails, EVERYWHERE),
    "provider kill -9": (_provider_kill, EVERYWHERE),
    **{f"line to Redis {name}": (_wire("Redis", action), ("single",))
       for name, action in WIRE_FAULTS.items()},
    **{f"line to models {name}": (_wire("models", action), EVERYWHERE)
       for name, action in WIRE_FAULTS.items()},
    "packets to Redis dropped": (_packets("redis", "drop"), ("single",)),
    "packets to Redis refused": (_packets("redis", "reject with tcp reset"), ("single",)),
    "packets to Redis, a fifth lost": (
        _packets("redis", "numgen random mod 100 < 20 drop"), ("single",)),
    "packets to models dropped": (_packets("models", "drop"), EVERYWHERE),
    "packets to models refused": (_packets("models", "reject with tcp reset"), EVERYWHERE),
}
# A death, of a worker or of what it talks to, is what most promises are about.
OFTEN = ("worker kill -9", "worker kill -9", "worker SIGSTOP beyond its lease", "Redis kill -9",
         "Redis primary kill -9", "Redis master kill -9", "Redis slot moves")


def kinds(topology):
    return [name for name, (_, where) in FAULTS.items() if topology in where]


def schedule(seed, seconds, workers, topology, every_s=3.0):
    """[(second, name, slot, length)]: a fault about every so often, each kind in turn, shuffled."""
    chance = random.Random(seed)
    plan, bag, at = [], [], 3.0
    possible = kinds(topology)
    while at < seconds - 2:
        if not bag:
            bag = possible + [name for name in OFTEN if name in possible]
            chance.shuffle(bag)
        plan.append((round(at, 2), bag.pop(), chance.randrange(workers),
                     round(chance.uniform(0.5, 4), 2)))
        at += every_s * chance.uniform(2, 4) / 3
    return plan


def area(name, slot):
    """Two faults may overlap, but not two of Redis, nor two of the same worker or line."""
    first = name.split()[0]
    if first == "worker":
        return f"worker {slot}"
    if first == "line":
        return f"line {slot - slot % 2} to {name.split()[2]}"
    if first == "packets":
        return "Redis" if name.split()[2].startswith("Redis") else "provider"
    if first == "model":
        return "provider"  # what is away can be told nothing
    return "none" if first == "poison" else first


class Mischief(threading.Thread):
    """Does what the schedule says, each fault on a thread."""

    def __init__(self, house, plan):
        super().__init__(daemon=True)
        self.house, self.plan = house, plan
        self.done, self.skipped = [], {}
        self.threads = []

    def run(self):
        began = time.monotonic()
        for at, name, slot, length in self.plan:
            time.sleep(max(0, began + at - time.monotonic()))
            lock = self.house.lock(area(name, slot)) if area(name, slot) != "none" else threading.Lock()
            thread = threading.Thread(target=self._do, args=(lock, name, slot, length), daemon=True)
            thread.start()
            self.threads.append(thread)
        for thread in self.threads:
            thread.join(POISON_S + 60)

    def _do(self, lock, name, slot, length):
        fault, _ = FAULTS[name]
        options = {"name": name} if getattr(fault, "wants_name", False) else {}
        with lock:
            self.house.tell(f"{name} ({slot}, {length} s)")
            try:
                fault(self.house, slot, length, **options)
            except Impossible as reason:
                self.skipped[name] = str(reason)
                return
            except (RedisError, AssertionError, OSError) as failure:
                self.house.complain(f"the fault {name!r} could not be done: {failure!r}")
            self.done.append(name)
