"""What pacing says of itself: why a job waits, until when, and whether more workers would help."""

import json
import shutil
import subprocess
import time

from services import PRIMARY, SECOND, THIRD
from support import until
from test_pacing import MODELS, fill, pace_key, push


def queue_of(process):
    return process.get("/queue_stats").json()["queues"][0]


def pace_of(process, model):
    models = process.get("/model_stats").json()["stats"]["models"]
    return next(m for m in models if m["id"] == model)["pace"]


def metric(process, name):
    lines = process.get("/metrics").body.decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), None)


def wait_for_backlog(redis, process, count=400):
    """More jobs than the models have room for, so that most stay in Redis."""
    for n in range(count):
        push(redis, f"backlog-{n}")
    until(lambda: queue_of(process)["waits_for"] == "quota", what="a queue that waits for a quota")


def test_when_no_model_has_room_everything_says_so_and_until_when(redis, sim, worker, cli):
    for model in MODELS:
        fill(redis, model, 5, quota=2)
    process = worker()
    wait_for_backlog(redis, process)
    assert 0 <= queue_of(process)["waits_seconds"] <= 5
    pace = pace_of(process, PRIMARY)
    assert (pace["waits_for"], pace["configured_rpm"]) == ("quota", None)
    assert 110 <= pace["learned_rpm"] <= 120 and 0 <= pace["next_permit_seconds"] <= 5
    until(lambda: sum(pace_of(process, m)["jobs_waiting_here"] for m in MODELS) > 0,
          what="jobs that wait for a permit")
    assert metric(process, "headgate_provider_limited") == 1
    assert metric(process, label("headgate_model_limited", PRIMARY, reason="quota")) == 1
    assert metric(process, label("headgate_model_limited", PRIMARY, reason="outage")) == 0
    screen = cli("stats").out
    assert "every model is at its quota: next permit in" in screen
    assert screen.count("quota, next in") == 3
    queue = json.loads(cli("stats", "--json").out)["queues"][0]
    assert queue["waits_for"] == "quota"
    check_with_promtool(process)


def label(name, model, **more):
    labels = "".join(f',{key}="{value}"' for key, value in more.items())
    return f'{name}{{model="{model}"{labels}}}'


def check_with_promtool(process):
    promtool = shutil.which("promtool")
    if promtool:
        text = process.get("/metrics").body
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_jobs_that_were_put_away_until_there_is_room_say_so_too(redis, sim, worker, cli):
    process = worker()
    for model in MODELS:
        fill(redis, model, 600, quota=2)
    push(redis, "put-away")
    until(lambda: queue_of(process)["delayed"] == 1, what="a job that is put away")
    assert queue_of(process)["waits_for"] == "quota"
    assert queue_of(process)["waits_seconds"] > 300
    assert "every model is at its quota: next permit in" in cli("stats").out


def test_an_outage_is_told_from_a_quota(redis, sim, worker, cli):
    now = time.time()
    for model in MODELS:
        fill(redis, model, 0, quota=2)
        redis.client.hset(pace_key(model), mapping={"pause": now + 600, "pause_s": 4})
    process = worker()
    push(redis, "unlucky", prefer="primary")
    until(lambda: pace_of(process, PRIMARY)["waits_for"] == "outage", what="the outage")
    assert "outage, next try in" in cli("stats").out


def test_a_full_primary_is_no_reason_to_wait_while_a_fallback_has_room(redis, sim, worker):
    fill(redis, PRIMARY, 600, quota=2)
    process = worker()
    push(redis, "content")
    redis.wait_result("content")
    until(lambda: pace_of(process, PRIMARY)["waits_for"] == "quota", what="the full primary")
    assert pace_of(process, SECOND)["waits_for"] is None
    assert queue_of(process)["waits_for"] is None
    assert metric(process, "headgate_provider_limited") == 0


def test_more_workers_would_help_when_the_slots_are_full(redis, sim, worker, cli):
    process = worker(HEADGATE_CONCURRENCY=1)
    sim.script({"do": "hang"})
    push(redis, "long")
    sim.wait_open(1)
    push(redis, "next")
    assert queue_of(process)["waits_for"] == "slots"
    assert metric(process, "headgate_provider_limited") == 0
    assert metric(process, "headgate_slots_busy") == metric(process, "headgate_slots_total") == 1
    assert "the workers are busy" in cli("stats").out


def test_a_paused_queue_and_one_without_workers_say_so(redis, cli):
    push(redis, "lonely")
    assert "no worker lives" in cli("stats").out
    assert cli("pause", "analyze").code == 0
    assert "paused" in cli("stats").out


def test_where_calls_are_not_paced_a_cooldown_is_shown(redis, sim, worker, cli):
    process = worker(HEADGATE_POLICY="v2")
    sim.script({"do": "throttle"}, model=PRIMARY)
    push(redis, "refused")
    redis.wait_result("refused")
    pace = until(lambda: pace_of(process, PRIMARY)["waits_for"] and pace_of(process, PRIMARY),
                 what="the cooldown")
    assert pace["waits_for"] == "cooldown"
    assert pace["learned_rpm"] is None and pace["permits_per_minute"] is None
    assert "cooldown, ends in" in cli("stats").out


def test_what_was_sent_and_refused_is_shown_by_the_minute(redis, sim, worker):
    process = worker()
    sim.script({"do": "throttle"}, model=PRIMARY)
    for n in range(10):
        push(redis, f"counted-{n}")
        redis.wait_result(f"counted-{n}")
    pace = pace_of(process, PRIMARY)
    assert pace["permits_per_minute"] > 0 and pace["refusals_per_1000"] > 0
    assert pace["utilisation"] > 0 and pace["learned_rpm"] > 0
    assert pace_of(process, THIRD)["permits_per_minute"] is None


def test_a_configured_limit_is_kept_and_shown(redis, sim, worker, cli, tmp_path):
    file = tmp_path / "headgate.json"
    file.write_text(json.dumps({"models": [{"name": f"bedrock/{PRIMARY}", "rpm": 60}]}))
    process = worker(HEADGATE_CONFIG=file)
    for n in range(60):
        push(redis, f"capped-{n}")
    for n in range(60):
        assert redis.wait_result(f"capped-{n}")["state"] == "succeeded"
    # What may be overdue, and a permit a second.
    assert sim.stats_of(PRIMARY)["calls"] < 40
    assert pace_of(process, PRIMARY)["configured_rpm"] == 60
    assert "of 60" in cli("stats", HEADGATE_CONFIG=str(file)).out
