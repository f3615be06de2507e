"""Section 7 and 8 of the contract: the verbs, their exit codes, and wrong settings."""

import json
import os
import re
import signal
import subprocess

import pytest

from headgate import BINARY, CLOSED_PORT_URL, PATIENCE, CommandLine, environment
from services import PRIMARY, SECOND, THIRD
from support import until

OK, FAILED, USAGE, TIMED_OUT, OUT_OF_REACH = 0, 1, 2, 3, 4

VERBS = [
    "worker", "enqueue", "result", "cancel", "stats", "reset-cooldowns", "dead", "pause", "resume",
    "config", "doctor", "version",
]
# A call of each verb that needs Redis, as short as it can be.
REDIS_VERBS = [
    ["enqueue", "--field", "content=text"], ["result", "x"], ["cancel", "x"], ["stats"],
    ["reset-cooldowns"], ["dead", "list"], ["dead", "drop", "--all"], ["pause", "analyze"],
    ["resume", "analyze"], ["doctor"],
]


# ---------------------------------------------------------------- usage


def test_version_says_which(lonely):
    done = lonely("version")
    assert done.code == OK
    assert re.search(r"\d+\.\d+\.\d+", done.out)


def test_help_names_every_verb(lonely):
    for arguments in (["--help"], ["help"], ["-h"]):
        done = lonely(*arguments)
        assert done.code == OK
        assert all(verb in done.out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_text(lonely, verb):
    done = lonely(verb, "--help")
    assert done.code == OK
    assert verb in done.out


@pytest.mark.parametrize("arguments", [
    ["version"], ["help"], ["config"], ["dead", "list", "--json"], ["stats"], ["stats", "--json"],
    ["stats", "--watch"], ["enqueue", "--field", "content=text", "--queue", "full-disk"],
], ids=" ".join)
def test_output_that_finds_no_room_is_no_success(house, arguments):
    letter = json.dumps({"id": "x", "queue": "analyze", "payload_base64": ""})
    house.redis.client.rpush("headgate:{analyze}:dead", letter)
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([str(BINARY), *arguments], env=house.cli.env, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=20 * PATIENCE)
    house.redis.client.lrem("headgate:{analyze}:dead", 1, letter)
    assert done.returncode == FAILED
    assert "standard output" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["version"], ["help"], ["config"], ["dead", "list"], ["stats"], ["stats", "--watch"],
    ["enqueue", "--field", "content=text", "--queue", "closed-pipe"],
], ids=" ".join)
def test_a_reader_that_has_seen_enough_ends_a_verb_in_silence(house, arguments):
    letter = json.dumps({"id": "y", "queue": "analyze", "payload_base64": ""})
    house.redis.client.rpush("headgate:{analyze}:dead", letter)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([str(BINARY), *arguments], env=house.cli.env, stdout=writing,
                          stderr=subprocess.PIPE, text=True, timeout=20 * PATIENCE)
    os.close(writing)
    house.redis.client.lrem("headgate:{analyze}:dead", 1, letter)
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["--nonsense"], ["result"], ["cancel"], ["dead"], ["dead", "nonsense"],
    ["dead", "show"], ["dead", "retry"], ["dead", "drop"], ["pause"], ["resume"],
    ["enqueue", "--nonsense"], ["enqueue", "--type"], ["enqueue", "--field", "no-equals-sign"],
    ["worker", "extra"], ["version", "--nonsense"],
], ids=" ".join)
def test_wrong_usage_exits_2_and_says_why(house, arguments):
    done = house.cli(*arguments)
    assert done.code == USAGE
    assert done.err.strip()
    assert not house.redis.waiting()


@pytest.mark.parametrize("arguments", REDIS_VERBS, ids=" ".join)
def test_a_redis_out_of_reach_exits_4(lonely, arguments):
    done = lonely(*arguments)
    assert done.code == OUT_OF_REACH
    assert "127.0.0.1:9" in done.err + done.out
    assert done.seconds < 15


# ---------------------------------------------------------------- jobs


def test_enqueue_prints_the_id_and_the_job_runs(house):
    done = house.cli("enqueue", "--field", "content=mark-cli", "--field", "section_name=Scope")
    assert done.code == OK
    result = house.redis.wait_result(done.out.split()[-1])
    assert (result["state"], result["result"]["section"]) == ("succeeded", "Scope")


def test_enqueue_waits_for_the_result(house):
    done = house.cli("enqueue", "--type", "chat", "--field", "query=Why?", "--wait", "--json")
    assert done.code == OK
    assert done.json()["state"] == "succeeded"
    assert done.json()["result"]["response"]


def test_enqueue_wait_exits_1_when_the_job_fails(house):
    done = house.cli("enqueue", "--field", "id=cli-fails", "--field", "content=", "--wait")
    assert done.code in (FAILED, USAGE)


def test_enqueue_reads_the_content_from_a_file_or_stdin(house, tmp_path):
    text = "mark-from-file\nsecond \"line\" ü"
    (tmp_path / "content.txt").write_text(text)
    for arguments, stdin in (
        (["--content-file", tmp_path / "content.txt"], ""),
        (["--content-file", "-"], text),
    ):
        done = house.cli("enqueue", *arguments, "--wait", "--json", stdin=stdin)
        assert done.code == OK
        assert done.json()["state"] == "succeeded"
    assert len(house.sim.calls("mark-from-file")) == 2


def test_enqueue_pushes_a_file_of_jobs(house, tmp_path):
    jobs = [{"id": f"line-{n}", "content": "text"} for n in range(5)]
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    (tmp_path / "jobs.jsonl").write_text(lines)
    assert house.cli("enqueue", "--jsonl", tmp_path / "jobs.jsonl").code == OK
    for job in jobs:
        assert house.redis.wait_result(job["id"])["state"] == "succeeded"
    assert house.cli("enqueue", "--jsonl", "-", stdin='{"id":"line-x","content":"a"}\n').code == OK
    assert house.redis.wait_result("line-x")["state"] == "succeeded"


def test_enqueue_to_a_queue_by_name(redis, cli):
    assert cli("enqueue", "--queue", "other", "--field", "content=text").code == OK
    (payload,) = redis.waiting("other")
    assert json.loads(payload)["content"] == "text"


@pytest.mark.parametrize("file", ["--content-file", "--jsonl"])
def test_a_file_that_is_not_there_is_an_error(house, file):
    done = house.cli("enqueue", file, "/nonexistent")
    assert done.code in (FAILED, USAGE)
    assert "/nonexistent" in done.err


def test_result_shows_a_finished_job(house):
    house.redis.push({"id": "shown", "content": "text"})
    house.redis.wait_result("shown")
    done = house.cli("result", "shown", "--json")
    assert done.code == OK
    assert done.json() == house.redis.result("shown")
    assert "feedback_items" in house.cli("result", "shown").out


def test_result_exits_1_for_a_failed_job(house):
    house.redis.push({"id": "bad-result", "content": 7})
    house.redis.wait_result("bad-result")
    done = house.cli("result", "bad-result", "--json")
    assert done.code == FAILED
    assert done.json()["error"]["kind"] == "bad_job"


def test_result_of_a_job_nobody_knows(house):
    assert house.cli("result", "never-heard-of").code in (FAILED, TIMED_OUT)


def test_result_waits(house):
    house.sim.script({"do": "delay", "ms": 500}, model=PRIMARY)
    house.redis.push({"id": "slow-result", "content": "text"})
    done = house.cli("result", "slow-result", "--wait", "--json")
    assert done.code == OK
    assert done.json()["state"] == "succeeded"


def test_a_wait_that_is_too_short_exits_3(house):
    done = house.cli("result", "never-comes", "--wait", "--timeout", "0.3")
    assert done.code == TIMED_OUT
    assert done.seconds < 5


def test_a_wait_for_programs_that_is_too_short_says_where_the_job_stands(house):
    done = house.cli("result", "never-comes", "--wait", "--timeout", "0.3", "--json")
    assert done.code == TIMED_OUT
    assert done.json() == {"id": "never-comes", "state": "pending"}


def test_a_push_that_redis_refuses_is_told_in_one_line(redis, cli):
    redis.client.config_set("maxmemory", 1)
    done = cli("enqueue", "--id", "no-room", "--field", "content=text")
    redis.client.config_set("maxmemory", 0)
    assert done.code == OUT_OF_REACH
    assert done.err.startswith("headgate: ") and done.err.count("headgate:") == 1
    assert "no-room" in done.err and "maxmemory" in done.err
    assert not redis.waiting()


def test_cancel_ends_a_running_job(redis, sim, worker, cli):
    worker()
    sim.script({"do": "hang"})
    redis.push({"id": "to-cancel", "content": "text"})
    sim.wait_open(1)
    assert cli("cancel", "to-cancel").code == OK
    assert redis.wait_result("to-cancel")["state"] == "cancelled"


def test_cancel_of_a_finished_job_exits_1(house):
    house.redis.push({"id": "too-late", "content": "text"})
    house.redis.wait_result("too-late")
    assert house.cli("cancel", "too-late").code == FAILED


# ---------------------------------------------------------------- operations


def test_stats_for_people_and_for_programs(house):
    house.redis.push({"id": "for-stats", "content": "text"})
    house.redis.wait_result("for-stats")
    people = house.cli("stats")
    assert people.code == OK
    assert "analyze" in people.out
    assert PRIMARY in people.out or "Claude 3.5 Sonnet" in people.out
    programs = house.cli("stats", "--json")
    assert programs.code == OK
    text = json.dumps(programs.json())
    assert "analyze" in text and PRIMARY in text


def test_reset_cooldowns(redis, sim, worker, cli):
    process = worker()
    sim.script({"do": "throttle"}, model=PRIMARY)
    redis.push({"id": "throttled", "content": "text"})
    redis.wait_result("throttled")
    assert redis.client.exists(f"headgate:{{m:{PRIMARY}}}:cooldown")
    assert cli("reset-cooldowns").code == OK
    assert not redis.client.exists(f"headgate:{{m:{PRIMARY}}}:cooldown")
    assert process.get("/model_stats").json()["stats"]["active_cooldowns"] == 0


def test_pause_and_resume(redis, worker, cli):
    process = worker()
    assert cli("pause", "analyze").code == OK
    assert process.get("/queue_stats").json()["queues"][0]["paused"] is True
    assert cli("resume", "analyze").code == OK
    assert process.get("/queue_stats").json()["queues"][0]["paused"] is False


@pytest.fixture
def letters(redis, worker):
    """Two dead letters: one with an id and one without."""
    worker()
    payloads = [redis.push(b'{"id":"first","content":7}'), redis.push(b"second")]
    for payload in payloads:
        redis.wait_dead_letter(payload)
    return payloads


def test_dead_list_prints_the_letters(redis, cli, letters):
    done = cli("dead", "list", "--json")
    assert done.code == OK
    assert done.json_lines() == redis.dead()
    people = cli("dead", "list")
    assert people.code == OK
    assert "first" in people.out and "bad_job" in people.out


def test_dead_list_of_a_queue_without_letters_is_empty(redis, cli):
    done = cli("dead", "list", "--json", "--queue", "quiet")
    assert (done.code, done.out) == (OK, "")


def test_dead_show_prints_one_letter_and_its_payload(redis, cli, letters):
    done = cli("dead", "show", "first", "--json")
    assert done.code == OK
    assert done.json() == redis.dead_letter(letters[0])
    assert '{"id":"first","content":7}' in cli("dead", "show", "first").out


@pytest.mark.parametrize("action", ["show", "retry", "drop"])
def test_a_dead_letter_that_is_not_there_exits_1(redis, cli, letters, action):
    assert cli("dead", action, "unknown").code == FAILED
    assert len(redis.dead()) == 2


def test_dead_retry_runs_the_job_again(redis, sim, worker, cli):
    worker(HEADGATE_MAX_ATTEMPTS=1)
    sim.script({"do": "status", "status": 500, "code": "InternalServerException", "times": 3})
    payload = redis.push(b'{ "id":"again", "content":"text" }')
    assert redis.wait_result("again")["state"] == "failed"
    redis.wait_dead_letter(payload)
    assert cli("dead", "retry", "again").code == OK
    until(lambda: (r := redis.result("again")) and r["state"] == "succeeded", what="success")
    assert redis.dead() == []


def test_dead_retry_all_keeps_the_bytes(redis, cli, worker, letters):
    assert cli("pause", "analyze").code == OK
    assert cli("dead", "retry", "--all").code == OK
    assert redis.dead() == []
    assert sorted(redis.waiting()) == sorted(letters)


def test_dead_drop(redis, cli, letters):
    assert cli("dead", "drop", "first").code == OK
    assert [letter["id"] for letter in redis.dead()] == [None]
    assert cli("dead", "drop", "--all").code == OK
    assert redis.dead() == []


def test_config_shows_what_is_in_effect_and_hides_secrets(lonely):
    settings = {
        "REDIS_URL": "redis://user:hunter2@example.com:6380/4", "HEADGATE_CONCURRENCY": "77",
        "HEADGATE_HTTP_TOKEN": "open-sesame", "AWS_SESSION_TOKEN": "temporary token",
    }
    people = lonely("config", **settings)
    programs = lonely("config", "--json", **settings)
    for done in (people, programs):
        assert done.code == OK
        for secret in ("hunter2", "open-sesame", "temporary token"):
            assert secret not in done.out
        for shown in ("HEADGATE_CONCURRENCY", "77", "example.com:6380", "HEADGATE_RETRY_CAP_MS"):
            assert shown in done.out
    assert isinstance(programs.json(), dict)


def test_doctor_is_content_with_good_settings(servers, sim):
    redis = servers.redis(aof=True)
    done = CommandLine(environment(redis.url, sim.url))("doctor")
    assert done.code == OK, done.out + done.err
    for model in (PRIMARY, SECOND, THIRD):
        assert model in done.out


def test_doctor_names_an_eviction_policy_that_loses_jobs(servers, sim):
    redis = servers.redis(aof=True)
    redis.client.config_set("maxmemory-policy", "allkeys-lru")
    done = CommandLine(environment(redis.url, sim.url))("doctor")
    assert done.code == FAILED
    assert "allkeys-lru" in done.out


def test_doctor_names_missing_persistence(redis, cli):
    done = cli("doctor")
    assert done.code in (OK, FAILED)
    assert re.search("appendonly|persist|AOF", done.out)


def test_doctor_names_wrong_credentials(servers, sim):
    redis = servers.redis(aof=True)
    sim.config(secret_key="another")
    done = CommandLine(environment(redis.url, sim.url))("doctor")
    assert done.code == FAILED
    assert "credential" in (done.out + done.err).lower() or "signature" in done.out.lower()


def test_doctor_names_a_model_that_is_not_there(servers, sim):
    redis = servers.redis(aof=True)
    sim.config(known_only=True, models={PRIMARY: {}, SECOND: {}})
    done = CommandLine(environment(redis.url, sim.url))("doctor")
    assert done.code == FAILED
    assert THIRD in done.out


def test_doctor_exits_4_when_the_provider_is_out_of_reach(servers):
    redis = servers.redis(aof=True)
    done = CommandLine(environment(redis.url, CLOSED_PORT_URL))("doctor")
    assert done.code in (FAILED, OUT_OF_REACH)


def test_doctor_speaks_json(servers, sim):
    redis = servers.redis(aof=True)
    done = CommandLine(environment(redis.url, sim.url))("doctor", "--json")
    assert done.code == OK
    assert done.json()
