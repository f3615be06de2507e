"""A worker on Celery's queues that is killed, or sleeps longer than its lease, at every step of a task:
the message is always in its list or on kombu's record, and its end is written once."""

import json

import pytest

from celery_clients import meta
from headgate import STOPPABLE
from support import IS_SANITIZED, until

LEASE = 2
TASK = {
    "body": json.dumps([["S", "text"], {}, {"chain": [
        {"task": "celery_tasks_enhanced.process_chat_task", "args": ["next?"], "kwargs": {},
         "options": {"task_id": "i-2", "queue": "chat"}, "immutable": True, "subtask_type": None}]}]),
    "content-type": "application/json", "content-encoding": "utf-8",
    "headers": {"task": "celery_tasks_enhanced.analyze_section_task", "id": "i-1"},
    "properties": {"delivery_tag": "tag-1", "priority": 0,
                   "delivery_info": {"exchange": "", "routing_key": "analysis"}},
}
POINTS = ["pop.sending", "pop.answered", "claim.sending", "claim.answered", "celery_begin.sending",
          "celery_begin.answered", "celery_begin.done", "call.sending", "call.answered",
          "celery_settle.sending", "celery_settle.answered", "celery_settle.done",
          "beat.sending:3", "beat.answered:3"]
ENDED = {"celery_settle.answered", "celery_settle.done"}

pytestmark = pytest.mark.skipif(not IS_SANITIZED and not STOPPABLE.exists(),
                                reason="the debug build is missing (make debug)")


def copies(redis, task_id):
    """Where a real worker of Celery would find the message."""
    waiting = [json.loads(raw) for raw in redis.client.lrange("analysis", 0, -1)]
    held = [json.loads(raw)[0] for raw in redis.client.hvals("unacked")]
    return sum(message["headers"]["id"] == task_id for message in waiting + held)


def stop_at(point, redis, sim, worker):
    if point.startswith("beat"):
        sim.script({"do": "delay", "ms": 2 * LEASE * 1000})
    if not point.startswith("pop"):
        redis.client.lpush("analysis", json.dumps(TASK))
    victim = worker(wait_ready=False, USE_CELERY="true", HEADGATE_STOP_AT=point,
                    HEADGATE_CELERY_QUEUES="analysis")
    if point == "pop.answered":
        until(lambda: redis.client.info("clients")["blocked_clients"] > 0, what="a blocked pop")
    if point.startswith("pop"):
        redis.client.lpush("analysis", json.dumps(TASK))
    victim.wait_stopped()
    return victim


def assert_all_done(redis):
    for task_id in ("i-1", "i-2"):
        until(lambda: (meta(redis, task_id) or {}).get("status") == "SUCCESS", LEASE + 15,
              f"the result of {task_id}")
    until(lambda: not redis.client.exists("unacked", "unacked_index", "analysis", "chat"),
          what="the acknowledgements")
    assert not redis.client.exists("headgate:{analysis}:owners", "headgate:{analysis}:kept")


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_this_step_loses_nothing(point, redis, sim, worker):
    victim = stop_at(point, redis, sim, worker)
    assert copies(redis, "i-1") == (0 if point in ENDED else 1)
    assert redis.client.llen("chat") == (1 if point in ENDED else 0)
    victim.kill()
    worker(USE_CELERY="true")
    assert_all_done(redis)
    assert sim.stats()["calls"] <= 3


@pytest.mark.parametrize("point", [p for p in POINTS if p not in ("pop.sending", "pop.answered")])
def test_a_sleep_at_this_step_ends_nothing_twice(point, redis, sim, worker):
    victim = stop_at(point, redis, sim, worker)
    worker(USE_CELERY="true")
    assert_all_done(redis)
    victim.cont()
    until(victim.is_ready, 15, "the sleeper's readiness")
    assert_all_done(redis)
    assert int(redis.client.hget("headgate:{analysis}:stats", "succeeded")) == 1
