"""The chaos run, in small; and that who judges it sees what is wrong."""

import copy
import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from support import ROOT

CHAOS = ROOT / "tests/chaos"
sys.path.append(str(CHAOS))

from faults import kinds, schedule  # noqa: E402
from judge import empty_record, judge  # noqa: E402
from stores import connect  # noqa: E402
from traffic import Watcher  # noqa: E402

WORKER_DIES = {"kind": "kill", "slot": 0, "at": 110.0, "until": 110.0, "held": ["a"], "taken_at": 122.0}
REDIS_AWAY = {"name": "Redis kill -9", "since": 130.0, "to": 132.0, "queues": ["analyze"]}


def run_chaos(tmp_path, **settings):
    """(exit code, what it printed, its record)"""
    env = {**os.environ, "WORKERS": "2", "LENIENCY": "20", "RECORD": str(tmp_path / "record.json"), **settings}
    done = subprocess.run([sys.executable, str(CHAOS / "chaos.py")], env=env, capture_output=True,
                          text=True, timeout=240)
    assert (tmp_path / "record.json").exists(), done.stdout + done.stderr
    return done.returncode, done.stdout, json.loads((tmp_path / "record.json").read_text())


@pytest.mark.parametrize("topology", ["single", "sentinel", "cluster"])
def test_a_small_chaos_run_keeps_every_promise(tmp_path, topology):
    code, said, record = run_chaos(tmp_path, TOPOLOGY=topology, JOBS="200", SECONDS="8", SEED="3")
    assert code == 0, said
    assert len(record["jobs"]) >= 200 and len(record["calls"]) >= 150
    assert "lost: 0" in said and "doubly final: 0" in said


# ---- a judge that sees nothing is worth nothing ----


def job(**fields):
    return {"kind": "plain", "queue": "analyze", "unclear": 0, "pushed_at": 100.0, **fields}


def result(name, **fields):
    return {"id": name, "queue": "analyze", "state": "succeeded", "model": "m", "started_at": 101.0,
            "finished_at": 101.5, **fields}


def call(name, at, outcome="ok"):
    return {"id": name, "at": at, "ms": 200, "model": "m", "outcome": outcome}


@pytest.fixture
def record():
    """A good run: `a` died with its worker and was called again, Redis went away and came back."""
    names = ["a", "b", "c", "e"]
    return empty_record(
        began=100.0, seconds=60.0,
        jobs={"a": job(), "b": job(kind="replied"), "c": job(run_at=125.0),
              "e": job(kind="expires", expires_at=140.0), "x": job(kind="bad")},
        results={"a": result("a", started_at=122.0, finished_at=122.5), "b": result("b"),
                 "c": result("c", finished_at=132.4), "e": result(
                     "e", state="expired", finished_at=140.5,
                     error={"kind": "expired", "message": "not started before expires_at"})},
        replies=dict.fromkeys(names, 1), shared={"b": 1},
        letters=[{"queue": "analyze", "id": None, "kind": "bad_job"}],
        calls=[call("a", 109.9), call("a", 122.1), call("b", 101.1), call("c", 132.2)],
        deaths=[WORKER_DIES], outages=[REDIS_AWAY],
        remains={"headgate:{analyze}:result:a": 1, "headgate:{analyze}:stats": 4,
                 "headgate:{m:m}:stats": 1, "{analyze}replies": 1},
    )


def test_a_good_run_is_not_complained_about(record):
    broken, figures = judge(record)
    assert broken == []
    assert figures["lost"] == 0
    assert figures["longest wait after a kill, until the next call or the end"].startswith("12.1 s")
    assert figures["longest silence after Redis was back"].startswith("0.20 s")


def lose(record):
    del record["results"]["b"]


def fail(record):
    record["results"]["b"]["state"] = "failed"


def end_twice(record):
    record["replies"]["a"] = 2


def copy_twice(record):
    record["shared"]["b"] = 2


def swap(record):
    record["results"]["a"]["id"] = "b"


def forget_a_letter(record):
    record["letters"].clear()


def add_a_letter(record):
    record["letters"].append({"queue": "analyze", "id": None, "kind": "bad_job"})


def give_up(record):
    record["results"]["a"].update(state="failed", error={"kind": "crashed"})
    record["letters"].append({"queue": "analyze", "id": "a", "kind": "crashed"})


def call_without_a_reason(record):
    record["calls"].append(call("b", 101.3))


def call_when_final(record):
    record["calls"].append(call("b", 103.0, "aborted"))


def call_too_soon(record):
    record["calls"].append(call("c", 120.0, "throttled"))


def expire_too_soon(record):
    record["results"]["e"]["finished_at"] = 135.0


def expire_with_an_excuse(record):
    record["results"]["e"].update(finished_at=135.0, error={
        "kind": "expired", "message": "no model takes a call for another 4.0 s"})


def start_expired(record):
    record["results"]["e"].update(state="succeeded", started_at=141.0)


def take_over_late(record):
    record["deaths"][0] = {**WORKER_DIES, "taken_at": 126.0}


def take_over_never(record):
    record["deaths"][0] = {**WORKER_DIES, "taken_at": None}


def call_late(record):
    record["calls"][1]["at"] = record["results"]["a"]["finished_at"] = 126.0


def be_silent(record):
    record["calls"][-1]["at"] = record["results"]["c"]["finished_at"] = 134.1


def leave_a_record(record):
    record["remains"]["headgate:{analyze}:inflight:w"] = 1


def leave_a_stranger(record):
    record["remains"]["headgate:{analyze}:result:nobody"] = 1


def complain(record):
    record["complaints"].append("in two places at one moment: a")


@pytest.mark.parametrize("tamper, complaint", [
    (lose, "1 jobs have no end: ['b']"),
    (fail, "b (replied) ended failed"),
    (end_twice, "1 jobs have not exactly one reply"),
    (copy_twice, "1 jobs have not exactly one reply"),
    (swap, "a (plain) has the result of b"),
    (forget_a_letter, "1 bad jobs, pushed again 0 times, but 0 letters"),
    (add_a_letter, "but 2 letters"),
    (give_up, "a (plain) is given up as crashed after 1 deaths"),
    (call_without_a_reason, "1 calls were repeated without a reason: ['b']"),
    (call_when_final, "calls were made for results that stood already: ['b']"),
    (call_too_soon, "calls were made before the job's run_at: ['c']"),
    (expire_too_soon, "e (expires) expired 5.0 s too soon"),
    (expire_with_an_excuse, "e (expires) expired 5.0 s too soon"),
    (start_expired, "e (expires) was started 1.0 s after it expired"),
    (take_over_late, "1 jobs were taken over 16.0 s after a worker's kill"),
    (take_over_never, "left a record"),
    (call_late, "a waited 16.0 s after its worker's kill"),
    (be_silent, "nothing of analyze happened for 2.10 s after 'Redis kill -9'"),
    (leave_a_record, "something is left in headgate:{analyze}:inflight:w"),
    (leave_a_stranger, "nobody pushed the job of headgate:{analyze}:result:nobody"),
    (complain, "in two places at one moment"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_each_broken_promise_is_seen(record, tamper, complaint):
    tampered = copy.deepcopy(record)
    tamper(tampered)
    broken, _ = judge(tampered)
    assert any(complaint in what for what in broken), broken


# ---- and so is who watches meanwhile ----


@pytest.fixture
def watcher(redis):
    """Three jobs that were acknowledged, seen in this test's Redis; what it says is in `said`."""
    said = []
    store = SimpleNamespace(client_of=lambda _queue, timeout: connect(redis, timeout))
    house = SimpleNamespace(store=store, complain=said.append)
    producer = SimpleNamespace(jobs={name: job() for name in ("a", "b", "c")})
    watcher = Watcher(house, producer, threading.Lock())
    watcher.said = said
    redis.push({"id": "a"})
    redis.client.zadd("headgate:{analyze}:workers", {"w": 1})
    redis.client.hset("headgate:{analyze}:inflight:w", "1", '{"id":"b"}')
    redis.client.hset("headgate:{analyze}:delayed:jobs", "c", '0 1 0 c\n{"id":"c"}')
    return watcher


def test_jobs_in_one_place_each_are_fine(watcher):
    watcher.look("analyze")
    assert watcher.said == []


def test_a_job_in_two_places_is_seen(watcher, redis):
    redis.client.lpush("headgate:{analyze}:inbox", '{"id":"a"}')
    watcher.look("analyze")
    assert watcher.said == ["in two places at one moment: {'a': ['queue', 'inbox']}"]


def test_a_job_in_no_place_is_seen_and_one_that_is_final_is_none(watcher, redis):
    redis.client.delete("analyze", "headgate:{analyze}:delayed:jobs")
    redis.client.set("headgate:{analyze}:result:c", '{"state":"succeeded"}')
    watcher.look("analyze")
    assert watcher.said == ["in no place at one moment: ['a']"]


def test_a_final_job_that_is_still_somewhere_is_seen(watcher, redis):
    redis.client.delete("analyze")
    redis.client.set("headgate:{analyze}:result:a", '{"state":"succeeded"}')
    watcher.look("analyze")
    redis.push({"id": "a"})
    watcher.look("analyze")
    assert watcher.said == ["in two places at one moment: {'a': ['queue', 'final']}"]


# ---- what is done, and when ----


@pytest.mark.parametrize("topology", ["single", "sentinel", "cluster"])
def test_a_seed_gives_the_same_faults_and_a_long_run_each_kind(topology):
    plan = schedule(7, 900, 4, topology)
    assert plan == schedule(7, 900, 4, topology) != schedule(8, 900, 4, topology)
    assert {name for _, name, _, _ in plan} == set(kinds(topology))
    assert len(plan) > 200
