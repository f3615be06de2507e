"""A flood by one tenant does not delay another's jobs by more than its own turn."""

import json
import signal

import pytest

from services import PRIMARY
from support import stays, until

KEYS = ("sorted", "sorted:jobs", "turns", "returned", "busy")
NEVER = {"do": "hang", "times": 1000}


def name(tenant, n):
    return f"{tenant}-{n}"


def push(redis, tenant, count, field="tenant", first=0):
    """Jobs of a tenant, or of nobody."""
    names = [name(tenant, n) for n in range(first, first + count)]
    for job in names:
        redis.push({"id": job, "content": f"mark-{job}", **({field: tenant} if tenant != "nobody" else {})})
    return names


def order(sim):
    """The jobs in the order of their calls."""
    return [call["marker"].removeprefix("mark-") for call in sorted(sim.calls(), key=lambda call: call["at_ms"])]


def assert_all_succeeded(redis, names, timeout=20):
    for job in names:
        assert redis.wait_result(job, timeout)["state"] == "succeeded"


def left_over(redis):
    return [key for key in KEYS if redis.client.exists(f"headgate:{{analyze}}:{key}")]


@pytest.mark.parametrize("field", ["tenant", "user_id", "session_id"])
def test_a_quiet_tenant_s_job_does_not_wait_behind_a_flood(redis, sim, worker, field):
    flood = push(redis, "flood", 30, field)
    quiet = push(redis, "quiet", 2, field)
    worker(HEADGATE_CONCURRENCY=1)
    assert_all_succeeded(redis, flood + quiet)
    assert order(sim)[:4] == ["flood-0", "quiet-0", "flood-1", "quiet-1"]
    assert order(sim)[4:] == flood[2:], "a tenant's own jobs keep their order"
    assert left_over(redis) == []


def test_jobs_without_a_tenant_take_turns_with_the_others(redis, sim, worker):
    nobody = push(redis, "nobody", 20)
    quiet = push(redis, "quiet", 1)
    worker(HEADGATE_CONCURRENCY=1)
    assert_all_succeeded(redis, nobody + quiet)
    assert "quiet-0" in order(sim)[:3]


def test_without_fairness_the_first_that_came_is_served_first(redis, sim, worker):
    names = push(redis, "flood", 10) + push(redis, "quiet", 1)
    worker(HEADGATE_CONCURRENCY=1, HEADGATE_FAIR="off")
    assert_all_succeeded(redis, names)
    assert order(sim) == names


def test_weights_and_limits_of_the_file_hold_in_the_whole_cluster(redis, sim, worker, tmp_path):
    file = tmp_path / "headgate.json"
    file.write_text(json.dumps({"tenants": {"heavy": {"weight": 3}, "tight": {"max_in_flight": 2}}}))
    sim.script(NEVER)
    heavy, light, tight = push(redis, "heavy", 30), push(redis, "light", 30), push(redis, "tight", 30)
    for _ in range(2):
        worker(HEADGATE_CONFIG=file, HEADGATE_CONCURRENCY=9)
    sim.wait_open(18)
    running = [json.loads(text)["tenant"] for key in redis.client.keys("headgate:{analyze}:inflight:*")
               for text in redis.client.hvals(key)]
    assert running.count("tight") == 2
    assert 11 <= running.count("heavy") <= 13
    sim.reset()
    assert len(heavy + light + tight) == 90


def test_a_tenant_at_its_limit_goes_on_as_soon_as_it_may(redis, sim, worker, tmp_path):
    file = tmp_path / "headgate.json"
    file.write_text(json.dumps({"tenants": {"*": {"max_in_flight": 1}}}))
    workers = [worker(HEADGATE_CONFIG=file) for _ in range(2)]
    names = push(redis, "tight", 8)
    assert_all_succeeded(redis, names)
    calls = sorted(sim.calls(), key=lambda call: call["at_ms"])
    assert [call["marker"] for call in calls] == [f"mark-{job}" for job in names]
    assert left_over(redis) == []
    assert all(one.is_alive() for one in workers)


def test_what_waits_is_counted_wherever_it_lies(redis, sim, worker, cli):
    sim.script(NEVER)
    push(redis, "flood", 9)
    push(redis, "quiet", 3)
    running = worker(HEADGATE_CONCURRENCY=2)
    sim.wait_open(2)
    assert redis.client.zcard("headgate:{analyze}:sorted") == 10
    (queue,) = running.get("/queue_stats").json()["queues"]
    assert (queue["waiting"], queue["in_flight"]) == (10, 2)
    assert json.loads(cli("stats", "--json").out)["queues"][0]["waiting"] == 10


def test_a_worker_that_stops_leaves_all_jobs_in_the_list(redis, sim, worker):
    sim.script(NEVER)
    first = worker(HEADGATE_CONCURRENCY=3, HEADGATE_DRAIN_SECONDS=0)
    names = push(redis, "flood", 12) + push(redis, "quiet", 2)
    sim.wait_open(3)
    first.term()
    first.wait()
    waiting = [json.loads(payload)["id"] for payload in redis.waiting()]
    assert sorted(waiting) == sorted(names)
    assert waiting[3:] == [job for job in names if job not in waiting[:3]]
    assert left_over(redis) == ["returned"]
    sim.reset()
    worker()
    assert_all_succeeded(redis, names)
    assert left_over(redis) == []


def test_nothing_is_lost_or_done_twice_when_workers_die_among_many_tenants(redis, sim, worker):
    sim.config(default={"latency_ms": 20})
    victims = [worker(HEADGATE_CONCURRENCY=4) for _ in range(2)]
    names = [job for tenant in range(10) for job in push(redis, f"t{tenant}", 12)]
    until(lambda: sum(1 for job in names if redis.result(job)) >= 20, what="some results")
    for victim in victims:
        victim.kill()
    worker(HEADGATE_CONCURRENCY=4)
    assert_all_succeeded(redis, names, 40)
    assert all(len(redis.replies(job)) == 1 for job in names)
    assert left_over(redis) == []


def test_a_cancelled_job_among_many_is_dropped_at_its_turn(redis, sim, worker, cli):
    sim.script({"do": "delay", "ms": 600})
    names = push(redis, "flood", 5)
    worker(HEADGATE_CONCURRENCY=1)
    until(lambda: redis.client.zcard("headgate:{analyze}:sorted") > 0, what="jobs that are sorted")
    assert cli("cancel", "flood-3").code == 0
    assert redis.wait_result("flood-3")["state"] == "cancelled"
    assert_all_succeeded(redis, names[:3] + names[4:])


def test_a_paused_queue_keeps_its_sorted_jobs_and_goes_on_with_them(redis, sim, worker, cli):
    sim.script({"do": "delay", "ms": 600})
    names = push(redis, "flood", 5) + push(redis, "quiet", 1)
    worker(HEADGATE_CONCURRENCY=1)
    until(lambda: redis.client.zcard("headgate:{analyze}:sorted") > 0, what="jobs that are sorted")
    assert cli("pause", "analyze").code == 0
    redis.wait_result(names[0])
    stays(lambda: redis.result(names[1]) is None, 0.5, "the pause")
    assert cli("resume", "analyze").code == 0
    assert_all_succeeded(redis, names)


def test_sighup_changes_the_turns_of_a_running_worker(redis, sim, worker, tmp_path):
    file = tmp_path / "headgate.json"
    file.write_text(json.dumps({"queues": {"analyze": {"fair": False}}}))
    sim.script({"do": "delay", "ms": 1500})
    running = worker(HEADGATE_CONFIG=file, HEADGATE_CONCURRENCY=1)
    names = push(redis, "flood", 6) + push(redis, "quiet", 1)
    sim.wait_open(1)
    file.write_text(json.dumps({"queues": {"analyze": {"fair": True}}}))
    running.signal(signal.SIGHUP)
    until(lambda: "was read again" in running.log(), what="the new file")
    assert_all_succeeded(redis, names)
    assert order(sim)[:3] == ["flood-0", "flood-1", "quiet-0"]
    assert len(sim.calls(model=PRIMARY)) == len(names)


def test_a_job_that_names_tenants_without_end_does_not_hold_redis(redis, worker):
    blanks = b" " * 1_000_000
    evil = (b'{' + blanks + b'"content":"x","id":"evil","metadata":{' + b'"tenant":"x",' * 12_000 +
            b'"b":1}' + blanks + b'}')
    for _ in range(3):
        redis.client.rpush("analyze", evil)
    quiet = push(redis, "quiet", 2)
    worker(HEADGATE_CONCURRENCY=1)
    assert_all_succeeded(redis, quiet + ["evil"])
