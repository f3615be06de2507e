"""Headgate beside real workers of Celery on the same queues: each takes over what the other's
crash leaves, and nothing is lost."""

import functools
import json
import time

import pytest

from celery_clients import each_version, meta, newest
from support import stays, until

ANALYZE = 'analyze_section_task.delay("S", "text")'
VISIBILITY = 3


@pytest.fixture
def serve(serve):
    return functools.partial(serve, HEADGATE_CELERY_VISIBILITY_TIMEOUT=VISIBILITY)


@pytest.fixture
def celery(celery):
    return functools.partial(celery, VISIBILITY=str(VISIBILITY), ACKS_LATE="1")


def status(redis, task_id):
    return (meta(redis, task_id) or {}).get("status")


def test_a_held_message_is_on_celerys_record(redis, sim, serve, celery_message="i-7"):
    serve()
    sim.script({"do": "hang"})
    raw = json.dumps({
        "body": json.dumps([["S", "text"], {}, {}]), "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "celery_tasks_enhanced.analyze_section_task", "id": celery_message},
        "properties": {"delivery_tag": "tag-7", "priority": 0,
                       "delivery_info": {"exchange": "", "routing_key": "analysis"}},
    })
    redis.client.lpush("analysis", raw)
    sim.wait_open(1)
    entry = json.loads(redis.client.hget("unacked", "tag-7"))
    assert entry == [json.loads(raw), "", "analysis"]
    first = redis.client.zscore("unacked_index", "tag-7")
    until(lambda: redis.client.zscore("unacked_index", "tag-7") > first, what="a renewed entry")


@newest()
def test_a_killed_worker_of_ours_loses_nothing(redis, sim, celery, serve):
    first = serve()
    sim.script({"do": "hang"})
    (task_id,) = celery().run(f"show({ANALYZE}.id)")
    sim.wait_open(1)
    first.kill()
    serve()
    until(lambda: status(redis, task_id) == "SUCCESS", what="the result")


@each_version()
def test_a_real_worker_takes_over_what_a_killed_one_of_ours_held(version, redis, sim, celery, serve):
    ours = serve()
    sim.script({"do": "hang"})
    (task_id, later) = celery(version).run(f"""
show({ANALYZE}.id); show(analyze_section_task.apply_async(("S", "text"), countdown=12).id)
""")
    sim.wait_open(1)
    until(lambda: redis.client.hlen("unacked") == 2, what="both messages on record")
    ours.kill()
    # A real worker looks when it starts, and then only every hundred seconds.
    until(lambda: max(score for _, score in redis.client.zrange("unacked_index", 0, -1, withscores=True))
          < time.time() - VISIBILITY, what="entries that nobody renews")
    celery(version).worker()
    until(lambda: status(redis, task_id) == "SUCCESS", 40, "the result")
    until(lambda: status(redis, later) == "SUCCESS", 40, "the later result")
    assert meta(redis, task_id)["result"]["by"] == "python"


@newest()
def test_ours_takes_over_what_a_killed_real_worker_held(redis, celery, serve):
    client = celery(TASK_SECONDS="60")
    real = client.worker()
    (task_id,) = client.run(f"show({ANALYZE}.id)")
    until(lambda: redis.client.hlen("unacked") == 1 and "received" in real.log(), 20, "reception")
    real.kill()
    serve()
    until(lambda: status(redis, task_id) == "SUCCESS", 30, "the result")
    assert "by" not in meta(redis, task_id)["result"]
    assert not redis.client.exists("unacked", "unacked_index")


@newest()
def test_what_lasts_longer_than_the_visibility_timeout_runs_once(redis, sim, celery, serve):
    serve()
    sim.script({"do": "delay", "ms": (VISIBILITY + 3) * 1000})
    client = celery()
    (task_id,) = client.run(f"show({ANALYZE}.id)")
    sim.wait_open(1)
    client.worker()
    until(lambda: status(redis, task_id) == "SUCCESS", 30, "the result")
    assert "by" not in meta(redis, task_id)["result"]
    assert sim.stats()["calls"] == 1


@newest()
def test_a_drain_gives_messages_back_to_be_served_next(redis, sim, celery, serve):
    ours = serve(HEADGATE_DRAIN_SECONDS=0)
    sim.script({"do": "hang"})
    task_id, later = celery().run(f"""
show({ANALYZE}.id); show(analyze_section_task.apply_async(("S", "text"), countdown=100).id)
""")
    sim.wait_open(1)
    until(lambda: redis.client.hlen("unacked") == 2, what="both messages on record")
    ours.term()
    assert ours.wait() == 0
    waiting = [json.loads(raw) for raw in redis.client.lrange("analysis", 0, -1)]
    assert {message["headers"]["id"] for message in waiting} == {task_id, later}
    assert all(message["headers"]["redelivered"] for message in waiting)
    assert all(message["properties"]["delivery_info"]["redelivered"] for message in waiting)
    assert not redis.client.exists("unacked", "unacked_index")


def somewhere(redis, ids):
    """Those of the tasks that wait, are on record or have their result, at one moment."""
    with redis.client.pipeline(transaction=True) as moment:
        moment.lrange("analysis", 0, -1)
        moment.hvals("unacked")
        for task_id in ids:
            moment.get(f"celery-task-meta-{task_id}")
        waiting, held, *ends = moment.execute()
    found = {json.loads(text)["headers"]["id"] for text in waiting}
    found |= {json.loads(text)[0]["headers"]["id"] for text in held}
    return found | {task_id for task_id, end in zip(ids, ends) if end and b'"SUCCESS"' in end}


def kill_with_nothing_in_hand(redis, process, ids):
    """A real worker loses what it has popped and not yet put on record: that is Celery's own."""

    def is_empty_handed():
        process.stop()
        if somewhere(redis, ids) == set(ids):
            return True
        process.cont()
        return False

    until(is_empty_handed, what="a moment with every task somewhere")
    process.kill()


@newest()
def test_nothing_is_lost_among_both_kinds_with_kills_on_both_sides(redis, sim, celery, serve):
    sim.config(default={"latency_ms": 60})
    client = celery(TASK_SECONDS="0.05")
    ours = [serve(HEADGATE_CONCURRENCY=5), serve(HEADGATE_CONCURRENCY=5)]
    real = [client.worker(), client.worker()]
    (ids,) = client.run("show([analyze_section_task.delay('S', 'text').id for _ in range(150)])")
    until(lambda: sum(status(redis, i) == "SUCCESS" for i in ids) > 10, 30, "a beginning")
    ours[0].kill()
    kill_with_nothing_in_hand(redis, real[0], ids)
    until(lambda: somewhere(redis, ids) == set(ids), what="every task somewhere")
    until(lambda: sum(status(redis, i) == "SUCCESS" for i in ids) == len(ids), 60, "all results")
    until(lambda: not redis.client.exists("unacked", "unacked_index", "analysis"), 30, "the acks")


@newest()
def test_a_worker_of_celery_takes_over_after_a_roll_back(redis, sim, celery, serve):
    ours = serve()
    (task_id,) = celery().run("show(analyze_section_task.apply_async(('S', 't'), countdown=8).id)")
    until(lambda: redis.client.hlen("unacked") == 1, what="the message on record")
    ours.term()
    assert ours.wait() == 0
    celery().worker()
    until(lambda: status(redis, task_id) == "SUCCESS", 30, "the result")
    assert meta(redis, task_id)["result"]["by"] == "python"
    stays(lambda: redis.client.llen("analysis") == 0, 0.2)
