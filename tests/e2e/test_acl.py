"""Users with as few rights in Redis as docs/security.md says: all works, and nothing more."""

import re

import pytest
import redis as redis_client

from headgate import CommandLine, environment
from services import SERVER_VERSION
from support import ROOT

USERS = ("worker", "operator", "producer")


def documented_users():
    """The ACL file of docs/security.md; the tests themselves look on as the default user."""
    text = (ROOT / "docs/security.md").read_text()
    lines = re.findall(r"^user .*$", text, re.M)
    assert lines[0] == "user default off" and len(lines) == 1 + len(USERS)
    if SERVER_VERSION < (7,):
        lines = [re.sub(r" \(.*\)", " ~analyze +rpush", line) for line in lines]
    return ["user default on nopass ~* &* +@all", *lines[1:]]


@pytest.fixture
def guarded(servers, tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("\n".join(documented_users()) + "\n")
    redis = servers.redis(aof=True, arguments=("--aclfile", str(path)))
    return redis


def url_as(redis, user):
    return f"redis://headgate-{user}:{user.upper()}-PASSWORD@127.0.0.1:{redis.port}/0"


def cli_as(redis, user, sim):
    return CommandLine(environment(url_as(redis, user), sim.url))


def refusals(redis):
    return [(e["username"], e["reason"], e["object"]) for e in redis.client.acl_log()]


def job(name, **fields):
    return {"id": name, "content": f"mark-{name}", **fields}


@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
def test_the_worker_needs_no_more_than_its_documented_rights(guarded, sim, servers, delivery):
    worker = servers.worker(url_as(guarded, "worker"), sim.url, HEADGATE_DELIVERY=delivery)
    sim.script({"do": "throttle"}, {"do": "status", "status": 500})
    names = [f"j{n}" for n in range(8)]
    for name in names:
        guarded.push(job(name, reply_to=f"replies:{name}", track_started=True))
    guarded.push(b"this is no job")
    guarded.push(job("later", run_at=1))
    for name in [*names, "later"]:
        assert guarded.wait_result(name)["state"] == "succeeded"
    assert all(guarded.client.llen(f"replies:{name}") == 1 for name in names)
    guarded.wait_dead_letter(b"this is no job")
    for path in ("/model_stats", "/queue_stats", "/metrics", "/task_status/j1"):
        assert worker.get(path).status == 200
    assert worker.post("/analyze_section?wait=20", {"content": "mark-http"}).status == 200
    assert worker.post("/cancel_task/j1").status == 200
    assert worker.post("/reset_model_cooldowns").status == 200
    worker.end()
    assert refusals(guarded) == []


def test_a_dead_workers_jobs_are_taken_over_under_these_rights(guarded, sim, servers):
    sim.script({"do": "hang"})
    url = url_as(guarded, "worker")
    first = servers.worker(url, sim.url)
    guarded.push(job("orphan"))
    sim.wait_open(1)
    first.kill()
    servers.worker(url, sim.url)
    assert guarded.wait_result("orphan", timeout=20)["state"] == "succeeded"
    assert refusals(guarded) == []


def test_every_verb_works_with_the_operators_rights(guarded, sim, servers):
    servers.worker(url_as(guarded, "worker"), sim.url)
    cli = cli_as(guarded, "operator", sim)
    guarded.push(b'{"id":"sick","content":7}')
    guarded.wait_result("sick")
    for verb in (["enqueue", "--field", "content=text", "--wait"], ["stats"], ["dead", "list"],
                 ["dead", "show", "sick"], ["dead", "retry", "sick"], ["pause", "analyze"],
                 ["resume", "analyze"], ["reset-cooldowns"], ["cancel", "nobody"]):
        done = cli(*verb)
        assert done.code == 0, (verb, done.out, done.err)
    guarded.wait_dead_letter(b'{"id":"sick","content":7}')
    assert cli("dead", "drop", "--all").code == 0
    assert refusals(guarded) == []


@pytest.mark.skipif(SERVER_VERSION < (7,), reason="groups of rights need Redis 7")
def test_the_producer_pushes_and_waits_and_can_do_nothing_else(guarded, sim, servers):
    servers.worker(url_as(guarded, "worker"), sim.url)
    done = cli_as(guarded, "producer", sim)("enqueue", "--field", "content=text", "--wait")
    assert done.code == 0, done.err
    mine = redis_client.Redis(port=guarded.port, username="headgate-producer",
                              password="PRODUCER-PASSWORD")
    mine.rpush("analyze", '{"id":"plain","content":"mark-plain"}')
    assert mine.blpop("headgate:{analyze}:reply:plain", timeout=20)
    assert b"succeeded" in mine.get("headgate:{analyze}:result:plain")
    assert refusals(guarded) == []
    for forbidden in (("LRANGE", "analyze", 0, -1), ("LPOP", "analyze"), ("KEYS", "*"),
                      ("DEL", "headgate:{analyze}:result:plain"), ("FLUSHALL",),
                      ("SET", "headgate:{analyze}:result:plain", "forged"), ("CONFIG", "GET", "*"),
                      ("RPUSH", "headgate:{analyze}:dead", "x"), ("GET", "analyze"),
                      ("EVAL", "return redis.call('SET', KEYS[1], 'forged')", 1,
                       "headgate:{analyze}:result:plain")):
        with pytest.raises(redis_client.exceptions.ResponseError, match="(?i)permission|can.t run this"):
            mine.execute_command(*forbidden)


def test_a_list_beyond_the_workers_rights_gets_no_reply_and_the_job_its_result(
        guarded, sim, servers):
    worker = servers.worker(url_as(guarded, "worker"), sim.url)
    guarded.push(job("greedy", reply_to="billing"))
    assert guarded.wait_result("greedy")["state"] == "succeeded"
    worker.wait_for_log("reply_to is left out")
    assert not guarded.client.exists("billing")


# ---------------------------------------------------------------- doctor


def test_doctor_is_content_with_the_documented_worker(guarded, sim):
    done = cli_as(guarded, "worker", sim)("doctor", "--no-calls", "--json")
    checks = {check["check"]: check for check in done.json()["checks"]}
    assert checks["Redis rights"]["status"] == "OK", done.out
    assert done.code == 0


@pytest.mark.parametrize("rule, named", [
    ("-blmove", "+blmove"), ("-hsetnx -zcard", "+zcard"), ("-evalsha", "+evalsha"),
    ("-subscribe", "+subscribe"), ("resetchannels", "&headgate:{analyze}:*"),
    ("resetkeys ~analyze ~headgate:{m:*}:*", "~headgate:{analyze}:*"),
    ("resetkeys ~analyze ~headgate:{analyze}:*", "~headgate:{m:*}:*"),
    ("resetkeys ~headgate:*", "~analyze"),
])
def test_doctor_names_each_missing_right_and_its_line_mends_it(guarded, sim, rule, named):
    guarded.client.execute_command("ACL", "SETUSER", "headgate-worker", *rule.split())
    cli = cli_as(guarded, "worker", sim)
    done = cli("doctor", "--no-calls", "--json")
    rights = next(c for c in done.json()["checks"] if c["check"] == "Redis rights")
    assert done.code == 1 and rights["status"] == "FAIL"
    line = rights["advice"].split(" (")[0].split()
    assert named in line and line[:3] == ["ACL", "SETUSER", "headgate-worker"]
    lacking = [word for word in rule.split() if word[0] == "-"]
    assert len(line) - 3 == max(1, len(lacking)), "only what is missing"
    guarded.client.execute_command(*line)
    assert cli("doctor", "--no-calls").code == 0


def test_doctor_leaves_nothing_behind(guarded, sim):
    cli_as(guarded, "worker", sim)("doctor", "--no-calls")
    assert guarded.client.dbsize() == 0
