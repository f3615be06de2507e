"""Redis Cluster, from outside: real nodes, each with its part of the slots."""

import json
import subprocess

import pytest

from headgate import CommandLine, environment
from redis_cluster import SLOTS, Cluster, add_slots, info, start_node
from support import until

# One queue on each of three shards: their slots are 11429, 5320 and 8903.
QUEUES = ("analyze", "bulk", "slow")


def job(job_id, **fields):
    return {"id": job_id, "section_name": "a", "content": "b", **fields}


@pytest.fixture
def cluster(servers):
    return Cluster(servers, masters=3)


@pytest.fixture
def other_and_owner(servers):
    """Two nodes, of which the second owns every slot."""
    other, owner = start_node(servers), start_node(servers)
    add_slots(owner, 0, SLOTS - 1)
    other.client.execute_command("CLUSTER MEET", "127.0.0.1", owner.port, owner.bus)
    until(lambda: all(info(node)["cluster_state"] == "ok" for node in (other, owner)),
          what="a cluster of two nodes")
    return other, owner


def test_a_plain_url_of_a_cluster_node_fails_with_what_it_should_be(other_and_owner, sim):
    other, owner = other_and_owner
    cli = CommandLine(environment(other.url, sim.url))
    refused = cli("enqueue", "--field", "section_name=a", "--field", "content=b")
    assert refused.code == 1
    assert "MOVED" in refused.err and "redis+cluster://" in refused.err
    assert owner.client.llen("analyze") == 0


def test_a_worker_that_meets_a_cluster_by_a_plain_url_is_red_and_says_why(other_and_owner, servers,
                                                                         sim):
    other, _ = other_and_owner
    worker = servers.worker(other.url, sim.url, wait_ready=False)
    worker.wait_for_log("redis+cluster://")
    assert worker.readiness() == 503


def test_queues_on_three_shards_are_worked_off(cluster, servers, sim):
    assert len({cluster.owner(queue).port for queue in QUEUES}) == 3
    worker = servers.worker(cluster.url, sim.url, HEADGATE_QUEUES=",".join(QUEUES))
    for queue in QUEUES:
        for i in range(5):
            cluster.push(job(f"{queue}-{i}"), queue)
    for queue in QUEUES:
        for i in range(5):
            assert cluster.wait_result(f"{queue}-{i}", queue)["state"] == "succeeded"
        assert cluster.owner(queue).client.exists(f"headgate:{{{queue}}}:result:{queue}-0")
    assert "Redis is away" not in worker.log()


def test_one_node_of_the_url_is_enough(cluster, servers, sim):
    for node in cluster.masters:
        cli = CommandLine(environment(f"redis+cluster://127.0.0.1:{node.port}", sim.url))
        done = cli("enqueue", "--field", "section_name=a", "--field", "content=b")
        assert done.code == 0, done.err
    assert cluster.client().llen("analyze") == 3


def test_a_node_of_the_url_that_is_dead_is_passed_over(cluster, sim):
    url = cluster.url.replace("//", "//127.0.0.1:9,")
    done = CommandLine(environment(url, sim.url))("enqueue", "--field", "section_name=a",
                                                  "--field", "content=b")
    assert done.code == 0, done.err


def test_a_reply_to_on_another_shard_gets_its_copy(cluster, servers, sim):
    servers.worker(cluster.url, sim.url)
    here, there = "{analyze}:replies", next(
        name for name in ("a", "b", "c", "d") if cluster.owner(name) != cluster.owner("analyze"))
    for reply_to in (here, there):
        cluster.push(job(f"for-{reply_to}", reply_to=reply_to))
        document = json.loads(cluster.client().blpop([reply_to], 10)[1])
        assert document["id"] == f"for-{reply_to}" and document["state"] == "succeeded"
    assert cluster.client().llen(here) == cluster.client().llen(there) == 0


def test_a_reply_to_on_another_shard_that_is_no_list_costs_only_the_copy(cluster, servers, sim):
    there = next(name for name in ("a", "b", "c", "d")
                 if cluster.owner(name) != cluster.owner("analyze"))
    cluster.client().set(there, "no list")
    worker = servers.worker(cluster.url, sim.url)
    cluster.push(job("1", reply_to=there))
    assert cluster.wait_result("1")["state"] == "succeeded"
    worker.wait_for_log("reply_to is left out")


def test_every_verb_works_on_a_cluster(cluster, servers, sim):
    worker = servers.worker(cluster.url, sim.url, HEADGATE_QUEUES=",".join(QUEUES))
    cli = CommandLine(worker.env)
    done = cli("enqueue", "--queue", "bulk", "--field", "section_name=a", "--field", "content=b",
               "--wait")
    assert done.code == 0, done.err
    cluster.client().rpush("slow", "no job")
    until(lambda: "bad_job" in cli("dead", "list", "--queue", "slow", "--json").out,
          what="a dead letter")
    for verb in (("stats",), ("pause", "bulk"), ("resume", "bulk"), ("reset-cooldowns",),
                 ("dead", "drop", "--all", "--queue", "slow"), ("cancel", "nothing")):
        ended = cli(*verb)
        assert ended.code in (0, 1) and "MOVED" not in ended.out + ended.err, ended.err
    looked = cli("doctor")
    assert "MOVED" not in looked.out + looked.err


def test_a_slot_that_has_moved_away_is_followed_and_nothing_is_lost(cluster, servers, sim):
    """MOVED: the worker is idle, its pop blocked, when the slot gets a new owner."""
    servers.worker(cluster.url, sim.url)
    cluster.push(job("before"))
    cluster.wait_result("before")
    owner = cluster.owner("analyze")
    target = next(node for node in cluster.masters if node is not owner)
    slot = owner.client.execute_command("CLUSTER KEYSLOT", "analyze")
    subprocess.run(
        ["redis-cli", "--cluster", "reshard", f"127.0.0.1:{owner.port}", "--cluster-from", owner.id,
         "--cluster-to", target.id, "--cluster-slots", str(slot - owner.first + 1),
         "--cluster-yes"], check=True, capture_output=True, timeout=120)
    assert target.client.exists("headgate:{analyze}:result:before")
    cluster.push(job("after"))
    assert cluster.wait_result("after")["state"] == "succeeded"


def test_another_master_takes_over_and_nothing_is_lost(servers, sim):
    cluster = Cluster(servers, masters=3, replicas=True)
    sim.config(latency_ms=20)
    worker = servers.worker(cluster.url, sim.url, HEADGATE_QUEUES=",".join(QUEUES))
    client, pushed = cluster.client(), []
    for i in range(60):
        for queue in QUEUES:
            client.rpush(queue, json.dumps(job(f"{i}")))
            pushed.append((queue, f"{i}"))
    victim = cluster.owner("analyze")
    assert client.wait is not None
    until(lambda: all(r.client.info("replication")["slave_repl_offset"] > 0
                      for r in cluster.replicas), what="replication")
    victim.kill()
    for queue, job_id in pushed:
        assert cluster.wait_result(job_id, queue, 30)["state"] == "succeeded"
    worker.wait_ready(20)


def test_without_a_shard_its_queue_is_red_by_name_and_the_others_go_on(servers, sim):
    cluster = Cluster(servers, masters=3)
    for node in cluster.masters:
        node.client.config_set("cluster-require-full-coverage", "no")
    worker = servers.worker(cluster.url, sim.url, HEADGATE_QUEUES=",".join(QUEUES))
    cluster.owner("analyze").kill()
    until(lambda: worker.readiness() == 503, what="/readyz red")
    assert "queue analyze" in worker.get("/readyz").body.decode()
    owner = cluster.owner("bulk")
    owner.client.rpush("bulk", json.dumps(job("other")))
    until(lambda: owner.client.exists("headgate:{bulk}:result:other"), 15, "the other's result")


def test_a_shard_that_hangs_does_not_keep_the_other_queues_waiting(cluster, servers, sim):
    for node in cluster.masters:
        node.client.config_set("cluster-require-full-coverage", "no")
        node.client.config_set("cluster-node-timeout", "60000")
    servers.worker(cluster.url, sim.url, HEADGATE_QUEUES=",".join(QUEUES))
    owner, hung = cluster.owner("bulk"), cluster.owner("analyze")
    hung.stop()
    try:
        for i in range(20):
            owner.client.rpush("bulk", json.dumps(job(f"{i}")))
            until(lambda: owner.client.exists(f"headgate:{{bulk}}:result:{i}"), 15, "a result")
    finally:
        hung.cont()


def test_a_slot_that_moves_under_load_loses_nothing(cluster, servers, sim):
    sim.config(latency_ms=5)
    worker = servers.worker(cluster.url, sim.url, HEADGATE_LEASE_SECONDS=6)
    client, moved = cluster.client(), 0
    for i in range(300):
        client.rpush("analyze", json.dumps(job(f"{i}")))
        if i % 100 == 50:
            moved += cluster.move_slot("analyze")
    assert moved > 0
    for i in range(300):
        assert cluster.wait_result(f"{i}", timeout=30)["state"] == "succeeded"
    until(lambda: client.hlen(f"headgate:{{analyze}}:owners") == 0, what="no job on record")
    worker.wait_ready()


def test_a_job_is_taken_and_found_while_its_slot_is_on_its_way(cluster, sim):
    """ASK: the source has no such key any more, and the target not the slot yet."""
    source, target, slot = cluster.begin_move("analyze")
    cli = CommandLine(environment(cluster.url, sim.url))
    for i in range(2):
        done = cli("enqueue", "--field", "section_name=a", "--field", "content=b")
        assert done.code == 0, done.err
    assert source.client.keys() == [] and target.client.keys() == [b"analyze"]
    cluster.end_move(source, target, slot)
    assert cluster.client().llen("analyze") == 2


def test_doctor_checks_rights_on_every_shard(cluster, sim):
    env = environment(cluster.url, sim.url, HEADGATE_QUEUES=",".join(QUEUES))

    def rights():
        done = CommandLine(env)("doctor", "--no-calls", "--json")
        checks = [c for c in done.json()["checks"] if c["check"] == "Redis rights"]
        return {c["found"].split(":")[0]: c for c in checks}

    assert {queue: c["status"] for queue, c in rights().items()} == dict.fromkeys(QUEUES, "OK")
    cluster.owner("bulk").client.execute_command("ACL", "SETUSER", "default", "-hsetnx")
    found = rights()
    assert {queue for queue, c in found.items() if c["status"] == "FAIL"} == {"bulk"}
    assert "+hsetnx" in found["bulk"]["advice"]
    assert sum(node.client.dbsize() for node in cluster.masters) == 0
