"""HEADGATE_CONFIG: every section has an effect, every mistake is told, SIGHUP reads it again."""

import json
import re
import signal

import pytest

from headgate import CommandLine
from schemas import JOB, RESULT
from services import PRIMARY, SECOND
from support import ROOT, until

USAGE = 2
FIRST = f"bedrock/{PRIMARY}"
OTHER = f"bedrock/{SECOND}"
NO_MODELS = {"BEDROCK_MODEL_ID": None, "BEDROCK_FALLBACK_MODELS": None}


@pytest.fixture
def file(tmp_path):
    """Writes the file; its path."""
    path = tmp_path / "headgate.json"

    def write(content):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def configured(worker, file):
    """Starts a worker with this file."""
    return lambda content, **options: worker(HEADGATE_CONFIG=file(content), **options)


def reload(worker, times=1):
    """SIGHUP, until the file was read for this many times in all."""
    worker.signal(signal.SIGHUP)
    until(lambda: worker.log().count("was read again") == times, what="the new file")


def run(redis, job, **options):
    JOB.validate(job)
    redis.push(job, **options)
    result = redis.wait_result(job["id"], **options)
    RESULT.validate(result)
    return result


# ---- models ----

def test_models_of_the_file_are_called_in_its_order_and_cost_what_it_says(redis, configured):
    worker = configured({"models": [
        {"name": OTHER, "display": "The first", "price": {"input": 1e6, "output": 0}},
        {"name": FIRST}]}, **NO_MODELS)
    result = run(redis, {"id": "a", "content": "x"})
    assert result["model"] == OTHER
    assert result["result"]["model_used"] == "The first"
    assert result["cost_usd"] == result["usage"]["input_tokens"] > 0
    cost = re.search(r'headgate_cost_usd_total\{model="(.*)"\} (\S+)', worker.get("/metrics").body.decode())
    assert (cost[1], float(cost[2])) == (OTHER, result["cost_usd"])


def test_a_model_without_a_price_costs_null_and_is_not_counted(redis, configured):
    worker = configured({"models": [{"name": PRIMARY, "rpm": 6000}]})
    assert run(redis, {"id": "a", "content": "x"})["cost_usd"] is None
    assert "headgate_cost_usd_total" not in worker.get("/metrics").body.decode()


def test_a_call_ends_with_the_timeout_of_its_model(redis, sim, configured):
    configured({"models": [{"name": PRIMARY, "timeout": 0.2}]})
    sim.script({"do": "hang"}, model=PRIMARY)
    result = run(redis, {"id": "a", "content": "x"})
    assert [call["outcome"] for call in result["calls"]] == ["timeout", "ok"]


def permits_a_second(worker):
    line = re.search(r'headgate_pace_permits_per_second\{model="%s"\} (\S+)' % re.escape(PRIMARY),
                     worker.get("/metrics").body.decode())
    return float(line[1]) if line else None


def test_calls_keep_to_the_quota_of_the_file_also_to_a_new_one(redis, configured, file):
    worker = configured({"models": [{"name": PRIMARY, "rpm": 60}]})
    run(redis, {"id": "a", "content": "x"})
    until(lambda: 0.9 < permits_a_second(worker) <= 1, what="a permit a second")
    file({"models": [{"name": PRIMARY, "rpm": 30}]})
    reload(worker)
    assert run(redis, {"id": "b", "content": "x", "prefer": "primary"})["model"] == PRIMARY
    until(lambda: 0.4 < permits_a_second(worker) <= 0.5, what="half a permit a second")


def test_a_model_has_its_own_endpoint_and_key_and_the_key_is_told_nobody(redis, servers, sim, configured):
    key = "bedrock-api-key-0123456789"
    own = servers.sim(bearer_token=key, access_key="nobody")
    worker = configured({"models": [
        {"name": PRIMARY, "base_url": own.url, "api_key_env": "OWN_KEY"}]}, OWN_KEY=key)
    assert run(redis, {"id": "a", "content": "x"})["model"] == PRIMARY
    assert (own.stats()["calls"], sim.stats()["calls"]) == (1, 0)
    # A provider may repeat the key in its refusal.
    own.script({"do": "status", "status": 403, "code": "AccessDeniedException", "message": f"no {key}"})
    result = run(redis, {"id": "b", "content": "x"})
    assert result["calls"][0]["outcome"] != "ok"
    assert result["model"] == SECOND
    assert key not in worker.log() + json.dumps(result)


def test_a_model_that_only_a_job_names_is_described_too(redis, configured):
    configured({"models": [{"name": "job.own", "display": "Own", "price": {"input": 1, "output": 1}}]})
    result = run(redis, {"id": "a", "content": "x", "models": ["job.own"]})
    assert (result["model"], result["result"]["model_used"]) == ("job.own", "Own")
    assert result["cost_usd"] is not None


# ---- job types ----

TYPES = {"types": {
    "greet": {"system": "Be {{mood}}.", "prompt": "Greet {{who}} \"now\" {{ n }}{{none}}",
              "required": ["who"], "max_tokens": 77, "temperature": 0.5},
    "total": {"prompt": "{{content}}", "output": "json", "schema": {
        "type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}},
    "chat": {"prompt": "Only: {{query}}"},
}}


def test_a_type_of_the_file_makes_prompt_and_parameters(redis, servers, configured):
    recorder = servers.recorder(text="hello")
    configured(TYPES, provider_url=recorder.url)
    result = run(redis, {"id": "a", "type": "greet", "who": "Ann", "mood": "kind", "n": [1]})
    (body,) = recorder.bodies()
    assert recorder.prompt() == 'Greet Ann "now" [1]'
    assert body["system"] == [{"text": "Be kind."}]
    assert body["inferenceConfig"] == {"maxTokens": 77, "temperature": 0.5}
    assert result["type"] == "greet"
    assert (result["result"]["success"], result["result"]["response"]) == (True, "hello")


def test_a_built_in_type_is_changed_by_the_file(redis, servers, configured):
    recorder = servers.recorder(text="hello")
    configured(TYPES, provider_url=recorder.url)
    run(redis, {"id": "a", "type": "chat", "query": "why?"})
    assert recorder.prompt() == "Only: why?"
    assert recorder.bodies()[0]["system"]


def test_json_is_taken_out_of_the_answer(redis, sim, configured):
    configured(TYPES)
    sim.script({"do": "text", "text": "Here:\n```json\n{\"total\": 3,\n \"x\": [1]}\n```\nDone [1]."})
    result = run(redis, {"id": "a", "type": "total", "content": "x"})
    assert result["result"]["data"] == {"total": 3, "x": [1]}
    assert set(result["result"]) == {"success", "data", "model_used", "tokens", "duration"}


def test_an_answer_that_does_not_fit_the_schema_is_a_failed_call(redis, sim, configured):
    configured(TYPES)
    wrong = {"do": "text", "text": '{"total":"3"}'}
    sim.script(wrong, {"do": "text", "text": '{"total":3}'}, {**wrong, "times": 3})
    result = run(redis, {"id": "a", "type": "total", "content": "x"})
    assert [call["outcome"] for call in result["calls"]] == ["bad_output", "ok"]
    assert result["result"]["data"] == {"total": 3}
    result = run(redis, {"id": "b", "type": "total", "content": "x"})
    assert result["error"]["kind"] == "bad_output"
    assert 'total is "3": it must be of type number' in result["error"]["message"]


def test_a_job_without_a_required_field_is_a_bad_job(redis, configured):
    configured(TYPES)
    result = run(redis, {"id": "a", "type": "greet", "who": " "})
    assert result["error"]["kind"] == "bad_job"
    assert "who is blank" in result["error"]["message"]
    result = run(redis, {"id": "b", "type": "hello"})
    assert "it must be one of analyze, chat, greet, total" in result["error"]["message"]


def test_the_doors_of_producers_know_the_types(redis, sim, configured, file):
    worker = configured(TYPES)
    cli = CommandLine(worker.env)
    done = cli("enqueue", "--type", "greet", "--field", "who=Ann", "--wait", "--json")
    assert json.loads(done.out)["type"] == "greet"
    done = cli("enqueue", "--type", "greet")
    assert (done.code, "who is missing" in done.err) == (USAGE, True)
    answer = worker.post("/enqueue?wait=10", {"type": "greet", "who": "Ann"})
    assert answer.status == 200 and answer.json()["result"]["response"]
    answer = worker.post("/enqueue", {"type": "greet"})
    assert answer.status == 400 and "who is missing" in answer.json()["error"]["message"]


# ---- queues ----

def test_queues_of_the_file_are_worked_on(redis, configured):
    worker = configured({"queues": {"first": {}, "second": {"weight": 2}}})
    run(redis, {"id": "a", "content": "x"}, queue="first")
    run(redis, {"id": "b", "content": "x"}, queue="second")
    assert [queue["name"] for queue in worker.get("/queue_stats").json()["queues"]] == ["first", "second"]


# ---- mistakes ----

@pytest.mark.parametrize(("content", "said"), [
    ("", "line 1: invalid JSON"),
    ('{"models": [],}', "line 1: invalid JSON"),
    ("{\n/* never closed", "line 2: invalid JSON"),
    ("[]", "the file must hold one JSON object"),
    ({"model": []}, "model is unknown: allowed are models, types, queues, tenants, celery"),
    ({"models": [{"name": "nobody/x", "rpm": 1}]}, 'models[0].name is "nobody/x": it must be'),
    ({"models": [{"name": FIRST, "rpm": -1}]}, "models[0].rpm is -1: it must be a number from 0"),
    ({"models": [{"name": FIRST, "rps": 1}]}, "models[0].rps is unknown: allowed are name, display, rpm"),
    ({"models": [{"name": FIRST, "api_key_env": "NOT_SET"}]}, "an environment variable that is set"),
    ({"types": {"t": {}}}, "types.t has no prompt"),
    ({"types": {"t": {"prompt": "p", "output": "yaml"}}}, 'types.t.output is "yaml": it must be "feedback" or'),
    ({"types": {"t": {"prompt": "p", "output": "json", "schema": {"pattern": "x"}}}},
     "types.t.schema.pattern is not supported"),
    ({"queues": {"a": {"weight": 0}}}, "queues.a.weight is 0: it must be a whole number from 1 to 1000"),
    ({"tenants": {"a": {"weight": 0}}}, "tenants.a.weight is 0: it must be a number from 0.01 to 1000"),
    ('{"tenants": {"a": {}, "a": {}}}', 'the name "a" stands twice'),
])
@pytest.mark.parametrize("verb", ["worker", "config"])
def test_a_wrong_file_exits_2_and_says_where_and_what_is_allowed(lonely, file, verb, content, said):
    path = file(content)
    done = lonely(verb, HEADGATE_CONFIG=str(path))
    assert done.code == USAGE
    assert "HEADGATE_CONFIG=" in done.err and path.name in done.err
    assert said in done.err.replace('\\"', '"')


def test_a_file_that_is_not_there_exits_2(lonely, tmp_path):
    done = lonely("worker", HEADGATE_CONFIG=str(tmp_path / "none.json"))
    assert done.code == USAGE
    assert "No such file" in done.err and "none.json" in done.err


# ---- what is shown ----

def example():
    """The file of docs/configuration.md."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    return text.split("```json\n")[1].split("```")[0]


def test_the_example_of_the_documents_is_a_good_file(lonely, file):
    done = lonely("config", "--json", HEADGATE_CONFIG=str(file(example())),
                  BEDROCK_MODEL_ID="", BEDROCK_FALLBACK_MODELS="")
    assert done.code == 0, done.err
    shown = done.json()
    assert shown["HEADGATE_QUEUES"] == {**shown["HEADGATE_QUEUES"], "value": "urgent,analyze=3,bulk=1", "from": "file"}
    assert shown["HEADGATE_MODELS"]["value"].startswith(FIRST)
    assert (shown["models[0].rpm"]["value"], shown["models[0].rpm"]["from"]) == ("50", "file")
    assert shown["tenants.*.max_in_flight"]["value"] == "100"
    assert shown["BEDROCK_MODEL_ID"]["from"] == "default"


def test_doctor_names_the_file(redis, sim, cli, file):
    path = file(TYPES)
    done = cli("doctor", "--no-calls", HEADGATE_CONFIG=str(path))
    assert f"{path}: 0 models, 0 tenants, job types analyze, chat, greet, total" in done.out
    file({"types": {"t": {}}})
    done = cli("doctor", "--no-calls", HEADGATE_CONFIG=str(path))
    assert (done.code, "types.t has no prompt" in done.out) == (1, True)


# ---- SIGHUP ----

def test_a_new_type_and_a_new_price_come_with_sighup(redis, configured, file):
    worker = configured({"models": [{"name": PRIMARY}]})
    assert run(redis, {"id": "a", "type": "greet", "who": "Ann"})["error"]["kind"] == "bad_job"
    file({**TYPES, "models": [{"name": PRIMARY, "display": "New", "price": {"input": 1, "output": 1}}]})
    reload(worker)
    result = run(redis, {"id": "b", "type": "greet", "who": "Ann"})
    assert (result["state"], result["result"]["model_used"]) == ("succeeded", "New")
    assert result["cost_usd"] is not None
    assert worker.post("/enqueue?wait=10", {"type": "greet", "who": "Ann"}).status == 200


def test_a_running_job_keeps_its_type_to_its_end(redis, sim, configured, file):
    worker = configured({"types": {"t": {"prompt": "{{content}}", "output": "text"}}})
    sim.script({"do": "delay", "ms": 2000})
    redis.push({"id": "a", "type": "t", "content": "x"})
    sim.wait_open(1)
    for times in (1, 2):
        file({"types": {"t": {"prompt": "{{content}}", "output": "json"}}} if times == 1 else {})
        reload(worker, times)
    assert run(redis, {"id": "b", "type": "t", "content": "x"})["error"]["kind"] == "bad_job"
    result = redis.wait_result("a")
    assert (result["state"], result["type"]) == ("succeeded", "t")
    assert result["result"]["response"]


def test_a_wrong_file_changes_nothing_and_is_told(redis, configured, file):
    worker = configured(TYPES)
    file({"types": {"greet": {"prompt": "p"}}, "tenants": {"a": {"weight": 0}}})
    worker.signal(signal.SIGHUP)
    worker.wait_for_log("the configuration file is wrong: all settings stay as they were")
    assert "tenants.a.weight is 0" in worker.log()
    assert run(redis, {"id": "a", "type": "greet"})["error"]["message"].startswith("who is missing")
    file(TYPES)
    reload(worker)


def test_what_only_a_restart_changes_is_named(redis, configured, file):
    worker = configured({"models": [{"name": FIRST}, {"name": OTHER}], "queues": {"one": {}}},
                        HEADGATE_LOG="json", **NO_MODELS)
    file({"models": [{"name": OTHER, "display": "New"}], "queues": {"one": {"weight": 3}, "two": {}}})
    reload(worker)
    lines = {line["msg"]: line for line in worker.log_lines()}
    assert lines["the list of queues changes with a restart only"]["names"] == "two"
    assert OTHER in lines["the list of models and its order change with a restart only"]["names"]
    assert lines["queue has another weight"]["weight"] == 3
    assert run(redis, {"id": "a", "content": "x"}, queue="one")["model"] == FIRST
