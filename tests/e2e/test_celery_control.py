"""Remote control and events: `celery inspect` and `control`, revoke, and what Flower reads."""

import subprocess

from celery_clients import MODULE, each_version, newest
from support import PATIENCE, stays, until

ANALYZE = 'analyze_section_task.delay("S", "text")'
ASK = "i = app.control.inspect(timeout=%r, limit=1)\n" % (2 * PATIENCE)


@each_version()
def test_inspect_is_answered(version, sim, celery, serve):
    ours = serve()
    sim.script({"do": "hang"})
    shown = celery(version).run(ASK + f"""
r = {ANALYZE}
while r.state != "PROGRESS": time.sleep(0.01)
for name in ("ping", "active", "reserved", "scheduled", "registered", "revoked", "stats",
             "active_queues", "conf", "report", "clock"):
    show(getattr(i, name)())
show(i.query_task(r.id)); show(r.id)
show(app.control.broadcast("no_such", reply=True, timeout=4, limit=1))
show(app.control.broadcast("rate_limit", {{"task_name": "x", "rate_limit": 1}}, reply=True, timeout=4, limit=1))
show(app.control.ping(destination=["other@host"], timeout=0.5))
show(app.control.ping(pattern="headgate-*", matcher="glob", timeout=4, limit=1))
""", timeout=90)
    ((name, pong),) = shown[0].items()
    assert name.startswith(f"headgate-{ours.pid}@") and pong == {"ok": "pong"}
    (active,) = shown[1][name]
    assert (active["id"], active["name"]) == (shown[12], MODULE + "analyze_section_task")
    assert active["time_start"] > 0 and active["delivery_info"]["routing_key"] == "analysis"
    assert shown[2] == {name: []}
    assert set(shown[4][name]) == {MODULE + "analyze_section_task", MODULE + "process_chat_task"}
    stats = shown[6][name]
    assert stats["total"] == {MODULE + "analyze_section_task": 1} and stats["pid"] == ours.pid
    assert stats["broker"]["transport"] == "redis" and stats["pool"]["max-concurrency"] == 1000
    assert [queue["name"] for queue in shown[7][name]] == ["analysis", "chat"]
    assert shown[8][name]["accept_content"] == ["json"]
    assert shown[11][name][shown[12]][0] == "active"
    assert shown[13] == [{name: {"error": "KeyError('no_such')"}}]
    assert "not supported" in shown[14][0][name]["error"]
    assert shown[15] == [] and shown[16] == [{name: {"ok": "pong"}}]


@each_version()
def test_a_revoked_task_does_not_run(version, redis, sim, celery, serve):
    serve(HEADGATE_CONCURRENCY=1)
    sim.script({"do": "hang"})
    shown = celery(version).run(f"""
first = {ANALYZE}
while first.state != "PROGRESS": time.sleep(0.01)
waiting, later = {ANALYZE}, analyze_section_task.apply_async(("S", "text"), countdown=60)
app.control.revoke([waiting.id, later.id, first.id], reply=True, timeout=4, limit=1)
show(outcome(waiting)); show(outcome(later)); show([waiting.state, later.state, first.state])
app.control.revoke(first.id, terminate=True)
show(outcome(first))
""")
    assert shown[:2] == [["celery.exceptions.TaskRevokedError", "revoked"]] * 2
    assert shown[2] == ["REVOKED", "REVOKED", "PROGRESS"], "what runs goes on"
    assert shown[3] == ["celery.exceptions.TaskRevokedError", "terminated"]
    until(lambda: not redis.client.exists("unacked", "unacked_index"), what="the acknowledgements")
    assert sim.stats()["calls"] == 1


@each_version()
def test_what_is_revoked_is_listed_and_told_to_workers_that_start(version, redis, celery, serve):
    serve()
    client = celery(version)
    task_id, listed = client.run(ASK + """
r = add.apply_async((1, 2), queue="python")
app.control.revoke(r.id)
while r.state != "REVOKED": time.sleep(0.01)
show(r.id); show(list(i.revoked().values())[0])
""")
    assert listed == [task_id]
    real = client.worker(queues="python")
    until(lambda: redis.client.llen("python") == 0, 20, "a message that was taken")
    real.wait_for_log(f"Discarding revoked task: {MODULE}add[{task_id}]")
    assert b"REVOKED" in redis.client.get(f"celery-task-meta-{task_id}")


@newest()
def test_what_waits_for_its_date_is_listed_once(celery, serve):
    names = {f"headgate-{worker.pid}@" for worker in (serve(), serve())}
    shown = celery().run("""
a = analyze_section_task.apply_async(("S", "text"), countdown=100, priority=4)
b = process_chat_task.apply_async(("q?",), countdown=50)
end = time.time() + TIMEOUT
def listed():
    return [entry for entries in (app.control.inspect(timeout=4, limit=2).scheduled() or {}).values()
            for entry in entries]
while len(listed()) < 2 and time.time() < end: pass
show(sorted([e["request"]["id"], e["priority"]] for e in listed()))
show(sorted([[a.id, 4], [b.id, 0]])); show([e["eta"] for e in listed()])
""", timeout=120)
    assert shown[0] == shown[1]
    assert all("T" in eta for eta in shown[2]) and len(names) == 2


@each_version()
def test_terminate_aborts_the_call(version, redis, sim, celery, serve):
    serve()
    sim.script({"do": "hang"})
    shown = celery(version).run(f"""
r = {ANALYZE}
while r.state != "PROGRESS": time.sleep(0.01)
show(app.control.revoke(r.id, terminate=True, reply=True, timeout=4, limit=1)); show(outcome(r))
""")
    assert list(shown[0][0].values())[0]["ok"].startswith("terminate: ")
    assert shown[1] == ["celery.exceptions.TaskRevokedError", "terminated"]
    sim.wait_open(0)
    until(lambda: not redis.client.exists("unacked"), what="the acknowledgement")


WATCH = """
import threading
seen, state = [], app.events.State()
def hear(event):
    seen.append(event); state.event(event)
def watch():
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": hear})
        receiver.capture(limit=None, timeout=None, wakeup=True)
threading.Thread(target=watch, daemon=True).start()
def kinds(uuid): return [e["type"] for e in seen if e.get("uuid") == uuid]
def wait(fact):
    end = time.time() + TIMEOUT
    while not fact() and time.time() < end: time.sleep(0.02)
    assert fact(), seen
wait(lambda: any(e["type"] == "worker-heartbeat" for e in seen))
app.control.enable_events(reply=True, timeout=4, limit=1)
"""


@each_version()
def test_events_tell_of_workers_and_tasks(version, sim, celery, serve):
    ours = serve()
    shown = celery(version).run(WATCH + f"""
r = {ANALYZE}
r.get(timeout=TIMEOUT); wait(lambda: "task-succeeded" in kinds(r.id))
bad = app.send_task(MODULE + "no_such_task"); outcome(bad)
wait(lambda: "task-failed" in kinds(bad.id))
old = analyze_section_task.apply_async(("S", "t"), countdown=0.6, expires=0.3); outcome(old)
wait(lambda: "task-revoked" in kinds(old.id))
show(kinds(r.id)); show(kinds(bad.id)); show(kinds(old.id)[-1])
show([(w.hostname, w.alive, w.sw_ident) for w in state.workers.values()])
task = state.tasks[r.id]
show([task.name, task.state, task.runtime, task.result, task.args])
show(state.tasks[bad.id].exception)
""", timeout=90)
    assert shown[0] == ["task-received", "task-started", "task-succeeded"]
    assert shown[1] == ["task-received", "task-failed"]
    assert shown[2] == "task-revoked"
    ((name, alive, software),) = shown[3]
    assert name.startswith(f"headgate-{ours.pid}@") and alive and software == "headgate"
    assert shown[4][:2] == [MODULE + "analyze_section_task", "SUCCESS"]
    assert shown[4][2] >= 0 and "feedback_items" in shown[4][3] and "'text'" in shown[4][4]
    assert "NotRegistered" in shown[5]


@newest()
def test_a_worker_says_that_it_goes(celery, serve):
    serve()
    (last,) = celery().run(WATCH + """
app.control.shutdown()
wait(lambda: any(e["type"] == "worker-offline" for e in seen)); show(seen[-1]["type"])
""", timeout=90)
    assert last == "worker-offline"


@newest()
def test_a_queue_can_be_let_go_and_taken_up(redis, celery, serve):
    serve()
    shown = celery().run(f"""
show(app.control.cancel_consumer("analysis", reply=True, timeout=4, limit=1))
r = {ANALYZE}
time.sleep(1); show(r.state)
show([list(q) for q in app.control.inspect(timeout=4, limit=1).active_queues().values()][0].__len__())
app.control.add_consumer("analysis", reply=True, timeout=4, limit=1)
show(outcome(r)[0])
show(app.control.add_consumer("other", reply=True, timeout=4, limit=1))
""")
    assert list(shown[0][0].values()) == [{"ok": "no longer consuming from analysis"}]
    assert shown[1:4] == ["PENDING", 1, "ok"]
    assert "error" in list(shown[4][0].values())[0]


@newest()
def test_the_command_line_of_celery_sees_us(celery, serve):
    serve()
    client = celery()
    done = subprocess.run(
        [client.python, "-m", "celery", "-A", "app", "status", "--timeout", "2"],
        env=client.env, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert done.returncode == 0 and "headgate-" in done.stdout and "OK" in done.stdout, done
    done = subprocess.run(
        [client.python, "-m", "celery", "-A", "app", "inspect", "stats", "--timeout", "2"],
        env=client.env, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert "max-concurrency" in done.stdout, done


@newest()
def test_a_real_worker_that_starts_is_greeted(redis, celery, serve):
    ours = serve(HEADGATE_LOG_LEVEL="debug")
    celery().worker(queues="python")
    ours.wait_for_log("method=hello")


def test_a_request_that_is_none_is_nothing(redis, serve):
    ours = serve()
    for bad in (b"", b"{}", b"[]", b"no", b'{"body":"!!"}', b'{"body":"W10="}', b"\xff" * 100,
                b'{"body":"eyJtZXRob2QiOjV9"}', b"[" * 100000):
        redis.client.publish("/0.celery.pidbox", bad)
    stays(ours.is_alive, 0.3, "the worker")
    assert ours.is_ready()
