"""Celery over Redis Sentinel: real clients and a worker of ours that ask the same sentinels."""

import pytest

from celery_clients import Celery, each_version, newest
from redis_sentinel import MASTER, Watched, is_idle
from support import until
from test_celery_control import WATCH

ANALYZE = 'analyze_section_task.delay("S", "text")'


@pytest.fixture
def watched(servers):
    return Watched(servers)


@pytest.fixture
def serve(watched, servers, sim):
    def start(db=0, **settings):
        url = watched.url().removesuffix("/0") + f"/{db}"
        return servers.worker(url, sim.url, USE_CELERY="true", **settings)

    return start


@pytest.fixture
def celery(watched, tmp_path):
    """Producers, and real workers, that know the sentinels and no more."""
    made = []

    def make(version="5.7.0", db=0, **settings):
        url = ";".join(f"sentinel://127.0.0.1:{sentinel.port}/{db}" for sentinel in watched.sentinels)
        made.append(Celery(version, url, tmp_path, MASTER_NAME=MASTER, **settings))
        return made[-1]

    yield make
    for client in made:
        client.end()


def status(node, task_id):
    text = node.client.get(f"celery-task-meta-{task_id}") or b""
    return next((word for word in ("SUCCESS", "FAILURE", "PROGRESS") if f'"{word}"'.encode() in text), None)


def in_state(node, ids, state="SUCCESS"):
    return [task_id for task_id in ids if status(node, task_id) == state]


@each_version()
def test_a_task_is_answered_through_the_sentinels(version, sim, celery, serve):
    serve()
    sim.script({"do": "delay", "ms": 700})
    heard, section, state = celery(version).run(f"""
heard = []
r = {ANALYZE}
value = r.get(timeout=TIMEOUT, on_message=lambda m: heard.append(m["status"]))
show(heard); show(value["section"]); show(r.state)
""")
    assert (section, state) == ("S", "SUCCESS")
    assert heard == ["PROGRESS", "SUCCESS"]


@each_version()
def test_a_revoke_and_a_ping_arrive_through_the_sentinels(version, sim, celery, serve):
    serve(HEADGATE_CONCURRENCY=1)
    sim.script({"do": "hang"})
    shown = celery(version).run(f"""
show([list(answer.values())[0] for answer in app.control.ping(timeout=3)])
first = {ANALYZE}
while first.state != "PROGRESS": time.sleep(0.01)
waiting = {ANALYZE}
app.control.revoke(waiting.id); show(outcome(waiting))
app.control.revoke(first.id, terminate=True); show(outcome(first))
""")
    assert shown[0] == [{"ok": "pong"}]
    assert shown[1] == ["celery.exceptions.TaskRevokedError", "revoked"]
    assert shown[2] == ["celery.exceptions.TaskRevokedError", "terminated"]
    assert sim.stats()["calls"] == 1


@each_version()
def test_events_are_heard_through_the_sentinels(version, celery, serve):
    serve()
    (heard,) = celery(version).run(WATCH + f"""
r = {ANALYZE}
r.get(timeout=TIMEOUT); wait(lambda: "task-succeeded" in kinds(r.id)); show(kinds(r.id))
""", timeout=90)
    assert heard == ["task-received", "task-started", "task-succeeded"]


@newest()
def test_who_asks_on_both_channels_of_sentinel_is_answered_once(celery, serve):
    serve()
    (pongs,) = celery().run("""
app.conf.broker_transport_options["sentinel_fanout_compat"] = True
show(len(app.control.broadcast("ping", reply=True, timeout=3)))
""")
    assert pongs == 1


@newest()
def test_a_database_and_a_prefix_hold_behind_sentinels_too(watched, celery, serve):
    serve(db=3, HEADGATE_CELERY_KEYPREFIX="app1", HEADGATE_CELERY_RESULT_KEYPREFIX="app1")
    state, task_id, pongs = celery(db=3, KEYPREFIX="app1").run(f"""
r = {ANALYZE}
show(outcome(r)[0]); show(r.id); show(len(app.control.ping(timeout=3)))
""")
    assert (state, pongs) == ("ok", 1)
    assert watched.primary.on_database(3, None).exists(f"app1_celery-task-meta-{task_id}")


@newest()
def test_a_chain_and_a_chord_go_on_through_the_sentinels(celery, serve):
    serve()
    client = celery()
    client.worker(queues="python")
    shown = client.run("""
r = chain(analyze_section_task.s("S", "text"), collect.s().set(queue="python"))()
show(r.get(timeout=TIMEOUT)["section"])
r = chord([analyze_section_task.s("S%d" % i, "text") for i in range(3)],
          collect.s().set(queue="python")).apply_async()
show([value["section"] for value in r.get(timeout=TIMEOUT)])
""")
    assert shown == ["S", ["S0", "S1", "S2"]]


@newest()
def test_tasks_sent_before_and_after_a_failover_are_answered(watched, sim, celery, serve):
    ours = serve(HEADGATE_CONCURRENCY=5)
    sim.config(default={"latency_ms": 500})
    client = celery()
    (before,) = client.run("show([analyze_section_task.delay('S%d' % i, 't').id for i in range(60)])")
    until(lambda: in_state(watched.primary, before), what="a beginning")
    until(lambda: is_idle(watched.primary), what="replicas that have everything")
    assert in_state(watched.primary, before) != before, "all is done before the failover"
    primary = watched.fail_over()
    (after,) = client.run("show([analyze_section_task.delay('S%d' % i, 't').id for i in range(20)])")
    until(lambda: in_state(primary, before + after) == before + after, 40, "every result")
    until(lambda: not primary.client.exists("unacked", "unacked_index", "analysis"), what="the acks")
    until(ours.is_ready, 15, "readiness")
    shown = client.run(f"show(app.AsyncResult({before[0]!r}).get(timeout=TIMEOUT)['section'])"
                       "\nshow(len(app.control.ping(timeout=3)))")
    assert shown == ["S0", 1]


@newest()
def test_a_client_that_waits_through_a_failover_gets_its_answer(watched, sim, celery, serve):
    serve()
    sim.script({"do": "delay", "ms": 2500})
    client = celery()
    (task_id,) = client.run(f"show({ANALYZE}.id)")
    sim.wait_open(1)
    until(lambda: is_idle(watched.primary), what="replicas that have everything")
    watched.fail_over()
    (state,) = client.run(f"show(outcome(app.AsyncResult({task_id!r}))[0])")
    assert state == "ok"
    assert sim.stats()["calls"] == 1
