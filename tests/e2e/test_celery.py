"""Celery's clients, with Headgate instead of their workers."""

import base64
import json
import re
import time

from celery_clients import MODULE, SEP, each_version, meta, newest
from services import PRIMARY
from support import ROOT, until

ANALYZE = 'analyze_section_task.delay("Timeline", "what happened", doc_type="rca", session_id="s1")'


def is_settled(redis):
    return not redis.client.exists("unacked", "unacked_index", "analysis", "chat")


@each_version()
def test_a_task_gets_what_its_python_worker_returned(version, redis, celery, serve):
    serve()
    shown = celery(version).run(f"""
r = {ANALYZE}
show(r.get(timeout=TIMEOUT)); show(r.state); show(r.children); show(r.date_done.timestamp())
show(process_chat_task.delay("why?", {{"section": "Timeline"}}).get(timeout=TIMEOUT))
""")
    analyzed, state, children, done, chat = shown[0], *shown[1:]
    assert set(analyzed) == {"success", "feedback_items", "section", "duration", "model_used",
                             "tokens", "feedback_count"}
    assert analyzed["success"] is True and analyzed["section"] == "Timeline"
    assert len(analyzed["feedback_items"]) == analyzed["feedback_count"] > 0
    assert set(chat) == {"success", "response", "duration", "model_used", "tokens"}
    assert (state, children) == ("SUCCESS", [])
    assert abs(done - time.time()) < 3600
    assert is_settled(redis)


@each_version()
def test_whoever_waits_hears_of_progress(version, sim, celery, serve):
    serve()
    sim.script({"do": "delay", "ms": 700})
    heard, state = celery(version).run(f"""
heard = []
r = {ANALYZE}
r.get(timeout=TIMEOUT, on_message=lambda m: heard.append([m["status"], m["result"]]))
show([h for h in heard if h[0] == "PROGRESS"]); show(r.state)
""")
    assert heard == [["PROGRESS", {"status": "Analyzing section...", "section": "Timeline",
                                   "progress": 10}]]
    assert state == "SUCCESS"


@each_version()
def test_a_group_comes_back_in_order(version, celery, serve):
    serve()
    (sections,) = celery(version).run("""
g = group(analyze_section_task.s("S%d" % i, "text") for i in range(5))()
show([value["section"] for value in g.get(timeout=TIMEOUT)])
""")
    assert sections == ["S0", "S1", "S2", "S3", "S4"]


@each_version()
def test_failures_are_exceptions_of_their_kind(version, redis, sim, celery, serve):
    serve()
    sim.script({"do": "status", "status": 400, "code": "ValidationException", "message": "no",
                "times": 3})
    shown = celery(version).run(f"""
show(outcome({ANALYZE}))
show(outcome(app.send_task(MODULE + "analyze_section_task", ["only a section"])))
show(outcome(app.send_task(MODULE + "no_such_task", [1])))
show(outcome(analyze_section_task.apply_async(("S", "text"), serializer="pickle")))
r = app.send_task(MODULE + "no_such_task"); outcome(r); show(r.state); show(r.traceback)
""")
    assert shown[0][0] == "builtins.ValueError" and "no" in shown[0][1]
    assert shown[1] == ["builtins.TypeError", "analyze_section_task() missing 1 required "
                        "positional argument: 'content'"]
    assert shown[2] == ["celery.exceptions.NotRegistered", repr(MODULE + "no_such_task")] or \
        MODULE + "no_such_task" in shown[2][1]
    assert shown[3][0] == "kombu.exceptions.ContentDisallowed"
    assert shown[4] == "FAILURE" and "NotRegistered" in shown[5]
    assert is_settled(redis)


@each_version()
def test_options_of_a_call_are_kept(version, redis, sim, celery, serve):
    serve()
    shown = celery(version).run("""
now = time.time()
expired = analyze_section_task.apply_async(("S", "t"), countdown=2, expires=1)
late = analyze_section_task.apply_async(("S", "t"), countdown=1)
ignored = analyze_section_task.apply_async(("S", "mark-ignored"), ignore_result=True)
show(outcome(analyze_section_task.apply_async(("S", "t"), compression="gzip"))[0])
late.get(timeout=TIMEOUT); show(time.time() - now); show(late.date_done.timestamp() - now)
show(outcome(expired)); show(expired.state); show(ignored.id)
app.conf.task_protocol = 1
show(outcome(analyze_section_task.apply_async(("S", "t")))[0])
""")
    assert shown[0] == "ok"
    assert shown[1] >= 1
    assert shown[3] == ["celery.exceptions.TaskRevokedError", "expired"]
    assert shown[4] == "REVOKED"
    until(lambda: sim.calls("mark-ignored"), what="the call of the ignored task")
    assert meta(redis, shown[5]) is None
    assert shown[6] == "ok"
    until(lambda: is_settled(redis), what="the acknowledgements")


@newest()
def test_the_most_urgent_priority_comes_first(redis, sim, celery, serve):
    celery().run("""
for priority in (9, 6, 3, 0):
    analyze_section_task.apply_async(("S", "mark-p%d" % priority), priority=priority)
""")
    assert redis.client.llen("analysis" + SEP + "9") == 1
    serve(HEADGATE_CONCURRENCY=1)
    sim.wait_calls(4)
    until(lambda: len(sim.calls()) == 4, what="four calls")
    assert [call["marker"] for call in sim.calls()] == ["mark-p0", "mark-p3", "mark-p6", "mark-p9"]


@newest()
def test_a_worker_that_waits_sees_every_priority(celery, serve):
    serve()
    (states,) = celery().run("""
show([outcome(analyze_section_task.apply_async(("S", "t"), priority=p))[0] for p in (0, 4, 8, 255)])
""")
    assert states == ["ok"] * 4


@newest()
def test_prefixes_and_a_database_for_results(redis, celery, serve):
    results = redis.url.replace("/0", "/5")
    serve(HEADGATE_CELERY_KEYPREFIX="app1", HEADGATE_CELERY_RESULT_KEYPREFIX="app1",
          HEADGATE_CELERY_RESULT_BACKEND=results)
    client = celery(KEYPREFIX="app1", REDIS_RESULT_URL=results)
    state, task_id = client.run(f"r = {ANALYZE}\nshow(outcome(r)[0]); show(r.id)")
    assert state == "ok"
    assert redis.on_database(5, None).exists(f"app1_celery-task-meta-{task_id}")
    assert redis.client.smembers("app1_kombu.binding.analysis")
    assert not redis.client.exists(f"app1_celery-task-meta-{task_id}", "app1unacked")


@newest()
def test_results_stay_as_long_as_they_should(redis, celery, serve):
    serve(HEADGATE_RESULT_TTL=50)
    (task_id,) = celery().run(f"r = {ANALYZE}\nr.get(timeout=TIMEOUT); show(r.id)")
    assert 0 < redis.client.ttl(f"celery-task-meta-{task_id}") <= 50


def envelope(body, task=MODULE + "analyze_section_task", task_id="i-1", **others):
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"task": task, "id": task_id, **others}
    return {
        "body": base64.b64encode(text.encode()).decode(), "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {name: value for name, value in headers.items() if value is not None},
        "properties": {"delivery_tag": "tag-" + str(task_id), "body_encoding": "base64", "priority": 0,
                       "delivery_info": {"exchange": "", "routing_key": "analysis"}},
    }


def without(message, *names):
    return {name: value for name, value in message.items() if name not in names}


GOOD = [["S", "text"], {}, {}]
BAD = {
    "no JSON": b"not json", "an empty element": b"", "an empty list": b"[]", "null": b"null",
    "an empty object": b"{}", "no headers": without(envelope(GOOD), "headers"),
    "no properties": without(envelope(GOOD), "properties"),
    "empty headers": {**envelope(GOOD), "headers": {}},
    "no id": envelope(GOOD, task_id=None), "no task": envelope(GOOD, task=None),
    "a pair": envelope([[], {}]), "an object": envelope({"a": 1}), "an empty body": envelope(""),
    "no base64": {**envelope(GOOD), "body": "!!!"}, "kwargs a list": envelope([[], [], {}]),
    "no content type": without(envelope(GOOD), "content-type"),
    "an id of another type": envelope(GOOD, task_id=5),
    "a date that is none": envelope(GOOD, eta="tomorrow"),
    "an expiry that is none": envelope(GOOD, expires="never"),
    "an unknown compression": envelope(GOOD, compression="application/x-own"),
    "no zlib stream": envelope(GOOD, compression="application/x-gzip"),
    "a body that is too deep": envelope("[" * 5000 + "]" * 5000),
    "half a surrogate and a NUL": envelope('[["\\ud800\\u0000"],{},{}]'),
}


def test_what_ends_a_real_worker_is_a_dead_letter_here(redis, serve):
    running = serve()
    for name, bad in BAD.items():
        raw = bad if isinstance(bad, bytes) else json.dumps(bad).encode()
        redis.client.lpush("analysis", raw)
        letter = until(lambda: redis.dead_letter(raw, "analysis"), what=f"the dead letter of {name}")
        assert letter["kind"] == "bad_job", name
        if isinstance(bad, dict) and bad.get("headers", {}).get("id") == "i-1":
            failed = meta(redis, "i-1")
            assert failed["status"] == "FAILURE" and failed["result"]["exc_type"], name
            redis.client.delete("celery-task-meta-i-1")
    assert running.is_alive()
    redis.client.lpush("analysis", json.dumps(envelope(GOOD)))
    assert until(lambda: meta(redis, "i-1"), what="the result")["status"] in ("PROGRESS", "SUCCESS")
    until(lambda: is_settled(redis), what="the acknowledgements")


def test_operators_see_and_serve_the_lists_of_celery(redis, serve, cli):
    settings = {"USE_CELERY": "true", "HEADGATE_CELERY_KEYPREFIX": "app1"}
    unknown = json.dumps(envelope(GOOD, task="no.such.task", task_id="i-9"))
    running = serve(HEADGATE_CELERY_KEYPREFIX="app1")
    redis.client.lpush("app1analysis", unknown)
    until(lambda: redis.dead("analysis"), what="a dead letter")
    running.term()
    running.wait()
    (letter,) = cli("dead", "list", "--queue", "analysis", "--json", **settings).json_lines()
    assert letter["id"] == "i-9"
    assert cli("dead", "retry", "i-9", "--queue", "analysis", **settings).code == 0
    assert redis.client.lrange("app1analysis", 0, -1) == [unknown.encode()]
    redis.client.lpush("app1analysis" + SEP + "6", unknown)
    stats = cli("stats", "--json", **settings).json()
    assert [queue["waiting"] for queue in stats["queues"]] == [2, 0]
    refused = cli("enqueue", "--field", "content=x", **settings)
    assert refused.code == 2 and "Celery" in refused.err


def test_the_documented_rights_are_enough(servers, sim, tmp_path):
    text = (ROOT / "docs/celery.md").read_text()
    (line,) = re.findall(r"^user headgate-celery .*$", text, re.M)
    users = tmp_path / "users.acl"
    users.write_text(f"user default on nopass ~* &* +@all\n{line}\n")
    redis = servers.redis(aof=True, arguments=("--aclfile", str(users)))
    url = f"redis://headgate-celery:CELERY-PASSWORD@127.0.0.1:{redis.port}/0"
    servers.worker(url, sim.url, USE_CELERY="true", HEADGATE_CELERY_VISIBILITY_TIMEOUT=1)
    sim.script({"do": "delay", "ms": 1500})
    link = {"task": MODULE + "process_chat_task", "args": ["q?"], "kwargs": {}, "immutable": True,
            "subtask_type": None, "options": {"task_id": "i-2", "queue": "chat"}}
    redis.client.lpush("analysis", json.dumps(envelope([["S", "t"], {}, {"chain": [link]}])))
    redis.client.lpush("analysis" + SEP + "3", json.dumps(envelope(GOOD, task="none", task_id="i-3")))
    for task_id, status in (("i-1", "SUCCESS"), ("i-2", "SUCCESS"), ("i-3", "FAILURE")):
        until(lambda: (meta(redis, task_id) or {}).get("status") == status, what=f"{status} of {task_id}")
    until(lambda: is_settled(redis), what="the acknowledgements")
    assert not [(entry["username"], entry["object"]) for entry in redis.client.acl_log()]


def test_numbers_that_python_writes_and_json_lacks_are_taken(redis, serve):
    serve()
    body = '[["S","text"],{"score":NaN,"big":123456789012345678901234567890},{"chain":null}]'
    redis.client.lpush("analysis", json.dumps(envelope(body)))
    until(lambda: (meta(redis, "i-1") or {}).get("status") == "SUCCESS", what="the result")


@newest()
def test_a_task_that_is_retried_says_so(redis, sim, celery, serve):
    serve(HEADGATE_MODELS=None, BEDROCK_FALLBACK_MODELS=None, HEADGATE_RETRY_BASE_MS=300)
    sim.script({"do": "status", "status": 500, "code": "InternalServerException", "message": "x"},
               model=PRIMARY)
    (heard,) = celery().run(f"""
heard = []
{ANALYZE}.get(timeout=TIMEOUT, on_message=lambda m: heard.append(m["status"]))
show(heard)
""")
    assert heard == ["PROGRESS", "RETRY", "PROGRESS", "SUCCESS"]


@newest()
def test_a_success_is_not_computed_again(redis, sim, celery, serve):
    serve()
    (task_id,) = celery().run(f"r = {ANALYZE}\nr.get(timeout=TIMEOUT); show(r.id)")
    redis.client.lpush("analysis", json.dumps(envelope(GOOD, task_id=task_id)))
    until(lambda: is_settled(redis), what="the acknowledgement")
    assert sim.stats()["calls"] == 1


def test_celery_on_a_cluster_is_refused(lonely):
    for settings, words in (
        ({"REDIS_URL": "redis+cluster://127.0.0.1:9"}, "no support for Redis Cluster"),
        ({"HEADGATE_DELIVERY": "at-most-once"}, "at-least-once"),
        ({"HEADGATE_CELERY_RESULT_BACKEND": "redis://127.0.0.2:9/1"}, "the server of REDIS_URL"),
        ({"HEADGATE_CELERY_TASKS": "a=b"}, "must name a job type"),
    ):
        done = lonely("worker", USE_CELERY="true", **settings)
        assert done.code == 2 and words in done.err, done.err
