"""Section 6 of the contract: the HTTP port, its exact shapes, and who may use it."""

import json
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from control import (
    JSON_TYPE, assert_error, request, section, send_raw, status_line, status_of, wait_ready
)
from services import PRIMARY, SECOND, THIRD
from support import http_call, until

POST = ("POST /analyze_section HTTP/1.1", "Host: HOST", "Content-Type: application/json")
MODEL_FIELDS = {
    "id", "name", "priority", "status", "total_attempts", "successful_requests", "success_rate",
    "recent_throttles_60s", "cooldown_remaining", "pace",
}
QUEUE_FIELDS = {
    "name", "paused", "waiting", "in_flight", "delayed", "dead", "oldest_seconds", "workers",
    "waits_for", "waits_seconds",
}


# ---------------------------------------------------------------- jobs over HTTP


def test_analyze_section_queues_a_job_and_names_its_task(house):
    answer = house.worker.post("/analyze_section", section("posted", session_id="s-1"))
    assert answer.status == 202
    body = answer.json()
    task_id = body.pop("task_id")
    assert body == {"success": True, "status": "processing", "async": True}
    status = wait_ready(house.worker, task_id)
    assert (status["state"], status["successful"], status["error"]) == ("SUCCESS", True, None)
    assert status["result"]["success"] is True
    assert status["result"]["section"] == "Timeline"


def test_chat_queues_a_chat_job(house):
    answer = house.worker.post("/chat", {"query": "Why?", "context": {"a": 1}})
    assert answer.status == 202
    status = wait_ready(house.worker, answer.json()["task_id"])
    assert status["result"]["response"]


def test_a_posted_job_may_bring_its_id_and_any_job_field(house):
    body = section("own-id", id="own-id", max_tokens=55, metadata={"from": "http"})
    assert house.worker.post("/analyze_section", body).json()["task_id"] == "own-id"
    assert house.redis.wait_result("own-id")["metadata"] == {"from": "http"}
    assert house.sim.calls("mark-own-id")[0]["max_tokens"] == 55


def test_a_posted_job_may_name_its_queue(redis, worker):
    process = worker(HEADGATE_QUEUES="analyze,other")
    process.post("/analyze_section", section("elsewhere", id="elsewhere", queue="other"))
    assert redis.wait_result("elsewhere", queue="other")["queue"] == "other"


def test_jobs_are_pushed_to_the_first_configured_queue(redis, worker):
    process = worker(HEADGATE_QUEUES="front,back")
    process.post("/chat", {"id": "to-front", "query": "Why?", "context": {}})
    assert redis.wait_result("to-front", queue="front")["queue"] == "front"


def test_wait_blocks_for_the_result(house):
    answer = house.worker.post("/analyze_section?wait=10", section("waited", id="waited"))
    assert answer.status == 200
    assert answer.json()["result"]["section"] == "Timeline"
    assert house.redis.result("waited")["state"] == "succeeded"


def test_wait_ends_when_its_seconds_are_over(house):
    house.sim.script({"do": "delay", "ms": 1500}, model=PRIMARY)
    began = time.monotonic()
    answer = house.worker.post("/analyze_section?wait=0.3", section("impatient", id="impatient"))
    assert 0.25 < time.monotonic() - began < 1.4
    assert (answer.status, answer.json()["status"]) == (202, "processing")
    assert house.redis.wait_result("impatient")["state"] == "succeeded"


def test_a_client_that_leaves_while_waiting_harms_nobody(house):
    house.sim.script({"do": "delay", "ms": 500}, model=PRIMARY)
    body = json.dumps(section("left", id="left"))
    with socket.create_connection(("127.0.0.1", house.worker.port)) as connection:
        connection.sendall(request(
            "POST /analyze_section?wait=30 HTTP/1.1", f"Host: {house.worker.host}",
            POST[2], f"Content-Length: {len(body)}", body=body.encode(),
        ))
        house.sim.wait_open(1)
    assert house.redis.wait_result("left")["state"] == "succeeded"
    assert house.worker.get("/healthz").status == 200


def test_the_states_of_a_task(redis, sim, worker):
    process = worker(HEADGATE_CONCURRENCY=1)
    assert status_of(process, "unheard-of")["state"] == "PENDING"

    sim.script({"do": "hang"})
    process.post("/analyze_section", section("runs", id="runs"))
    sim.wait_open(1)
    process.post("/analyze_section", section("queued", id="queued"))
    running = until(
        lambda: (s := status_of(process, "runs"))["state"] == "PROGRESS" and s, what="PROGRESS"
    )
    assert (running["ready"], running["successful"], running["result"]) == (False, False, None)
    assert status_of(process, "queued")["state"] == "PENDING"

    process.post("/cancel_task/runs")
    revoked = wait_ready(process, "runs")
    assert (revoked["state"], revoked["successful"]) == ("REVOKED", False)
    assert wait_ready(process, "queued")["state"] == "SUCCESS"

    rejected = {"do": "status", "status": 400, "code": "ValidationException", "message": "no"}
    sim.script({**rejected, "times": 10})
    process.post("/analyze_section", section("fails", id="fails"))
    failed = wait_ready(process, "fails")
    assert (failed["state"], failed["ready"], failed["successful"]) == ("FAILURE", True, False)
    assert failed["error"]


def test_cancel_task_answers_with_task_and_state(redis, sim, worker):
    process = worker()
    sim.script({"do": "hang"})
    process.post("/analyze_section", section("cancelled", id="cancelled"))
    sim.wait_open(1)
    body = process.post("/cancel_task/cancelled").json()
    assert set(body) == {"success", "task_id", "state"}
    assert (body["success"], body["task_id"]) == (True, "cancelled")


def test_an_id_with_odd_characters_is_found_by_its_percent_encoded_path(house):
    house.redis.push({"id": "a/b ü?%", "content": "text"})
    house.redis.wait_result("a/b ü?%")
    status = status_of(house.worker, "a%2Fb%20%C3%BC%3F%25")
    assert (status["task_id"], status["state"]) == ("a/b ü?%", "SUCCESS")


# ---------------------------------------------------------------- figures


def test_model_stats_have_the_documented_shape(redis, sim, worker):
    process = worker()
    sim.script({"do": "throttle"}, model=PRIMARY)
    redis.push({"id": "for-stats", "content": "text"})
    redis.wait_result("for-stats")
    body = until(lambda: counted(process), what="the counters")

    assert set(body) == {"success", "version", "multi_model_enabled", "stats"}
    assert (body["success"], body["multi_model_enabled"]) == (True, True)
    assert body["version"] == "V2 (Per-Request Isolation)"
    stats = body["stats"]
    assert set(stats) == {"total_models", "active_cooldowns", "primary_share", "models"}
    assert (stats["total_models"], stats["active_cooldowns"]) == (3, 1)
    assert stats["primary_share"] == 0
    assert [m["id"] for m in stats["models"]] == [PRIMARY, SECOND, THIRD]
    assert all(set(m) == MODEL_FIELDS for m in stats["models"])
    primary, second, third = stats["models"]
    assert primary["name"] == "Claude 3.5 Sonnet"
    assert [m["priority"] for m in stats["models"]] == [1, 2, 3]
    assert (primary["status"], second["status"]) == ("in_cooldown", "available")
    assert 0 < primary["cooldown_remaining"] <= 10
    assert (primary["total_attempts"], primary["successful_requests"]) == (1, 0)
    assert (primary["success_rate"], primary["recent_throttles_60s"]) == (0, 1)
    assert (second["total_attempts"], second["successful_requests"]) == (1, 1)
    assert (second["success_rate"], second["cooldown_remaining"]) == (100, 0)
    assert third["total_attempts"] == 0


def counted(process):
    body = process.get("/model_stats").json()
    return body if body["stats"]["models"][1]["successful_requests"] else None


def test_model_stats_are_those_of_the_whole_cluster(redis, sim, worker):
    first, second = worker(), worker()
    first.stop()
    redis.push({"id": "by-second", "content": "text"})
    redis.wait_result("by-second")
    first.cont()
    until(
        lambda: first.get("/model_stats").json()["stats"]["models"][0]["total_attempts"] == 1,
        what="the call of the other worker",
    )
    assert second.is_alive()


def test_one_model_alone_is_no_multi_model(worker):
    process = worker(BEDROCK_FALLBACK_MODELS=None)
    body = process.get("/model_stats").json()
    assert (body["multi_model_enabled"], body["stats"]["total_models"]) == (False, 1)


def test_queue_stats_have_the_documented_shape(redis, sim, worker):
    process = worker(HEADGATE_QUEUES="analyze,bulk", HEADGATE_CONCURRENCY=1)
    sim.script({"do": "hang"})
    redis.push({"id": "later", "content": "text", "run_at": time.time() + 60})
    redis.push(b"bad")
    until(lambda: queue_stats(process)[0]["delayed"] == 1 and redis.dead(), what="both set aside")
    redis.push({"id": "open", "content": "text"})
    sim.wait_open(1)
    redis.push({"id": "old", "content": "text", "enqueued_at": time.time() - 100})
    redis.push({"id": "new", "content": "text"})
    analyze, bulk = queue_stats(process)
    assert set(analyze) == set(bulk) == QUEUE_FIELDS
    assert 99 < analyze.pop("oldest_seconds") < 120
    assert analyze == {
        "name": "analyze", "paused": False, "waiting": 2, "in_flight": 1, "delayed": 1, "dead": 1,
        "workers": 1, "waits_for": "slots", "waits_seconds": None,
    }
    assert bulk["oldest_seconds"] is None


def queue_stats(process):
    body = process.get("/queue_stats").json()
    assert body["success"] is True
    return body["queues"]


def test_ten_users_at_once_as_in_the_quick_reference(redis, sim, worker):
    """The loop of the first document: ten users, some throttled, most on the primary."""
    process = worker()
    # Refusals come after all ten are under way, as from a provider a network away.
    sim.config(models={PRIMARY: {"latency_ms": 100, "reject_latency_ms": 400}})
    sim.script({"do": "throttle", "times": 2}, model=PRIMARY)
    bodies = [{"section_name": f"Test {n}", "content": "Test"} for n in range(1, 11)]
    with ThreadPoolExecutor(10) as users:
        answers = list(users.map(lambda body: process.post("/analyze_section", body), bodies))
    tasks = [answer.json()["task_id"] for answer in answers]
    results = [wait_ready(process, task) for task in tasks]

    assert sum(r["successful"] for r in results) / len(results) > 0.95
    models = [redis.result(task)["model"] for task in tasks]
    assert models.count(PRIMARY) / len(models) > 0.70
    body = until(lambda: all_counted(process), what="the counters")
    primary = body["stats"]["models"][0]
    assert body["stats"]["primary_share"] > 70
    assert primary["recent_throttles_60s"] < 5
    length = float(redis.client.get(f"headgate:{{m:{PRIMARY}}}:cooldown"))
    assert 10 <= length <= 30
    assert primary["cooldown_remaining"] <= 30


def all_counted(process):
    body = process.get("/model_stats").json()
    succeeded = sum(m["successful_requests"] for m in body["stats"]["models"])
    return body if succeeded == 10 else None


def test_metrics_please_promtool(house):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed")
    house.sim.script({"do": "throttle"}, model=PRIMARY)
    house.redis.push({"id": 'odd"\\metric', "content": "text"})
    house.redis.wait_result('odd"\\metric')
    house.redis.push(b"bad metric")
    house.redis.wait_dead_letter(b"bad metric")
    answer = house.worker.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=answer.body, capture_output=True
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_metrics_count_jobs_and_calls(redis, sim, worker):
    process = worker()
    redis.push({"id": "counted", "content": "text"})
    redis.wait_result("counted")
    text = until(
        lambda: (t := process.get("/metrics").body.decode()) and "succeeded" in t and t,
        what="the finished job in the metrics",
    )
    assert re.search(r'^headgate_jobs_total\{.*state="succeeded".*\} 1$', text, re.MULTILINE)
    assert PRIMARY in text


def test_health_and_readiness_are_green_on_a_good_day(house):
    assert house.worker.get("/healthz").status == 200
    assert house.worker.get("/readyz").status == 200


def test_every_answer_closes_and_is_guarded(house):
    for path in ("/healthz", "/model_stats", "/nowhere", "/"):
        headers = house.worker.get(path).headers
        assert headers["connection"].lower() == "close"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/task_status/", 404),
        ("POST", "/cancel_task/", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/analyze_section", 405),
        ("POST", "/model_stats", 405),
        ("GET", "/reset_model_cooldowns", 405),
        ("DELETE", "/task_status/x", 405),
        ("PUT", "/chat", 405),
    ],
)
def test_unknown_routes_and_methods(house, method, path, status):
    assert_error(http_call(house.worker.port, method, path), status)


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", '{"section_name":"S"}', '{"content":7}', '{"content":"a","timeout":-1}',
     '{"content":"a"} x', '{"id":"a\\nb","content":"a"}', '{"content":"\udcff"}'],
    ids=ascii,
)
def test_a_body_that_is_no_job_is_refused_and_not_queued(house, body):
    data = body.encode(errors="surrogateescape")
    answer = house.worker.post("/analyze_section", data, headers=JSON_TYPE)
    assert_error(answer, 400)
    assert not house.redis.waiting()


@pytest.mark.parametrize("wait", ["-1", "soon", "61", "1e9"])
def test_a_wait_out_of_range_is_refused_or_cut(house, wait):
    began = time.monotonic()
    answer = house.worker.post(f"/analyze_section?wait={wait}", section("range"))
    assert answer.status in (200, 400)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded",
                                  "multipart/form-data; boundary=x"])
def test_only_json_bodies_are_taken(house, kind):
    headers = {"Content-Type": kind} if kind else {}
    answer = house.worker.post("/analyze_section", b'{"content":"a"}', headers=headers)
    assert_error(answer, 415)


def test_head_is_get_without_the_body(house):
    for path in ("/", "/healthz", "/model_stats", "/task_status/nobody"):
        get, head = (http_call(house.worker.port, method, path) for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (get.status, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert int(head.headers["content-length"]) > 0
    refused = http_call(house.worker.port, "HEAD", "/chat")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert http_call(house.worker.port, "PUT", "/").headers["allow"] == "GET, HEAD"


def test_a_job_over_the_limit_is_too_large(worker):
    process = worker(HEADGATE_MAX_JOB_BYTES=2048)
    assert_error(process.post("/analyze_section", {"content": "x" * 2048}), 413)
    assert process.post("/analyze_section", {"content": "mark-small"}).status == 202


@pytest.mark.parametrize("name", ["headgate:{analyze}:paused", "headgate:{m:x}:cooldown",
                                  "headgate:"])
def test_reply_to_is_no_key_of_ours(house, name):
    answer = house.worker.post("/analyze_section", section("greedy", reply_to=name))
    assert_error(answer, 400)
    assert "reply_to" in answer.json()["error"]["message"]
    assert house.cli("enqueue", "--field", "content=x", "--field", f"reply_to={name}").code == 2
    job_id = f"pushed {name}"
    house.redis.push({"id": job_id, "content": "mark-pushed", "reply_to": name})
    assert house.redis.wait_result(job_id)["state"] == "succeeded"
    assert not house.redis.client.exists(name)
    assert "reply_to is left out" in house.worker.log()


def test_a_charset_behind_the_type_is_fine(house):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    body = json.dumps(section("charset"))
    assert house.worker.post("/analyze_section", body, headers=headers).status == 202


def test_a_post_without_a_body_needs_no_type(house):
    assert house.worker.post("/reset_model_cooldowns").status == 200


def test_a_body_over_8_mib_is_refused(house):
    too_large = request(*POST, f"Content-Length: {8 * 1024 * 1024 + 1}", body=b"{")
    assert status_line(send_raw(house.worker, too_large)) == 413


def test_a_post_without_a_length_is_refused(house):
    assert status_line(send_raw(house.worker, request(*POST))) in (400, 411)


def test_a_large_head_is_refused(house):
    large = request("GET /healthz HTTP/1.1", "Host: HOST", f"X-Long: {'a' * 100_000}")
    assert status_line(send_raw(house.worker, large)) in (400, 413, 431, None)
    assert house.worker.get("/healthz").status == 200


def test_without_redis_the_port_answers_503(redis, worker):
    process = worker()
    redis.shut_down()
    until(lambda: process.readiness() == 503, what="a red /readyz")
    assert process.get("/readyz").body
    assert_error(process.post("/analyze_section", section("nowhere")), 503)
    assert_error(process.get("/queue_stats"), 503)
    assert process.get("/metrics").status == 200
    redis.up()
    until(process.is_ready, what="a green /readyz")
