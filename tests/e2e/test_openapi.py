"""docs/openapi.yaml: every route and every status that it tells of is met, and nothing else."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from control import request, send_raw
from schemas import openapi, openapi_validator
from support import Answer, http_call, until

API = openapi()
METHODS = ("get", "post", "put", "delete", "patch", "head", "options")
OPERATIONS = {(method, path): operation for path, item in API["paths"].items()
              for method, operation in item.items() if method in METHODS}
# Statuses that take long to provoke.
ELSEWHERE = {408: "a request that takes over 10 s", 429: "1000 requests that wait"}
TOKEN = "a-token"
A_JOB = {"/analyze_section": {"content": "text"}, "/chat": {"query": "Why?"},
         "/enqueue": {"type": "chat", "query": "Why?"}}


def resolved(part):
    """A response or parameter, be it here or among the components."""
    while "$ref" in part:
        assert part["$ref"].startswith("#/")
        name, part = part["$ref"], API
        for step in name[2:].split("/"):
            part = part[step]
    return part


def responses(method, path):
    found = OPERATIONS[method, path]["responses"]
    return {int(status): resolved(response) for status, response in found.items()}


def assert_as_told(method, path, answer):
    """Status, headers, type and body of an answer are in the file."""
    told = responses(method, path)
    assert answer.status in told, (method, path, answer.status, answer.body)
    response = told[answer.status]
    for name, header in response.get("headers", {}).items():
        openapi_validator(header["schema"]).validate(answer.headers[name.lower()])
    ((kind, content),) = response["content"].items()
    assert answer.headers["content-type"].split(";")[0] == kind
    body = answer.json() if kind == "application/json" else answer.body.decode()
    openapi_validator(content["schema"]).validate(body)
    return answer.status


@pytest.fixture(scope="module")
def port(house):
    """The house, with a second worker that asks for a token and takes small jobs."""
    guarded = house.servers.worker(house.redis.url, house.sim.url, HEADGATE_HTTP_TOKEN=TOKEN,
                                   HEADGATE_MAX_JOB_BYTES=2048)
    lonely = house.servers.worker("redis://127.0.0.1:9/0", house.sim.url, wait_ready=False)
    until(lambda: lonely.readiness() == 503, what="a worker without Redis")
    with ThreadPoolExecutor(len(OPERATIONS)) as callers:  # each waits a while for Redis
        answers = callers.map(lambda key: call(lonely, *key, A_JOB.get(key[1])), OPERATIONS)
    without_redis = dict(zip(OPERATIONS, answers))
    return SimpleNamespace(open=house.worker, guarded=guarded, without_redis=without_redis)


def call(worker, method, path, body=None, **headers):
    job_id = headers.pop("job_id", "an-id")
    return http_call(worker.port, method.upper(), path.replace("{id}", job_id), body, headers)


def ways(port, method, path):
    """Calls of an operation that are answered with each of its statuses."""
    is_push = path in A_JOB
    job = A_JOB.get(path)
    raw = (f"{method.upper()} {path} HTTP/1.1", "Host: HOST", "Content-Type: application/json")
    yield lambda: call(port.open, method, path, Origin="http://elsewhere.example")
    yield lambda: call(port.guarded, method, path)
    yield lambda: call(port.open, "delete", path)
    if "{id}" in path:
        yield lambda: call(port.open, method, path, job_id="")
    yield lambda: port.without_redis[method, path]
    yield lambda: call(port.open, method, path + "?wait=20" * is_push, job)
    if is_push:
        yield lambda: call(port.open, method, path, job)
        yield lambda: parsed(send_raw(port.open, request(*raw, "Transfer-Encoding: chunked")))
        yield lambda: call(port.guarded, method, path, {**job, "doc_type": "x" * 2048},
                                Authorization=f"Bearer {TOKEN}")
        yield lambda: call(port.open, method, path, b"{}", **{"Content-Type": "text/plain"})


def parsed(answer):
    """A raw answer as the others are."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_status_of_an_operation_is_met_as_the_file_tells(port, method, path):
    """A way that leads to another status than its own must still end in one of the file."""
    met = {assert_as_told(method, path, way()) for way in ways(port, method, path)}
    assert met | set(ELSEWHERE) >= set(responses(method, path))
    assert not met & set(ELSEWHERE)


def test_the_file_and_the_port_have_the_same_routes(port):
    routes = {tuple(route.split(" ")) for route in port.open.get("/").json()["routes"]}
    assert routes == {(method.upper(), path.replace("{id}", "<id>")) for method, path in OPERATIONS}


@pytest.mark.parametrize(("method", "path"), [key for key in OPERATIONS if key[0] == "get"])
def test_head_is_answered_like_get(port, method, path):
    get, head = (call(port.open, verb, path) for verb in (method, "head"))
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_open_pages_of_the_file_are_those_without_a_token(port, method, path):
    is_open = OPERATIONS[method, path].get("security") == [{}]
    assert (call(port.guarded, method, path).status != 401) == is_open


@pytest.mark.parametrize("path", A_JOB)
@pytest.mark.parametrize("change", [
    {}, {"type": "analyze"}, {"type": "chat"}, {"type": None}, {"content": 7, "query": 7}, {"max_tokens": 0}, {"queue": 7}, {"queue": "analyze"}, {"queue": ""},
    {"id": ""}, {"id": None}, {"metadata": {"a": 1}}, {"tenant": None}, {"timeout": 0.5},
], ids=str)
def test_the_file_takes_a_job_where_the_port_does(port, path, change):
    body = {**A_JOB[path], **change}
    schema = API["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    is_taken = call(port.open, "post", path, body).status == 202
    assert is_taken == openapi_validator(schema).is_valid(body)


@pytest.mark.parametrize("wait", ["0", "0.5", "60", "60.5", "-1"])
def test_the_file_takes_a_wait_where_the_port_does(port, wait):
    is_valid = openapi_validator(API["components"]["parameters"]["Wait"]["schema"]).is_valid(float(wait))
    answer = call(port.open, "post", f"/chat?wait={wait}", A_JOB["/chat"])
    assert (answer.status == 200) == is_valid


def test_every_state_of_a_task_is_told(redis, sim, worker):
    process = worker()
    told = set(API["components"]["schemas"]["TaskStatus"]["properties"]["state"]["enum"])

    def state_of(task_id):
        answer = process.get(f"/task_status/{task_id}")
        assert_as_told("get", "/task_status/{id}", answer)
        return answer.json()["state"]

    def wait_state(task_id, state):
        until(lambda: state_of(task_id) == state, what=f"{state} of {task_id}")
        return state

    seen = {wait_state("unknown", "PENDING")}
    sim.script({"do": "hang"})
    process.post("/analyze_section", {"id": "runs", "content": "text"})
    seen.add(wait_state("runs", "PROGRESS"))
    answer = process.post("/cancel_task/runs")
    assert_as_told("post", "/cancel_task/{id}", answer)
    seen.add(wait_state("runs", "REVOKED"))
    sim.script({"do": "status", "status": 400, "code": "ValidationException", "times": 3})
    answer = process.post("/chat?wait=20", {"id": "fails", "query": "Why?"})
    assert_as_told("post", "/chat", answer)
    assert answer.json()["error"]["kind"] == "rejected"
    seen.add(wait_state("fails", "FAILURE"))
    process.post("/chat?wait=20", {"id": "good", "query": "Why?"})
    seen.add(wait_state("good", "SUCCESS"))
    for task_id in ("runs", "fails", "good"):
        answer = process.post(f"/cancel_task/{task_id}")
        assert_as_told("post", "/cancel_task/{id}", answer)
        assert answer.json()["success"] is False
    assert seen == told


def test_the_figures_are_as_told_when_jobs_wait_and_models_refuse(redis, sim, worker, cli):
    process = worker()
    sim.script({"do": "throttle"})
    assert cli("pause", "analyze").code == 0
    process.post("/chat", {"id": "waits", "query": "Why?"})

    def figures(path):
        answer = process.get(path)
        assert_as_told("get", path, answer)
        return answer.json()

    (queue,) = figures("/queue_stats")["queues"]
    assert (queue["waiting"], queue["waits_for"]) == (1, "paused")
    assert cli("resume", "analyze").code == 0
    until(lambda: figures("/model_stats")["stats"]["active_cooldowns"], what="a cooldown")
    assert redis.wait_result("waits")["state"] == "succeeded"
    figures("/queue_stats")


def test_the_examples_of_the_file_are_jobs(port):
    for path in A_JOB:
        content = API["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        openapi_validator(content["schema"]).validate(content["example"])
        assert call(port.open, "post", path, content["example"]).status == 202
