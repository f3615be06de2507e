"""Chains, groups, chords and links of real clients, with Headgate as the worker that continues them.
Tasks that only Python can run (add, collect) are served by a real worker on a queue of its own."""

import json

from celery_clients import each_version, meta, newest
from support import until


@each_version()
def test_a_chain_is_continued_to_its_end(version, redis, celery, serve):
    serve()
    shown = celery(version).run("""
r = chain(analyze_section_task.s("first", "text"), analyze_section_task.si("second", "text"),
          process_chat_task.si("third?").set(queue="chat"))()
last = r.get(timeout=TIMEOUT)
show(last["success"]); show([r.parent.get()["section"], r.parent.parent.get()["section"]])
show(r.id); show(r.parent.id); show(r.parent.parent.id)
show([c.id for c in r.parent.parent.children])
""")
    assert shown[:2] == [True, ["second", "first"]]
    last, second, first = shown[2:5]
    assert shown[5] == [second]
    assert meta(redis, second)["parent_id"] == first
    assert meta(redis, last)["parent_id"] == second
    assert not redis.client.exists("unacked", "unacked_index", "analysis", "chat")


@each_version()
def test_a_result_goes_on_to_the_next_link_as_it_is(version, celery, serve):
    serve()
    client = celery(version)
    client.worker(queues="python")
    (whole,) = client.run("""
r = chain(analyze_section_task.s("S", "text"), collect.s(7).set(queue="python"))()
show([r.get(timeout=TIMEOUT) == r.parent.get(), r.get()["section"]])
""")
    assert whole == [True, "S"]


@each_version()
def test_a_chain_ends_where_a_link_fails(version, redis, sim, celery, serve):
    serve()
    sim.script({"do": "status", "status": 400, "code": "ValidationException", "message": "no",
                "times": 3})
    shown = celery(version).run("""
r = chain(analyze_section_task.s("S", "text"), process_chat_task.si("a?"), process_chat_task.si("b?"))()
show(outcome(r)[0]); show(r.state); show(r.parent.state)
""")
    assert shown == ["builtins.ValueError", "FAILURE", "FAILURE"]
    assert sim.stats()["calls"] == 3
    assert not redis.client.exists("unacked", "analysis", "chat")


@each_version()
def test_callbacks_are_sent_and_named_as_children(version, celery, serve):
    serve()
    client = celery(version)
    client.worker(queues="python")
    shown = client.run("""
one = analyze_section_task.apply_async(("S", "t"), link=collect.s().set(queue="python"))
one.get(timeout=TIMEOUT); show([c.get(timeout=TIMEOUT)["section"] for c in one.children])
two = analyze_section_task.apply_async(("S", "t"), link=[
    collect.s(1).set(queue="python"), collect.s(2).set(queue="python")])
two.get(timeout=TIMEOUT); show([v["section"] for v in two.children[0].get(timeout=TIMEOUT)])
""")
    assert shown == [["S"], ["S", "S"]]


@each_version()
def test_an_errback_gets_the_id_of_what_failed(version, celery, serve):
    serve()
    client = celery(version)
    client.worker(queues="python")
    failed, heard = client.run("""
r = app.send_task(MODULE + "no_such_task", link_error=on_error.s().set(queue="python", task_id="eb-1"))
outcome(r); show(r.id); show(app.AsyncResult("eb-1").get(timeout=TIMEOUT))
""")
    assert heard == "errback of " + failed


@each_version()
def test_a_chord_runs_its_body_with_all_results(version, redis, celery, serve):
    serve()
    client = celery(version)
    client.worker(queues="python")
    shown = client.run("""
r = chord([analyze_section_task.s("S%d" % i, "text") for i in range(4)],
          collect.s().set(queue="python"))
r = r.apply_async()
show([v["section"] for v in r.get(timeout=TIMEOUT)]); show(r.parent.id)
""")
    assert shown[0] == ["S0", "S1", "S2", "S3"]
    until(lambda: not redis.client.exists(f"celery-taskset-meta-{shown[1]}.j"), what="an end")


@each_version()
def test_a_chord_of_both_kinds_of_workers_is_counted_by_both(version, celery, serve):
    serve()
    client = celery(version)
    client.worker(queues="python")
    (values,) = client.run("""
r = chord([analyze_section_task.s("S", "text"), add.s(1, 2).set(queue="python"),
           analyze_section_task.s("T", "text")], collect.s().set(queue="python")).apply_async()
show([v["section"] if isinstance(v, dict) else v for v in r.get(timeout=TIMEOUT)])
""")
    assert values == ["S", 3, "T"]


@each_version()
def test_the_body_of_a_chord_fails_with_a_part(version, celery, serve):
    serve()
    shown = celery(version).run("""
r = chord([analyze_section_task.s("S", "text"), app.signature(MODULE + "no_such_task")],
          process_chat_task.si("body?")).apply_async()
show(outcome(r)[0])
while not r.ready(): time.sleep(0.02)
show(r.state); show(r.result.args[0])
""")
    assert shown[1] == "FAILURE"
    assert "Dependency" in shown[2] and "NotRegistered" in shown[2]


@newest()
def test_canvases_within_canvases_come_to_their_end(celery, serve):
    serve()
    client = celery()
    client.worker(queues="python")
    shown = client.run("""
py = dict(queue="python")
S = lambda name: analyze_section_task.si(name, "text")
names = lambda values: [v["section"] if isinstance(v, dict) else v for v in values]
r = chain(S("a"), group(S("b"), S("c")), collect.s().set(**py))()
show(names(r.get(timeout=TIMEOUT)))
r = chain(S("a"), chord([chain(S("x"), S("y")), S("z")], collect.s().set(**py)))()
show(names(r.get(timeout=TIMEOUT)))
r = chain(S("a"), group(S("b"), S("c")))()
show(names(r.get(timeout=TIMEOUT)))
r = chain(S("a"), chord([S("b"), S("c")], collect.s().set(**py)), collect.s(1).set(**py))()
show(names(r.get(timeout=TIMEOUT)))
""")
    assert shown == [["b", "c"], ["y", "z"], ["b", "c"], ["b", "c"]]


@newest()
def test_a_part_that_ends_before_its_chord_has_a_size_is_counted_later(redis, celery, serve):
    serve()
    client = celery()
    client.worker(queues="python")
    body, group = client.run("""
import celery.backends.redis as backend
real = backend.RedisBackend.set_chord_size
backend.RedisBackend.set_chord_size = lambda *a, **k: None
r = chord([analyze_section_task.s("S", "text")] * 2, collect.s().set(queue="python")).apply_async()
r.parent.get(timeout=TIMEOUT, disable_sync_subtasks=False)
show(r.id); show(r.parent.id)
""")
    assert redis.client.hlen("headgate:{analysis}:chords") == 1
    redis.client.set(f"celery-taskset-meta-{group}.s", 2)
    until(lambda: (meta(redis, body) or {}).get("status") == "SUCCESS", 20, "the body's result")
    assert redis.client.hlen("headgate:{analysis}:chords") == 0
    assert [v["section"] for v in json.loads(json.dumps(meta(redis, body)["result"]))] == ["S", "S"]
