"""Redis Sentinel, from outside: a real primary, its replicas, and real sentinels."""

import pytest

from headgate import CommandLine, environment
from redis_sentinel import MASTER, Watched, is_idle
from support import free_port, until


def job(name, **fields):
    return {"id": name, "content": f"mark-{name}", **fields}


@pytest.fixture
def watched(servers):
    return Watched(servers)


def test_jobs_are_worked_on_through_the_sentinels(watched, servers, sim):
    process = servers.worker(watched.url(), sim.url)
    watched.primary.push(job("first"))
    assert watched.primary.wait_result("first")["state"] == "succeeded"
    assert process.get("/readyz").status == 200


def test_after_the_primary_is_killed_work_goes_on_at_the_next_one(watched, servers, sim):
    process = servers.worker(watched.url(), sim.url)
    names = [f"before-{n}" for n in range(30)]
    for name in names:
        watched.primary.push(job(name))
    for name in names:
        watched.primary.wait_result(name)
    until(lambda: is_idle(watched.primary), what="replicas that have everything")
    primary = watched.fail_over()
    for n in range(30):
        primary.push(job(f"after-{n}"))
    for n in range(30):
        assert primary.wait_result(f"after-{n}", 15)["state"] == "succeeded"
    assert all(primary.result(name)["state"] == "succeeded" for name in names)
    until(process.is_ready, 15, "readiness")


def test_a_call_that_is_open_during_a_failover_is_paid_once_and_answered(watched, servers, sim):
    servers.worker(watched.url(), sim.url)
    sim.script({"do": "delay", "ms": 2500})
    watched.primary.push(job("open"))
    sim.wait_open(1)
    until(lambda: is_idle(watched.primary), what="replicas that have everything")
    primary = watched.fail_over()
    assert primary.wait_result("open", 20)["state"] == "succeeded"
    assert len(sim.calls("mark-open")) == 1


def test_a_planned_failover_loses_nothing(watched, servers, sim):
    servers.worker(watched.url(), sim.url)
    old = watched.primary
    for n in range(20):
        old.push(job(f"planned-{n}"))
    until(lambda: is_idle(old), what="replicas that have everything")
    watched.sentinels[0].client.execute_command("SENTINEL FAILOVER", MASTER)
    primary = watched.wait_new_primary()
    for n in range(20):
        assert primary.wait_result(f"planned-{n}", 20)["state"] == "succeeded"
    assert old.is_alive()  # a replica by now, which nobody works on
    primary.push(job("later"))
    assert primary.wait_result("later", 15)["state"] == "succeeded"


def test_a_primary_that_comes_back_as_replica_is_not_worked_on(watched, servers, sim):
    process = servers.worker(watched.url(), sim.url)
    old = watched.primary
    primary = watched.fail_over()
    old.up()
    until(lambda: watched.has_settled_at(primary), 30, "an old primary demoted")
    primary.push(job("home"))
    assert primary.wait_result("home", 15)["state"] == "succeeded"
    until(process.is_ready, 15, "readiness")


def test_without_sentinels_work_at_a_living_primary_goes_on(watched, servers, sim):
    process = servers.worker(watched.url(), sim.url)
    watched.primary.push(job("with"))
    watched.primary.wait_result("with")
    for sentinel in watched.sentinels:
        sentinel.kill()
    watched.primary.push(job("without"))
    assert watched.primary.wait_result("without")["state"] == "succeeded"
    assert process.is_ready()


def test_one_sentinel_that_hangs_and_one_that_is_gone_hold_nobody_up(watched, servers, sim):
    watched.sentinels[0].stop()
    watched.sentinels[1].kill()
    servers.worker(watched.url(), sim.url)
    watched.primary.push(job("third"))
    assert watched.primary.wait_result("third")["state"] == "succeeded"
    watched.sentinels[0].cont()


def test_servers_and_sentinels_have_passwords_of_their_own(servers, sim):
    watched = Watched(servers, password="for-sentinels", server_password="for-servers")
    url = watched.url(":for-servers@", "?sentinel_password=for-sentinels")
    process = servers.worker(url, sim.url)
    watched.primary.push(job("secret"))
    assert watched.primary.wait_result("secret")["state"] == "succeeded"
    primary = watched.fail_over()
    primary.push(job("secret-too"))
    assert primary.wait_result("secret-too", 15)["state"] == "succeeded"
    assert "for-se" not in process.log()


def test_a_worker_that_knows_no_primary_says_what_each_sentinel_said(watched, servers, sim):
    url = watched.url().replace(f"/{MASTER}/", "/other/")
    process = servers.worker(url, sim.url, wait_ready=False)
    port = watched.sentinels[0].port
    process.wait_for_log(f"127.0.0.1:{port} has no master other")
    answer = process.get("/readyz")
    assert answer.status == 503
    assert b"no sentinel names the primary" in answer.body


def test_a_verb_finds_the_primary_too_and_fails_clearly_without_one(watched, sim):
    cli = CommandLine(environment(watched.url(), sim.url))
    done = cli("enqueue", "--field", "section_name=a", "--field", "content=b")
    assert done.code == 0
    assert watched.primary.client.llen("analyze") == 1
    gone = f"redis+sentinel://127.0.0.1:{free_port()}/{MASTER}"
    lost = CommandLine(environment(gone, sim.url))("stats")
    assert lost.code == 4
    assert "no sentinel names the primary" in lost.err and "Connection refused" in lost.err


def test_a_sentinel_url_without_a_master_is_refused_at_the_start(sim):
    cli = CommandLine(environment("redis+sentinel://127.0.0.1:26379", sim.url))
    refused = cli("stats")
    assert refused.code == 2
    assert "there is no master name" in refused.err


def test_failovers_in_a_row_are_all_followed(watched, servers, sim):
    servers.worker(watched.url(), sim.url)
    for n in range(3):
        until(lambda: is_idle(watched.primary), what="replicas that have everything")
        watched.sentinels[0].client.execute_command("SENTINEL FAILOVER", MASTER)
        primary = watched.wait_new_primary()
        primary.push(job(f"again-{n}"))
        assert primary.wait_result(f"again-{n}", 20)["state"] == "succeeded"
        until(watched.is_agreed, 30, "sentinels that agree again")
