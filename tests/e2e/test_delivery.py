"""Section 3 of the contract: nothing is lost, nothing is written twice, whoever dies."""

import json
import signal
import time

import pytest

from services import PRIMARY
from support import stays, until

NEVER = {"do": "hang", "times": 1000}
LEASE = 2


def job(name, **fields):
    return {"id": name, "content": f"mark-{name}", **fields}


def push_all(redis, names, queue="analyze"):
    return [redis.push(job(name), queue) for name in names]


def assert_all_succeeded(redis, names, timeout=10):
    for name in names:
        assert redis.wait_result(name, timeout)["state"] == "succeeded"
        assert len(redis.replies(name)) == 1, name


def test_jobs_of_a_killed_worker_are_taken_over(redis, sim, worker):
    first, names = worker(), [f"orphan-{n}" for n in range(5)]
    sim.script({"do": "hang", "times": 5})
    push_all(redis, names)
    sim.wait_open(5)
    first.kill()
    killed = time.monotonic()
    worker()
    assert_all_succeeded(redis, names)
    assert time.monotonic() - killed < LEASE + 6
    assert {redis.result(name)["attempt"] for name in names} == {1}, "an attempt was spent"


def test_jobs_of_a_killed_worker_go_back_to_the_head_in_their_order(redis, sim, worker, cli):
    first = worker(HEADGATE_CONCURRENCY=4)
    sim.script(NEVER)
    payloads = push_all(redis, [f"order-{n}" for n in range(4)])
    sim.wait_open(4)
    payloads += push_all(redis, ["behind"])
    assert cli("pause", "analyze").code == 0
    first.kill()
    worker()
    until(lambda: redis.waiting() == payloads, LEASE + 6, "the jobs in their order")


def test_a_live_worker_keeps_a_call_that_is_longer_than_its_lease(redis, sim, worker):
    worker()
    worker()
    sim.script({"do": "delay", "ms": (LEASE + 2) * 1000})
    redis.push(job("long-call"))
    assert_all_succeeded(redis, ["long-call"])
    assert len(sim.calls("mark-long-call")) == 1


def test_a_job_whose_workers_died_three_times_is_given_up(redis, sim, worker):
    sim.script(NEVER, model=PRIMARY)
    payload = redis.push(job("poison", reply_to="poison:replies"))
    for death in range(1, 4):
        victim = worker()
        sim.wait_calls(death, timeout=LEASE + 8)
        victim.kill()
    worker()
    letter = redis.wait_dead_letter(payload, timeout=LEASE + 8)
    assert (letter["kind"], letter["id"]) == ("crashed", "poison")
    result = redis.wait_result("poison")
    assert (result["state"], result["error"]["kind"]) == ("failed", "crashed")
    assert sim.stats()["calls"] == 3
    assert len(redis.client.lrange("poison:replies", 0, -1)) == 1


def test_sigterm_lets_running_jobs_finish_and_takes_no_new_ones(redis, sim, worker):
    process = worker(HEADGATE_CONCURRENCY=3)
    sim.config(default={"latency_ms": 800})
    running, waiting = ["run-1", "run-2", "run-3"], ["wait-1", "wait-2"]
    push_all(redis, running)
    sim.wait_open(3)
    left = push_all(redis, waiting)
    process.term()
    assert process.wait() == 0
    assert redis.waiting() == left
    assert_all_succeeded(redis, running, timeout=0)


def test_an_idle_worker_ends_at_once_on_sigterm(redis, worker):
    process = worker()
    began = time.monotonic()
    process.term()
    assert process.wait() == 0
    assert time.monotonic() - began < 2


def test_sigint_drains_too(redis, sim, worker):
    process = worker()
    sim.script({"do": "delay", "ms": 500})
    redis.push(job("interrupted"))
    sim.wait_open(1)
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    assert_all_succeeded(redis, ["interrupted"], timeout=0)


def test_jobs_that_outlast_the_drain_go_back_to_the_head_unharmed(redis, sim, worker):
    process = worker(HEADGATE_CONCURRENCY=3, HEADGATE_DRAIN_SECONDS=0.3)
    sim.script(NEVER)
    payloads = [b'{ "id":"spaced", "content" : "mark-spaced" ,"\\u00e4":1.50}']
    redis.push(payloads[0])
    payloads += push_all(redis, ["second", "third"])
    sim.wait_open(3)
    payloads += push_all(redis, ["fourth", "fifth"])
    began = time.monotonic()
    process.term()
    assert process.wait() == 0
    assert 0.25 <= time.monotonic() - began < 3
    assert redis.waiting() == payloads

    until(lambda: sim.stats()["open"] == 0, what="aborted calls")
    sim.reset()
    worker()
    for name in ("spaced", "second", "third", "fourth", "fifth"):
        assert redis.wait_result(name)["attempt"] == 1


def test_a_second_sigterm_returns_the_jobs_at_once(redis, sim, worker):
    process = worker(HEADGATE_DRAIN_SECONDS=60)
    sim.script(NEVER)
    payloads = push_all(redis, ["one", "two"])
    sim.wait_open(2)
    process.term()
    until(lambda: process.readiness() == 503, what="a drain that shows in /readyz")
    assert process.is_alive()
    began = time.monotonic()
    process.term()
    assert process.wait() == 0
    assert time.monotonic() - began < 2
    assert redis.waiting() == payloads


def test_sigtstp_goes_quiet_and_sigcont_resumes(redis, sim, worker):
    process = worker()
    sim.script({"do": "delay", "ms": 300})
    redis.push(job("before"))
    sim.wait_open(1)
    process.signal(signal.SIGTSTP)
    until(lambda: process.readiness() == 503, what="quiet in /readyz")
    payload = redis.push(job("meanwhile"))
    assert_all_succeeded(redis, ["before"])
    stays(lambda: redis.waiting() == [payload], 0.5, "the job in the list")
    assert process.is_alive()
    process.cont()
    assert_all_succeeded(redis, ["meanwhile"])
    assert process.is_ready()


def test_a_worker_that_slept_longer_than_its_lease_writes_nothing_twice(redis, sim, worker):
    sleeper = worker()
    sim.script({"do": "delay", "ms": 500})
    redis.push(job("slept", reply_to="slept:replies"))
    sim.wait_open(1)
    sleeper.stop()
    other = worker()
    result = redis.wait_result("slept", LEASE + 8)
    assert result["state"] == "succeeded"
    other.term()
    assert other.wait() == 0

    sleeper.cont()
    redis.push(job("awake"))
    assert_all_succeeded(redis, ["awake"])
    assert redis.result("slept") == result
    assert redis.result("awake")["worker"] != result["worker"]
    assert len(redis.replies("slept")) == 1
    assert redis.client.llen("slept:replies") == 1


@pytest.mark.parametrize("end", ["shut_down", "kill"])
def test_a_worker_survives_the_restart_of_redis(servers, sim, worker, end):
    redis = servers.redis(aof=True, arguments=("--appendfsync", "always"))
    process = worker(redis_url=redis.url)
    sim.script({"do": "delay", "ms": 600}, model=PRIMARY)
    redis.push(job("during"))
    sim.wait_open(1)
    getattr(redis, end)()
    until(lambda: process.readiness() == 503, what="a red /readyz")
    assert process.get("/healthz").status in (200, 503)
    until(lambda: sim.stats()["open"] == 0, what="the answer while Redis is away")

    redis.up()
    back = time.monotonic()
    redis.push(job("after"))
    assert_all_succeeded(redis, ["after", "during"])
    assert time.monotonic() - back < 5
    until(process.is_ready, what="a green /readyz")
    assert len(sim.calls("mark-during")) == 1, "paid twice"


def test_a_worker_that_starts_without_redis_waits_for_it(servers, redis, sim, worker):
    redis.shut_down()
    process = worker(wait_ready=False)
    until(lambda: process.readiness() == 503, what="a red /readyz")
    redis.up()
    redis.push(job("late-redis"))
    assert_all_succeeded(redis, ["late-redis"])


def test_living_workers_keep_their_calls_when_redis_was_away_longer_than_a_lease(
    servers, sim, worker
):
    redis = servers.redis(aof=True, arguments=("--appendfsync", "always"))
    processes = [worker(redis_url=redis.url, HEADGATE_CONCURRENCY=2) for _ in range(4)]
    sim.script({"do": "delay", "ms": (LEASE + 3) * 1000, "times": 8}, model=PRIMARY)
    names = [f"held-{n}" for n in range(8)]
    push_all(redis, names)
    sim.wait_open(8)
    redis.kill()
    for process in processes:
        until(lambda: process.readiness() == 503, what="a red /readyz")
    stays(lambda: True, LEASE + 0.5)
    redis.up()
    assert_all_succeeded(redis, names, 15)
    assert [len(sim.calls(f"mark-{name}")) for name in names] == [1] * len(names), "paid twice"


def test_a_frozen_redis_is_survived(redis, sim, worker):
    process = worker()
    redis.push(job("warm"))
    redis.wait_result("warm")
    redis.stop()
    until(lambda: process.readiness() == 503, 15, "a red /readyz")
    redis.cont()
    redis.push(job("thawed"))
    assert_all_succeeded(redis, ["thawed"])


def test_a_queue_whose_keys_a_newer_version_has_laid_out_is_left_alone(redis, worker):
    process = worker()
    redis.client.hset("headgate:{analyze}:stats", "layout", 1000)
    until(lambda: "newer" in process.get("/readyz").body.decode(), what="the reason in /readyz")
    assert process.readiness() == 503
    another = worker(wait_ready=False)
    until(lambda: another.readiness() == 503, what="a red /readyz")
    redis.push(job("later"))
    until(lambda: redis.client.zcard("headgate:{analyze}:workers") <= 1, what="no second worker")
    stays(lambda: redis.result("later") is None, LEASE + 0.5)
    redis.client.hdel("headgate:{analyze}:stats", "layout")
    assert_all_succeeded(redis, ["later"])
    assert redis.client.hget("headgate:{analyze}:stats", "layout") == b"1"


def test_a_script_flush_goes_unnoticed(redis, worker):
    worker()
    for n in range(5):
        redis.client.script_flush()
        redis.push(job(f"flushed-{n}"))
        assert_all_succeeded(redis, [f"flushed-{n}"])
        assert redis.result(f"flushed-{n}")["attempt"] == 1


def test_killed_connections_lose_no_job(redis, sim, worker):
    worker(HEADGATE_CONCURRENCY=20)
    sim.config(default={"latency_ms": 20})
    names = [f"storm-{n}" for n in range(300)]
    for n, name in enumerate(names):
        redis.push(job(name))
        if n % 20 == 0:
            kill_all_connections(redis.client)
    assert_all_succeeded(redis, names, timeout=30)
    until(lambda: redis.waiting() == [], what="an empty queue")


def test_the_lost_reply_of_a_blocking_pop_loses_no_job(redis, worker):
    process = worker()
    for n in range(8):
        until(lambda: is_blocked(redis.client), what="a blocked pop of the idle worker")
        # One write of both commands: Redis serves the pop and cuts the connection
        # before the reply has left.
        with redis.client.pipeline(transaction=False) as pipe:
            pipe.rpush("analyze", json.dumps(job(f"cut-{n}")))
            pipe.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            pipe.execute()
        assert_all_succeeded(redis, [f"cut-{n}"])
    assert process.is_alive()


def is_blocked(client):
    return client.info("clients")["blocked_clients"] > 0


def kill_all_connections(client):
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_out_of_memory_in_redis_repeats_the_write_and_not_the_call(redis, sim, worker):
    worker()
    sim.script({"do": "delay", "ms": 300})
    redis.push(job("oom"))
    sim.wait_open(1)
    redis.client.config_set("maxmemory", "1")
    until(lambda: sim.stats()["open"] == 0, what="the answer")
    stays(lambda: redis.result("oom") is None, 0.3)
    redis.client.config_set("maxmemory", "0")
    assert_all_succeeded(redis, ["oom"])
    assert len(sim.calls("mark-oom")) == 1


def test_answers_that_redis_does_not_take_are_kept_and_counted_and_paid_once(redis, sim, worker):
    process, names = worker(), [f"kept-{n}" for n in range(3)]
    sim.script({"do": "delay", "ms": 500, "times": 3})
    push_all(redis, names)
    sim.wait_open(3)
    redis.client.config_set("maxmemory", 1)
    until(lambda: b"\nheadgate_answers_kept 3\n" in process.get("/metrics").body, what="3 kept")
    until(lambda: process.readiness() == 503, what="a red /readyz")
    assert b"3 answers are kept" in process.get("/readyz").body
    redis.client.config_set("maxmemory", 0)
    assert_all_succeeded(redis, names)
    until(lambda: b"\nheadgate_answers_kept 0\n" in process.get("/metrics").body, what="0 kept")
    assert sim.stats()["calls"] == 3


def test_at_most_once_works_and_keeps_nothing(redis, sim, worker):
    process = worker(HEADGATE_DELIVERY="at-most-once")
    redis.push(job("light"))
    assert_all_succeeded(redis, ["light"])
    sim.script(NEVER)
    redis.push(job("gone"))
    sim.wait_open(1)
    process.kill()
    sim.reset()
    worker(HEADGATE_DELIVERY="at-most-once")
    redis.push(job("next"))
    assert_all_succeeded(redis, ["next"])
    stays(lambda: redis.result("gone") is None and redis.waiting() == [], LEASE + 0.5)


def test_at_most_once_names_the_jobs_that_a_drain_loses(redis, sim, worker):
    process = worker(HEADGATE_DELIVERY="at-most-once")
    sim.script(NEVER)
    redis.push(job("lost-one"))
    sim.wait_open(1)
    process.term()
    process.term()
    process.wait(10)
    assert any("lost" in line and "lost-one" in line for line in process.log().splitlines())


def test_a_queue_without_weight_is_strictly_first(redis, sim, worker):
    bulk, urgent = [f"b-{n}" for n in range(5)], [f"u-{n}" for n in range(5)]
    push_all(redis, bulk, "bulk")
    push_all(redis, urgent, "urgent")
    worker(HEADGATE_QUEUES="urgent,bulk=1", HEADGATE_CONCURRENCY=1)
    redis.wait_result("b-4", queue="bulk")
    markers = [call["marker"] for call in sim.calls()]
    assert markers == [f"mark-{name}" for name in urgent + bulk]


def test_weights_share_and_starve_nobody(redis, sim, worker):
    push_all(redis, [f"a-{n}" for n in range(80)], "analyze")
    push_all(redis, [f"b-{n}" for n in range(80)], "bulk")
    worker(HEADGATE_QUEUES="analyze=3,bulk=1", HEADGATE_CONCURRENCY=1)
    sim.wait_calls(80)
    first = [call["marker"] for call in sim.calls()][:80]
    share = sum(marker.startswith("mark-a-") for marker in first) / len(first)
    assert 0.65 <= share <= 0.85
    assert any(marker.startswith("mark-b-") for marker in first[:16])
    redis.wait_result("a-79")
    redis.wait_result("b-79", queue="bulk")


def test_a_new_urgent_job_overtakes_a_backlog(redis, sim, worker):
    worker(HEADGATE_QUEUES="urgent,bulk=1", HEADGATE_CONCURRENCY=1)
    sim.config(default={"latency_ms": 50})
    push_all(redis, [f"b-{n}" for n in range(20)], "bulk")
    sim.wait_calls(3)
    redis.push(job("now"), "urgent")
    redis.wait_result("now", queue="urgent")
    assert sim.stats()["calls"] < 10


def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(redis, worker, cli):
    worker(HEADGATE_QUEUES="held,free")
    assert cli("pause", "held").code == 0
    payload = redis.push(job("held"), "held")
    redis.push(job("free"), "free")
    redis.wait_result("free", queue="free")
    # A pop that was under way may have taken it, and gives it back.
    until(lambda: redis.waiting("held") == [payload], what="the job in the list")
    stays(lambda: redis.waiting("held") == [payload], 0.5, "the job in the list")
    assert cli("resume", "held").code == 0
    assert redis.wait_result("held", queue="held")["state"] == "succeeded"


def test_no_more_calls_are_open_than_allowed_and_the_rest_stays_in_the_list(redis, sim, worker):
    sim.config(default={"latency_ms": 300})
    payloads = push_all(redis, [f"limited-{n}" for n in range(10)])
    worker(HEADGATE_CONCURRENCY=3)
    sim.wait_open(3)
    assert redis.waiting() == payloads[-len(redis.waiting()):]
    assert len(redis.waiting()) >= 4
    redis.wait_result("limited-9")
    assert sim.stats()["max_open"] == 3


def test_sigusr1_logs_a_dump_of_the_state(redis, sim, worker):
    process = worker()
    sim.script(NEVER)
    redis.push(job("dumped"))
    sim.wait_open(1)
    before = len(process.log())
    process.signal(signal.SIGUSR1)
    until(lambda: "dumped" in process.log()[before:], what="the open job in the dump")
    assert process.is_ready()


def test_sighup_ends_nobody(redis, worker):
    process = worker()
    process.signal(signal.SIGHUP)
    redis.push(job("hup"))
    assert_all_succeeded(redis, ["hup"])
    assert process.is_alive()


def test_dead_letters_are_capped_and_the_newest_stay(redis, worker):
    worker(HEADGATE_DEAD_MAX=3)
    for n in range(5):
        redis.push(f"bad {n}".encode())
    redis.wait_dead_letter(b"bad 4")
    until(lambda: len(redis.dead()) == 3, what="three letters")
    assert all(redis.dead_letter(f"bad {n}".encode()) for n in (2, 3, 4))


def test_two_workers_share_a_queue_and_run_each_job_once(redis, sim, worker):
    sim.config(default={"latency_ms": 30})
    worker(HEADGATE_CONCURRENCY=5)
    worker(HEADGATE_CONCURRENCY=5)
    names = [f"shared-{n}" for n in range(100)]
    push_all(redis, names)
    assert_all_succeeded(redis, names, timeout=20)
    assert sim.stats()["calls"] == 100
    assert len({redis.result(name)["worker"] for name in names}) == 2


def test_a_password_and_a_database_number(servers, sim, worker):
    redis = servers.redis()
    redis.client.config_set("requirepass", "s3:cr@t/")
    process = worker(redis_url=f"redis://:s3%3Acr%40t%2F@127.0.0.1:{redis.port}/3")
    client = redis.on_database(3, "s3:cr@t/")
    client.rpush("analyze", json.dumps(job("database")))
    until(lambda: client.get("headgate:{analyze}:result:database"), what="the result")
    assert "s3:cr@t/" not in process.log()


def test_an_acl_user_without_dangerous_commands(servers, sim, worker):
    redis = servers.redis()
    rules = "on >pw ~analyze ~headgate:* resetchannels &headgate:* +@all -@admin -@dangerous"
    redis.client.execute_command("ACL", "SETUSER", "gate", *rules.split())
    process = worker(redis_url=f"redis://gate:pw@127.0.0.1:{redis.port}/0")
    redis.push(job("acl"))
    redis.push(b"no job")
    assert_all_succeeded(redis, ["acl"])
    redis.wait_dead_letter(b"no job")
    assert process.post("/reset_model_cooldowns").status == 200
    assert process.get("/queue_stats").status == 200


def test_a_unix_socket(redis, worker):
    worker(redis_url=f"unix://{redis.socket}?db=0")
    redis.push(job("socket"))
    assert_all_succeeded(redis, ["socket"])


def test_a_wrong_password_later_on_is_survived(servers, sim, worker):
    redis = servers.redis()
    process = worker(redis_url=redis.url)
    redis.client.config_set("requirepass", "changed")
    redis.client.execute_command("AUTH", "changed")
    kill_all_connections(redis.client)
    until(lambda: process.readiness() == 503, what="a red /readyz")
    redis.client.config_set("requirepass", "")
    redis.push(job("again"))
    assert_all_succeeded(redis, ["again"], timeout=15)


def test_rights_that_come_back_cost_no_reply_to(redis, sim, worker):
    redis.client.execute_command("ACL", "SETUSER", "w", "on", ">pw", "~*", "&*", "+@all")
    process = worker(redis_url=f"redis://w:pw@127.0.0.1:{redis.port}/0")
    sim.script({"do": "delay", "ms": 500})
    redis.push(job("rights", reply_to="box"))
    sim.wait_open(1)
    redis.client.execute_command("ACL", "SETUSER", "w", "-@all")
    sim.wait_open(0)
    until(lambda: process.readiness() == 503, what="a red /readyz")
    redis.client.execute_command("ACL", "SETUSER", "w", "+@all")
    redis.wait_result("rights")
    assert redis.client.llen("box") == 1


def test_jobs_of_a_list_that_is_no_list_stop_nobody(redis, worker):
    redis.client.set("broken", "a string")
    process = worker(wait_ready=False, HEADGATE_QUEUES="broken=1,analyze=1")
    redis.push(job("fine"))
    assert_all_succeeded(redis, ["fine"])
    assert process.is_alive()


@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
def test_a_key_that_is_no_list_stops_its_own_queue_and_no_other(redis, worker, delivery):
    redis.client.set("broken", "no list")
    process = worker(
        wait_ready=False, HEADGATE_QUEUES="first,broken,last", HEADGATE_DELIVERY=delivery
    )
    for turn, queue in enumerate(["first", "last"] * 2):
        redis.push(job(f"well-{turn}"), queue)
        result = f"headgate:{{{queue}}}:result:well-{turn}"
        until(lambda key=result: redis.client.exists(key), what=result)
    until(lambda: process.readiness() == 503, what="a red /readyz")
    assert b"broken" in process.get("/readyz").body
    redis.client.delete("broken")
    redis.push(job("healed"), "broken")
    until(lambda: redis.client.exists("headgate:{broken}:result:healed"), what="the healed queue")
    until(process.is_ready, what="a green /readyz")


def test_at_most_once_the_last_of_64_queues_is_served_too(redis, worker):
    queues = [f"q{n}" for n in range(64)]
    worker(HEADGATE_DELIVERY="at-most-once", HEADGATE_QUEUES=",".join(queues))
    redis.push({"id": "last", "content": "text"}, queues[-1])
    assert redis.wait_result("last", queue=queues[-1])["state"] == "succeeded"
