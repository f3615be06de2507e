"""Messages that no client of Celery writes: what follows from a task, bombs, and odd requests."""

import base64
import json

import pytest

from celery_clients import MODULE, meta
from support import until
from test_celery import GOOD, envelope, is_settled


def task(task_id, **options):
    return {"task": MODULE + "analyze_section_task", "args": ["S", "text"], "kwargs": {},
            "options": {"task_id": task_id, **options}, "subtask_type": None, "immutable": True}


def push(redis, embed, args=("S", "text"), task_id="i-1", **headers):
    body = json.dumps([list(args), {}, embed])
    redis.client.lpush("analysis", json.dumps(envelope(body, task_id=task_id, **headers)))


def ends(redis, task_id="i-1", state="SUCCESS", timeout=10):
    until(lambda: (meta(redis, task_id) or {}).get("status") == state, timeout, f"{state} of {task_id}")


def test_a_failure_with_what_follows_is_told_once(redis, serve):
    serve()
    push(redis, {"chain": [task("next")], "errbacks": [task("back")]}, args=["only"])
    ends(redis, state="FAILURE")
    ends(redis, "next", "FAILURE")
    ends(redis, "back")
    until(lambda: is_settled(redis), what="the acknowledgement")
    assert redis.client.llen("headgate:{analysis}:dead") == 1


def test_a_link_to_a_key_that_is_no_list_does_not_hold_the_task(redis, serve):
    serve()
    redis.client.set("text", "x")
    push(redis, {"callbacks": [task("linked", queue="text")]})
    ends(redis)
    ends(redis, "linked")
    until(lambda: is_settled(redis), what="the acknowledgement")


@pytest.mark.parametrize("queue", ["headgate:{analysis}:paused", "headgate:{chat}:workers", "unacked",
                                   "unacked_index", "unacked_mutex"])
def test_a_link_to_a_key_of_the_queue_stops_nothing(redis, serve, queue):
    serve()
    message = envelope([["S", "text"], {}, {"callbacks": [task("linked", queue=queue)]}])
    del message["properties"]["delivery_tag"]  # so nothing of it stands in unacked
    redis.client.lpush("analysis", json.dumps(message))
    ends(redis)
    ends(redis, "linked")
    assert redis.client.type("headgate:{analysis}:paused") == b"none"
    push(redis, {}, task_id="i-2")
    ends(redis, "i-2")
    until(lambda: is_settled(redis), what="the acknowledgement")


def test_odd_names_of_a_group_do_not_hold_the_task(redis, serve):
    serve()
    pairs = [(group, index) for group in ("\ud800", "\0", "a" * 300, "x.j", '"', "\n")
             for index in (0, -1, 1e308, float("inf"), "1", None)]
    for number, (group, index) in enumerate(pairs):
        push(redis, {"chord": task("body", link_error=[task("back")], chain=[task("\ud800")])},
             task_id=f"i-{number}", group=group, group_index=index)
    for number, pair in enumerate(pairs):
        ends(redis, f"i-{number}")
    until(lambda: is_settled(redis), what="the acknowledgement")


def test_a_long_chain_within_is_read_in_time(redis, serve):
    serve()
    inner = {"task": "celery.chain", "kwargs": {"tasks": [{}] * 400_000}, "subtask_type": "chain"}
    push(redis, {"callbacks": [inner]})
    until(lambda: meta(redis, "i-1") and meta(redis, "i-1")["status"] != "PROGRESS", what="an end")
    until(lambda: is_settled(redis), what="the acknowledgement")


def test_what_multiplies_a_task_has_a_bound(redis, serve):
    running = serve()
    inner = {"task": "celery.group", "kwargs": {"tasks": [{}] * 1_000_000}, "subtask_type": "group"}
    push(redis, {"callbacks": [inner]})
    ends(redis, timeout=30)
    running.wait_for_log("the rest is left out")
    assert running.is_alive()


def test_a_body_that_is_a_multitude_has_a_bound_too(redis, serve):
    running = serve()
    body = {"task": "celery.group", "kwargs": {"tasks": [{}] * 1_000_000}, "subtask_type": "group"}
    redis.client.set("celery-taskset-meta-g-1.s", 1)
    push(redis, {"chord": body}, group="g-1", group_index=0)
    ends(redis, timeout=30)
    running.wait_for_log("the rest is left out")
    assert running.is_alive()


def request(redis, **fields):
    body = base64.b64encode(json.dumps(fields).encode()).decode()
    redis.client.publish("/0.celery.pidbox", json.dumps({
        "body": body, "headers": {"clock": 1}, "properties": {"body_encoding": "base64"}}))


def test_a_pattern_costs_nothing(redis, serve):
    serve()
    for pattern in ("(" * 60 + "a" + ")+" * 60, "((((((a{1,200}){1,200}){1,200}){1,200}){1,200}){1,200})",
                    "(.*)(.*)(.*)(.*)(.*)\\1\\2\\3\\4\\5x"):
        request(redis, method="ping", pattern=pattern, matcher="pcre")
    push(redis, {})
    ends(redis)


def test_chords_whose_size_never_comes_do_not_hold_up_others(redis, serve):
    serve()
    for number in range(300):
        push(redis, {"chord": task(f"never-{number}")}, task_id=f"i-{number}", group=f"g-{number}",
             group_index=0)
    push(redis, {"chord": task("body")}, task_id="part", group="late", group_index=0)
    until(lambda: redis.client.hlen("headgate:{analysis}:chords") == 301, 30, "all parts")
    redis.client.set("celery-taskset-meta-late.s", 1)
    ends(redis, "body", timeout=20)
