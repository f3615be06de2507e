"""What others wrote forges no line of a log or a list, and steers no terminal."""

import base64
import json
import re

import pytest

from support import until

# Line ends of all kinds, escape sequences (ESC and the one-byte CSI), bell, DEL, marks that turn
# the direction of writing, a bad byte's replacement.
NASTY = "x\r\ntime=now level=error msg=\"forged\"\x1b]0;title\x07\x1b[2J\x9b31m\x7f\x85y\u2028z\u2029\u202etxt\u2066\v\f"
# An id has no control characters, but everything else.
NASTY_ID = 'id" level=error \u2028\u202e\\\u2066 job=none'
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def assert_harmless(text):
    found = STEERING.search(text)
    assert not found, text[max(0, found.start() - 60):found.end() + 20].encode("unicode-escape")


def push_all_kinds(redis, sim):
    """Jobs whose every text is nasty; some succeed, some die. Their ids."""
    nasty = {"tenant": NASTY, "user_id": NASTY, "session_id": NASTY, "section_name": NASTY,
             "doc_type": NASTY, "metadata": {NASTY: NASTY}, "reply_to": "headgate:" + NASTY}
    sim.script({"do": "status", "status": 400, "code": "ValidationException", "message": NASTY,
                "times": 3})
    refused = NASTY_ID + "refused"
    redis.push({"id": refused, "content": NASTY, **nasty})
    redis.wait_result(refused)
    sim.script({"do": "text", "text": NASTY})
    redis.push({"id": NASTY_ID, "type": "chat", "query": NASTY, **nasty})
    redis.push({"id": NASTY_ID + "bad", "content": "x", NASTY: 1, "type": NASTY})
    redis.push(f'{{"id":"{NASTY}'.encode())
    for job_id in (NASTY_ID, NASTY_ID + "bad"):
        redis.wait_result(job_id)
    until(lambda: len(redis.dead()) >= 2, what="the dead letters")
    return [refused, NASTY_ID, NASTY_ID + "bad"]


@pytest.mark.parametrize("log", ["text", "json"])
def test_every_event_is_one_line_of_the_log(redis, sim, worker, log):
    process = worker(HEADGATE_LOG=log, HEADGATE_LOG_LEVEL="debug",
                     HEADGATE_QUEUES="analyze,odd\u2028queue\u202e")
    push_all_kinds(redis, sim)
    redis.push({"id": "odd", "content": "mark-odd"}, queue="odd\u2028queue\u202e")
    redis.wait_result("odd", queue="odd\u2028queue\u202e")
    process.get("/task_status/" + "%1b%5b2J%0a%e2%80%a8")
    process.get("/x", headers={"X-Odd": "\x9b31m"})
    process.end()
    text = process.log()
    assert_harmless(text)
    assert len(text.splitlines()) == text.count("\n")
    for line in text.splitlines():
        if log == "json":
            assert json.loads(line)["level"] in ("debug", "info", "warn", "error")
        else:
            assert re.match(r"time=\d{4}-\S+Z level=(debug|info|warn|error) msg=", line), line


FORGED_LETTERS = [
    json.dumps({"id": NASTY, "queue": NASTY, "kind": NASTY, "message": NASTY, "at": 1.5,
                "payload_base64": base64.b64encode(NASTY.encode()).decode()}).encode(),
    json.dumps({"id": "pretty\x9b", "kind": "k\u2028", "message": "m\u202e"}, indent=2,
               ensure_ascii=False).encode(),
    b"no JSON \x1b[2J\n at all \xff", b"[1]", b'"a string"', b'{"id":7,"message":[]}', b"",
]


def test_lists_of_dead_letters_are_not_forged(house):
    redis, cli = house.redis, house.cli
    queue = "forged"
    redis.client.rpush("headgate:{forged}:dead", *FORGED_LETTERS)
    done = cli("dead", "list", "--queue", queue)
    assert done.code == 0
    assert_harmless(done.out)
    assert len(done.out.splitlines()) == len(FORGED_LETTERS)
    letters = cli("dead", "list", "--queue", queue, "--json")
    assert_harmless(letters.out)
    objects = letters.json_lines()
    assert len(objects) == len(FORGED_LETTERS)
    assert all(isinstance(letter, dict) for letter in objects)
    assert objects[0] == json.loads(FORGED_LETTERS[0])
    assert objects[1] == json.loads(FORGED_LETTERS[1])
    assert base64.b64decode(objects[2]["payload_base64"]) == FORGED_LETTERS[2]
    for verb in ("show", "retry"):
        done = cli("dead", verb, "--all", "--queue", queue)
        assert_harmless(done.out + done.err)
    assert cli("dead", "drop", "--all", "--queue", queue).code == 0
    assert redis.client.llen("headgate:{forged}:dead") == 0


def test_results_do_not_steer_the_terminal(redis, sim, worker, cli):
    worker()
    for job_id in push_all_kinds(redis, sim):
        for arguments in (["result", job_id], ["result", job_id, "--json"], ["cancel", job_id],
                          ["dead", "show", job_id]):
            done = cli(*arguments)
            assert_harmless(done.out + done.err)
        assert cli("result", job_id, "--json").json()["id"] == job_id
    redis.client.set("headgate:{analyze}:result:forged", NASTY)
    for arguments in (["result", "forged"], ["result", "forged", "--json"]):
        done = cli(*arguments)
        assert_harmless(done.out + done.err)
