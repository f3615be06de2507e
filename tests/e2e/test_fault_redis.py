"""Redis refuses, stalls, fills up or forgets: jobs wait, none is lost, and the worker says so."""

import contextlib
import threading

import pytest
import redis as redis_client

from services import DEBUG_ALLOWED, SERVER_VERSION
from support import stays, until

LEASE = 2
PAUSE_MS = 5000
# Lines of the log that a fault of some seconds may cost: told, not repeated.
LINES_PER_FAULT = 8


def job(name):
    return {"id": name, "content": f"mark-{name}"}


def assert_once(redis, sim, *names, timeout=15):
    for name in names:
        result = redis.wait_result(name, timeout)
        assert (result["state"], result["attempt"]) == ("succeeded", 1), name
        assert len(redis.replies(name)) == 1, name
        assert len(sim.calls(f"mark-{name}")) == 1, name


def kill_connections(client):
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@contextlib.contextmanager
def replica_of_nobody(redis):
    redis.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        redis.client.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def stale_replica(redis):
    redis.client.config_set("replica-serve-stale-data", "no")
    with replica_of_nobody(redis):
        yield


@contextlib.contextmanager
def setting(redis, name, value, otherwise):
    redis.client.config_set(name, value)
    try:
        yield
    finally:
        redis.client.config_set(name, otherwise)


def too_few_replicas(redis):
    return setting(redis, "min-replicas-to-write", "1", "0")


@contextlib.contextmanager
def too_many_clients(redis):
    with setting(redis, "maxclients", "1", "10000"):
        kill_connections(redis.client)
        yield


@contextlib.contextmanager
def endless_script(redis):
    """Somebody else's: after lua-time-limit (busy-reply-threshold since Redis 7) everybody hears BUSY."""
    redis.client.config_set("lua-time-limit", "100")
    other = redis_client.Redis(unix_socket_path=redis.socket)

    def run():
        with contextlib.suppress(redis_client.ResponseError):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: is_busy(redis), what="BUSY")
    try:
        yield
    finally:
        redis.client.script_kill()
        thread.join()
        other.close()


def is_busy(redis):
    try:
        redis.client.ping()
    except redis_client.ResponseError as error:
        return "BUSY" in str(error)
    return False


@contextlib.contextmanager
def everybody_paused(redis):
    # It ends by itself: UNPAUSE would have to wait too.
    redis.client.execute_command("CLIENT", "PAUSE", str(PAUSE_MS), "ALL")
    yield
    redis.client.ping()


@contextlib.contextmanager
def no_right_to_the_keys(redis):
    redis.client.execute_command("ACL", "SETUSER", "default", "resetkeys", "~nothing")
    try:
        yield
    finally:
        redis.client.execute_command("ACL", "SETUSER", "default", "allkeys")


@contextlib.contextmanager
def no_right_to_scripts(redis):
    redis.client.execute_command("ACL", "SETUSER", "default", "-evalsha", "-eval")
    try:
        yield
    finally:
        redis.client.execute_command("ACL", "SETUSER", "default", "+@all")


@contextlib.contextmanager
def another_password(redis):
    redis.client.execute_command("ACL", "SETUSER", "default", "resetpass", ">changed")
    kill_connections(redis.client)
    try:
        yield
    finally:
        redis.client.execute_command("ACL", "SETUSER", "default", "nopass")


REFUSALS = {
    "READONLY": replica_of_nobody,
    "MASTERDOWN": stale_replica,
    "NOREPLICAS": too_few_replicas,
    "max number of clients": too_many_clients,
    "BUSY": endless_script,
    "CLIENT PAUSE": everybody_paused,
    "NOPERM, keys": no_right_to_the_keys,
    "NOPERM, commands": no_right_to_scripts,
    "WRONGPASS": another_password,
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_redis_that_refuses_for_a_while_costs_no_job_no_attempt_no_call(
    redis, sim, worker, refusal
):
    process = worker()
    sim.script({"do": "delay", "ms": 500})
    redis.push(job("during"))
    sim.wait_open(1)
    before = len(process.log())
    with refusal(redis):
        until(lambda: process.readiness() == 503, 15, "a red /readyz")
        assert process.get("/healthz", timeout=2).status == 200
        assert process.get("/readyz").json()["reason"]
        until(lambda: sim.stats()["open"] == 0, what="the answer meanwhile")
        # Longer than the lease: who comes back must not lose what it holds.
        stays(process.is_alive, LEASE + 0.5, "the worker")
    redis.push(job("after"))
    assert_once(redis, sim, "during", "after")
    until(process.is_ready, what="a green /readyz")
    assert_told_once(process.log()[before:])


def assert_told_once(log):
    """A line as it starts, a line as it ends, and little between."""
    told = [line for line in log.splitlines() if "job is final" not in line]
    assert "level=error" in told[0], log
    assert "Redis is back" in log or " again" in log, log
    assert len(told) <= LINES_PER_FAULT, log


@pytest.mark.skipif(SERVER_VERSION < (7,), reason="the loading of Redis 6 can't be slowed down")
def test_a_redis_that_loads_its_data_is_waited_for(servers, sim, worker):
    # What was claimed must not be forgotten with a kill that comes before its fsync.
    redis = servers.redis(aof=True, arguments=(*DEBUG_ALLOWED, "--appendfsync", "always"))
    process = worker(redis_url=redis.url)
    redis.client.execute_command("DEBUG", "POPULATE", "2000", "ballast")
    redis.client.execute_command("BGREWRITEAOF")
    until(lambda: not is_rewriting(redis), what="the end of the rewrite")
    sim.script({"do": "delay", "ms": 500})
    redis.push(job("during"))
    sim.wait_open(1)
    before = len(process.log())
    redis.kill()
    # Half a millisecond for each key.
    slow = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]
    redis.start([*redis.arguments, *slow], {"PATH": "/usr/bin:/bin"})
    until(lambda: is_loading(redis), what="LOADING")
    assert process.get("/healthz", timeout=2).status == 200
    until(lambda: process.readiness() == 503, what="a red /readyz")
    until(lambda: not is_loading(redis), what="the end of loading")
    redis.push(job("after"))
    assert_once(redis, sim, "during", "after")
    assert_told_once(process.log()[before:])


def is_loading(redis):
    try:
        redis.client.ping()
    except redis_client.BusyLoadingError:
        return True
    except redis_client.ConnectionError:
        return None
    return False


def is_rewriting(redis):
    state = redis.client.info("persistence")
    return state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]


def test_a_redis_killed_with_appendfsync_everysec_loses_nothing_that_was_accepted(
    servers, sim, worker
):
    redis = servers.redis(aof=True)
    sim.config(default={"latency_ms": 50})
    worker(redis_url=redis.url, HEADGATE_CONCURRENCY=10)
    worker(redis_url=redis.url, HEADGATE_CONCURRENCY=10)
    names = [f"everysec-{n}" for n in range(120)]
    for name in names[:80]:
        redis.push(job(name))
    sim.wait_calls(20)
    redis.kill()
    redis.up()
    for name in names[80:]:
        redis.push(job(name))
    assert_once(redis, sim, *names, timeout=30)


def test_a_redis_that_comes_back_empty_is_worked_on(servers, sim, worker):
    """Loss is Redis' own here, and documented; the worker must not be confused by it."""
    redis = servers.redis()
    process = worker(redis_url=redis.url)
    sim.script({"do": "delay", "ms": 800})
    redis.push(job("forgotten"))
    sim.wait_open(1)
    redis.kill()
    redis.up()
    redis.push(job("after"))
    assert_once(redis, sim, "after")
    until(lambda: sim.stats()["open"] == 0, what="the answer")
    until(process.is_ready, what="a green /readyz")
    stays(lambda: redis.result("forgotten") is None, 0.5, "no result of a job nobody knows")
    assert redis.client.keys("headgate:{analyze}:inflight:*") == []


def test_a_forward_jump_of_redis_clock_runs_a_job_twice_and_ends_it_once(redis, sim, worker):
    """Every lease ends at once, as after a jump of the clock: here by moving their ends."""
    processes = [worker(), worker()]
    sim.script({"do": "delay", "ms": 6000, "times": 2})
    redis.push(job("jump-1"))
    redis.push(job("jump-2"))
    sim.wait_open(2)
    stays(lambda: True, LEASE + 0.5)  # who has just come reaps nobody
    workers = "headgate:{analyze}:workers"
    for name in redis.client.zrange(workers, 0, -1):
        redis.client.zadd(workers, {name: 1})
    for name in ("jump-1", "jump-2"):
        result = redis.wait_result(name, 15)
        assert (result["state"], result["attempt"]) == ("succeeded", 1)
        assert len(redis.replies(name)) == 1
        assert len(sim.calls(f"mark-{name}")) <= 2
    until(lambda: all(process.is_ready() for process in processes), what="green workers")
