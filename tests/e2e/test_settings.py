"""Section 8 of the contract: wrong settings stop a start, and say what would be right."""

import json
import os
import re
import socket
import subprocess

import pytest

from headgate import BINARY, READY_LINE, CommandLine, Worker, environment
from services import PRIMARY, SECOND, THIRD
from support import free_port, until

USAGE = 2


@pytest.mark.parametrize(("variable", "value"), [
    ("HEADGATE_CONCURRENCY", "0"),
    ("HEADGATE_CONCURRENCY", "-1"),
    ("HEADGATE_CONCURRENCY", "1.5"),
    ("HEADGATE_CONCURRENCY", "many"),
    ("HEADGATE_CONCURRENCY", "100001"),
    ("HEADGATE_CONCURRENCY", "99999999999999999999"),
    ("HEADGATE_MAX_ATTEMPTS", "0"),
    ("HEADGATE_MAX_ATTEMPTS", "101"),
    ("HEADGATE_LEASE_SECONDS", "0.5"),
    ("HEADGATE_LEASE_SECONDS", "nan"),
    ("HEADGATE_LEASE_SECONDS", "12s"),
    ("HEADGATE_RESULT_TTL", "0"),
    ("HEADGATE_DEAD_MAX", "-1"),
    ("HEADGATE_MAX_JOB_BYTES", "1"),
    ("HEADGATE_JOB_TIMEOUT", "3601"),
    ("HEADGATE_CALL_TIMEOUT", "-1"),
    ("HEADGATE_RETRY_BASE_MS", "soon"),
    ("HEADGATE_DRAIN_SECONDS", "inf"),
    ("HEADGATE_DELIVERY", "sometimes"),
    ("HEADGATE_POLICY", "v9"),
    ("HEADGATE_LOG", "xml"),
    ("HEADGATE_LOG_LEVEL", "loud"),
    ("HEADGATE_QUEUES", "a{b}"),
    ("HEADGATE_QUEUES", "a,a"),
    ("HEADGATE_QUEUES", "a=x"),
    ("HEADGATE_QUEUES", "a=0"),
    ("HEADGATE_QUEUES", ","),
    ("HEADGATE_HTTP", "nonsense"),
    ("HEADGATE_HTTP", "127.0.0.1:99999"),
    ("HEADGATE_MODELS", "nobody/model"),
    ("HEADGATE_MODELS", "bedrock/"),
    ("HEADGATE_CONFIG", "/etc/headgate.json"),
    ("REDIS_URL", "http://localhost:6379"),
    ("REDIS_URL", "redis://localhost:99999/0"),
    ("REDIS_URL", "redis://localhost:6379/x"),
])
def test_a_wrong_setting_exits_2_and_names_it(lonely, variable, value):
    done = lonely("worker", **{variable: value})
    assert done.code == USAGE
    assert variable in done.err
    assert value in done.err
    assert len(done.err.split(value, 1)[1]) > 5, "says what is allowed"


def test_a_wrong_setting_is_told_in_the_form_of_the_log(lonely):
    done = lonely("worker", HEADGATE_LOG="json", HEADGATE_CONCURRENCY="many", HEADGATE_SPEED="9")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert done.code == USAGE
    assert lines[-1]["level"] == "error"
    assert "HEADGATE_CONCURRENCY=many" in lines[-1]["error"]
    assert any(line.get("name") == "HEADGATE_SPEED" for line in lines)


@pytest.mark.parametrize("value", ["nobody/model", "bedrock/"])
def test_config_exits_2_where_a_worker_would_not_start(lonely, value):
    done = lonely("config", HEADGATE_MODELS=value)
    assert done.code == USAGE
    assert value in done.err


def test_a_worker_without_models_exits_2(lonely):
    env = {**lonely.env}
    del env["BEDROCK_MODEL_ID"], env["BEDROCK_FALLBACK_MODELS"]
    done = CommandLine(env)("worker")
    assert done.code == USAGE
    assert "BEDROCK_MODEL_ID" in done.err or "HEADGATE_MODELS" in done.err


def test_a_password_in_a_wrong_url_is_not_printed(lonely):
    done = lonely("worker", REDIS_URL="redis://user:hunter2@localhost:99999/0")
    assert done.code == USAGE
    assert "hunter2" not in done.err + done.out


def test_an_open_address_needs_a_token(lonely):
    done = lonely("worker", HEADGATE_HTTP=f"0.0.0.0:{free_port()}")
    assert done.code == USAGE
    assert "HEADGATE_HTTP_TOKEN" in done.err


def test_a_port_that_was_asked_for_and_is_in_use_exits_2(cli):
    with socket.create_server(("127.0.0.1", free_port())) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = cli("worker", HEADGATE_HTTP=address)
        assert done.code == USAGE
        assert "HEADGATE_HTTP" in done.err
        assert address.rpartition(":")[2] in done.err


def test_the_default_port_in_use_is_only_a_warning(redis, worker):
    try:
        taken = socket.create_server(("127.0.0.1", 8080))
    except OSError:
        taken = None  # by another program: just as good
    try:
        process = worker(HEADGATE_HTTP="")
        redis.push({"id": "no-port", "content": "text"})
        assert redis.wait_result("no-port")["state"] == "succeeded"
        assert "8080" in process.log()
    finally:
        if taken:
            taken.close()


def test_the_port_can_be_off(redis, worker):
    worker(HEADGATE_HTTP="off")
    redis.push({"id": "port-off", "content": "text"})
    assert redis.wait_result("port-off")["state"] == "succeeded"


def test_the_start_names_version_2_and_the_models_in_order(worker):
    log = worker().log()
    places = [log.index(READY_LINE), *(log.rindex(model) for model in (PRIMARY, SECOND, THIRD))]
    assert places == sorted(places)
    assert re.search(r"\b1\b.*" + re.escape(PRIMARY), log)
    assert re.search(r"\b3\b.*" + re.escape(THIRD), log)


def test_headgate_models_wins_over_bedrock(redis, worker):
    name = "bedrock/amazon.nova-pro-v1:0"
    worker(HEADGATE_MODELS=name)
    redis.push({"id": "own-list", "content": "text"})
    assert redis.wait_result("own-list")["model"] == name
    assert until(lambda: redis.client.exists(f"headgate:{{m:{name}}}:stats"), what="its counters")


def test_every_line_of_a_json_log_is_an_object(redis, sim, worker):
    process = worker(HEADGATE_LOG="json", HEADGATE_LOG_LEVEL="debug")
    sim.script({"do": "throttle"}, model=PRIMARY)
    redis.push({"id": "logged \"\n", "content": "secret prompt"})
    redis.push({"id": "logged", "content": "secret prompt"})
    redis.wait_result("logged")
    for line in process.log_lines():
        assert {"time", "level", "msg"} <= set(line)
    assert "secret prompt" not in process.log()


def test_a_closed_log_ends_nobody(redis, sim, tmp_path):
    """Standard error goes to a pipe that nobody reads, then to one that nobody has."""
    port = free_port()
    env = environment(redis.url, sim.url, HEADGATE_HTTP=f"127.0.0.1:{port}",
                      HEADGATE_LOG_LEVEL="debug")
    reader, writer = os.pipe()
    process = Worker("silent", tmp_path / "silent", env)
    process.port = port
    process.child = subprocess.Popen([str(BINARY), "worker"], env=env, stdin=subprocess.DEVNULL,
                                     stdout=writer, stderr=writer)
    os.close(writer)
    try:
        process.wait_ready()
        for n in range(300):
            redis.push({"id": f"unread-{n}", "content": "text"})
        redis.wait_result("unread-299")
        os.close(reader)
        redis.push({"id": "closed", "content": "text"})
        assert redis.wait_result("closed")["state"] == "succeeded"
        process.term()
        assert process.wait() == 0
    finally:
        process.kill()


def test_a_worker_needs_no_home(redis, worker):
    worker(HOME="/nonexistent")
    redis.push({"id": "homeless", "content": "text"})
    assert redis.wait_result("homeless")["state"] == "succeeded"


def test_a_password_that_redis_refuses_ends_the_start(redis, cli):
    done = cli("worker", REDIS_URL=f"redis://:hunter2@127.0.0.1:{redis.port}/0",
               HEADGATE_HTTP=f"127.0.0.1:{free_port()}")
    assert done.code in (USAGE, 4)
    assert "REDIS_URL" in done.err
    assert "hunter2" not in done.err
