"""A worker that is killed, or sleeps longer than its lease, at every step of a job.

The points are those of common/stop_point.h: no sleeps, no luck. The call itself, under way,
has no point: test_delivery kills and stops workers while the simulator hangs.
"""

import subprocess

import pytest

from headgate import BINARY
from services import PRIMARY, SECOND, THIRD
from support import IS_SANITIZED, until

JOB = {"id": "step", "content": "mark-step", "reply_to": "step:replies"}
BAD_JOB = b'{"id":"step","content":7,"reply_to":"step:replies"}'
LEASE = 2
LEASE_LOST = "lease lost"

# How often the model is called when the worker dies there: never again once the answer is written.
CALLS_WHEN_KILLED = {
    "pop.sending": 1,
    "pop.answered": 1,
    "claim.sending": 1,
    "claim.answered": 1,
    "begin.sending": 1,
    "begin.answered": 1,
    "begin.done": 1,
    "call.sending": 1,
    "call.answered": 2,
    "settle.sending": 2,
    "settle.answered": 1,
    "settle.done": 1,
    "beat.sending:3": 2,
    "beat.answered:3": 2,
}
# A worker that wakes up too late calls again only where it had decided to before it slept.
CALLS_WHEN_ASLEEP = {
    "claim.sending": 1,
    "claim.answered": 1,
    "pop.answered": 1,
    "begin.sending": 1,
    "begin.answered": 1,
    "begin.done": 1,
    "call.sending": 2,
    "call.answered": 2,
    "settle.sending": 2,
    "settle.answered": 1,
    "settle.done": 1,
    "beat.sending:3": 2,
    "beat.answered:3": 2,
}


def prepare(sim, redis, point):
    """What the first worker shall find."""
    if point.startswith("beat"):
        # It beats for the third time while the call is under way.
        sim.script({"do": "delay", "ms": 2 * LEASE * 1000})
    if point != "pop.answered":
        redis.push(JOB)


def stop_at(point, redis, worker):
    victim = worker(wait_ready=False, HEADGATE_STOP_AT=point)
    if point == "pop.answered":
        until(lambda: redis.client.info("clients")["blocked_clients"] > 0, what="a blocked pop")
        redis.push(JOB)
    victim.wait_stopped()
    return victim


def assert_ended_once(redis, state="succeeded", attempt=1):
    result = redis.wait_result("step", LEASE + 8)
    assert (result["state"], result["attempt"]) == (state, attempt)
    assert len(redis.replies("step")) == 1
    assert redis.client.llen("step:replies") == 1
    return result


def assert_nothing_left_over(redis, *workers):
    """Once all have gone, a queue keeps results and counters."""
    for process in workers:
        process.term()
        assert process.wait() == 0
    keys = {key.decode() for key in redis.client.keys("*")}
    ours = {f"headgate:{{analyze}}:{name}" for name in
            ("result:step", "reply:step", "result:next", "reply:next", "stats", "dead")}
    others = {key for key in keys - ours if not key.startswith("headgate:{m:")}
    assert others == {"step:replies"}


@pytest.mark.parametrize("point", CALLS_WHEN_KILLED)
def test_a_worker_killed_at_any_step_loses_no_job(redis, sim, worker, point):
    prepare(sim, redis, point)
    victim = stop_at(point, redis, worker)
    victim.kill()
    heir = worker()
    assert_ended_once(redis)
    assert len(calls_made(sim)) <= CALLS_WHEN_KILLED[point]
    wait_reaped(redis, 1)
    assert_nothing_left_over(redis, heir)
    assert len(calls_made(sim)) == CALLS_WHEN_KILLED[point]


def calls_made(sim):
    until(lambda: sim.stats()["open"] == 0, what="the end of all calls")
    return sim.calls("mark-step")


def wait_reaped(redis, left):
    """Until only `left` workers have a standing."""
    until(lambda: redis.client.zcard("headgate:{analyze}:workers") == left, LEASE + 8,
          f"{left} workers")


@pytest.mark.parametrize("point", CALLS_WHEN_ASLEEP)
def test_a_worker_that_sleeps_at_any_step_overwrites_nothing(redis, sim, worker, point):
    prepare(sim, redis, point)
    sleeper = stop_at(point, redis, worker)
    heir = worker()
    result = assert_ended_once(redis)
    wait_reaped(redis, 1)
    heir.term()
    assert heir.wait() == 0

    sleeper.cont()
    sleeper.wait_for_log(LEASE_LOST)
    redis.push({"id": "next", "content": "mark-next"})
    assert redis.wait_result("next")["state"] == "succeeded"
    assert redis.result("step") == result
    assert_ended_once(redis)
    assert len(calls_made(sim)) <= CALLS_WHEN_ASLEEP[point]
    assert_nothing_left_over(redis, sleeper)


def test_a_worker_that_slept_between_two_models_does_not_call_the_second(redis, sim, worker):
    sim.script({"do": "status", "status": 500, "code": "InternalServerException"}, model=PRIMARY)
    redis.push(JOB)
    sleeper = stop_at("call.answered", redis, worker)
    heir = worker()
    assert_ended_once(redis)
    sleeper.cont()
    sleeper.wait_for_log(LEASE_LOST)
    assert [call["model"] for call in calls_made(sim)] == [PRIMARY, PRIMARY]
    assert_nothing_left_over(redis, sleeper, heir)


def test_a_worker_that_slept_and_finds_redis_away_waits_with_its_call_for_the_truth(servers, sim):
    redis = servers.redis(aof=True)
    redis.push(JOB)
    sleeper = servers.worker(redis.url, sim.url, wait_ready=False, HEADGATE_STOP_AT="begin.done")
    sleeper.wait_stopped()
    heir = servers.worker(redis.url, sim.url)
    assert_ended_once(redis)
    redis.stop()
    sleeper.cont()
    sleeper.wait_for_log("a call waits")
    redis.cont()
    sleeper.wait_for_log(LEASE_LOST)
    assert len(calls_made(sim)) == 1
    assert_nothing_left_over(redis, sleeper, heir)


def test_a_call_that_waited_for_the_truth_is_made_when_the_job_is_still_ours(servers, sim):
    redis = servers.redis(aof=True)
    redis.push(JOB)
    sleeper = servers.worker(redis.url, sim.url, wait_ready=False, HEADGATE_STOP_AT="begin.done")
    sleeper.wait_stopped()
    until(lambda: lease_left_ms(redis) < 0, LEASE + 8, "the end of its lease")
    redis.stop()
    sleeper.cont()
    sleeper.wait_for_log("a call waits")
    assert sim.stats()["calls"] == 0
    redis.cont()
    assert_ended_once(redis)
    assert len(calls_made(sim)) == 1
    assert_nothing_left_over(redis, sleeper)


def lease_left_ms(redis):
    """Of the only worker."""
    seconds, micros = redis.client.time()
    ((_, end_ms),) = redis.client.zrange("headgate:{analyze}:workers", 0, 0, withscores=True)
    return end_ms - (seconds * 1000 + micros / 1000)


@pytest.mark.parametrize("moment", ["sending", "answered", "done"])
def test_a_worker_killed_at_a_dead_letter_writes_exactly_one(redis, worker, moment):
    redis.push(BAD_JOB)
    victim = worker(wait_ready=False, HEADGATE_STOP_AT=f"dead.{moment}")
    victim.wait_stopped()
    victim.kill()
    heir = worker()
    assert_ended_once(redis, "failed", 0)
    wait_reaped(redis, 1)
    assert len(redis.dead()) == 1
    assert redis.dead_letter(BAD_JOB)
    assert_nothing_left_over(redis, heir)


@pytest.mark.parametrize("moment", ["sending", "answered", "done"])
def test_a_worker_killed_at_a_retry_keeps_the_job_and_counts_right(redis, sim, worker, moment):
    for model in (PRIMARY, SECOND, THIRD):
        sim.script({"do": "status", "status": 500, "code": "InternalServerException"}, model=model)
    redis.push(JOB)
    victim = worker(wait_ready=False, HEADGATE_STOP_AT=f"retry.{moment}")
    victim.wait_stopped()
    victim.kill()
    heir = worker()
    assert_ended_once(redis, attempt=1 if moment == "sending" else 2)
    wait_reaped(redis, 1)
    assert len(calls_made(sim)) == 4
    assert_nothing_left_over(redis, heir)


@pytest.mark.parametrize("moment", ["sending", "answered"])
def test_a_reaper_that_is_killed_is_reaped_itself(redis, sim, worker, moment):
    sim.script({"do": "hang"})
    redis.push(JOB)
    first = worker()
    sim.wait_open(1)
    first.kill()
    reaper = worker(wait_ready=False, HEADGATE_STOP_AT=f"reap.{moment}")
    reaper.wait_stopped(LEASE + 8)
    reaper.kill()
    heir = worker()
    assert_ended_once(redis)
    wait_reaped(redis, 1)
    assert len(calls_made(sim)) == 2
    assert_nothing_left_over(redis, heir)


@pytest.mark.parametrize("moment", ["sending", "answered"])
def test_a_worker_killed_as_it_leaves_gives_its_jobs_back(redis, sim, worker, moment):
    sim.script({"do": "hang"})
    redis.push(JOB)
    leaver = worker(HEADGATE_STOP_AT=f"leave.{moment}", HEADGATE_DRAIN_SECONDS=0.2)
    sim.wait_open(1)
    leaver.term()
    leaver.wait_stopped()
    leaver.kill()
    heir = worker()
    assert_ended_once(redis)
    wait_reaped(redis, 1)
    assert len(calls_made(sim)) == 2
    assert_nothing_left_over(redis, heir)


@pytest.mark.parametrize("moment", ["sending", "answered"])
def test_a_worker_killed_as_it_returns_lost_claims_loses_none(servers, redis, sim, worker, moment):
    wire = servers.proxy(redis.port)
    wire.lose_reply(b"mark-step")
    redis.push(JOB)
    victim = worker(
        wait_ready=False, redis_url=wire.redis_url, HEADGATE_STOP_AT=f"release.{moment}"
    )
    victim.wait_stopped()
    victim.kill()
    heir = worker()
    assert_ended_once(redis)
    wait_reaped(redis, 1)
    assert len(calls_made(sim)) == 1
    assert_nothing_left_over(redis, heir)


def test_the_release_build_has_no_stop_points():
    if IS_SANITIZED:
        pytest.skip("the sanitizer build has them on purpose")
    assert b"HEADGATE_STOP_AT" not in BINARY.read_bytes()
    symbols = subprocess.run(["nm", BINARY], capture_output=True, text=True, check=True).stdout
    assert "stop_point" not in symbols
