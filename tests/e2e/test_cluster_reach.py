"""How the nodes of a Redis Cluster are reached: names, TLS, users, addresses that lead nowhere."""

import json
import socket

import pytest

from headgate import CommandLine, environment
from redis_cluster import Cluster
from services import SERVER_VERSION, server_has_tls
from support import ROOT, free_port, until
from test_redis_tls import Authority

# Their slots are on three shards.
QUEUES = ("analyze", "bulk", "slow")
NAMED = ("--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname")
needs_announced_ports = pytest.mark.skipif(SERVER_VERSION < (7,), reason="Redis 6 tells a new port at its start only")
needs_endpoint_types = pytest.mark.skipif(SERVER_VERSION < (7,), reason="endpoint types need Redis 7")


def job(job_id):
    return {"id": job_id, "section_name": "a", "content": "b"}


def work_off(cluster, queues=QUEUES, name="job"):
    """A job for each queue, pushed and seen at its own node."""
    for queue in queues:
        cluster.owner(queue).client.rpush(queue, json.dumps(job(f"{name}-{queue}")))
    for queue in queues:
        key = f"headgate:{{{queue}}}:result:{name}-{queue}"
        result = until(lambda: cluster.owner(queue).client.get(key), 20, f"the result in {queue}")
        assert json.loads(result)["state"] == "succeeded"


# ---- names ----


@needs_endpoint_types
def test_nodes_that_are_known_by_name_are_reached_by_name(servers, sim):
    cluster = Cluster(servers, masters=3, arguments=NAMED)
    worker = servers.worker(f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}", sim.url,
                            HEADGATE_QUEUES=",".join(QUEUES))
    work_off(cluster)
    cluster.move_slot("analyze")
    work_off(cluster, ("analyze",), "moved")
    worker.wait_ready()


@needs_endpoint_types
def test_nodes_that_do_not_say_where_they_are_are_where_they_were_asked(servers, sim):
    """MOVED 11429 :6381, and a map without hosts."""
    cluster = Cluster(servers, masters=3,
                      arguments=("--cluster-preferred-endpoint-type", "unknown-endpoint"))
    seed = next(node for node in cluster.nodes if node is not cluster.owner("analyze"))
    worker = servers.worker(f"redis+cluster://localhost:{seed.port}", sim.url,
                            HEADGATE_QUEUES=",".join(QUEUES))
    work_off(cluster)
    cluster.move_slot("analyze")
    work_off(cluster, ("analyze",), "moved")
    worker.wait_ready()


# ---- TLS ----


def tls_cluster(servers, authority, certificate, arguments=()):
    """Every node speaks TLS to clients and to its like, and has a plain port for the tests."""
    cert, key = certificate
    tls = ("--tls-cluster", "yes", "--tls-cert-file", str(cert), "--tls-key-file", str(key),
           "--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "no")
    return Cluster(servers, masters=3, has_tls=True, arguments=(*tls, *arguments))


def tls_url(cluster, host):
    return f"rediss+cluster://{host}:{cluster.nodes[0].tls_port}"


@pytest.fixture
def authority(tmp_path):
    if not server_has_tls():
        pytest.skip("this redis-server has no TLS")
    return Authority(tmp_path)


def test_the_certificate_of_each_node_is_checked_for_the_address_that_the_cluster_tells(
        servers, sim, authority):
    cluster = tls_cluster(servers, authority, authority.certificate("node", "IP:127.0.0.1"))
    worker = servers.worker(tls_url(cluster, "127.0.0.1"), sim.url, HEADGATE_REDIS_CA=authority.file,
                            HEADGATE_QUEUES=",".join(QUEUES))
    work_off(cluster)
    cluster.move_slot("analyze")
    work_off(cluster, ("analyze",), "moved")
    worker.wait_ready()


@needs_endpoint_types
def test_the_certificate_of_each_node_is_checked_for_the_name_that_the_cluster_tells(
        servers, sim, authority):
    cluster = tls_cluster(servers, authority, authority.certificate("node", "DNS:localhost"), NAMED)
    servers.worker(tls_url(cluster, "localhost"), sim.url, HEADGATE_REDIS_CA=authority.file,
                   HEADGATE_QUEUES=",".join(QUEUES))
    work_off(cluster)


def test_a_node_whose_certificate_is_for_another_name_is_not_spoken_to(servers, sim, authority):
    """The seed is known by its name, the nodes tell addresses, which the certificate lacks."""
    cluster = tls_cluster(servers, authority, authority.certificate("node", "DNS:localhost"))
    worker = servers.worker(tls_url(cluster, "localhost"), sim.url, HEADGATE_REDIS_CA=authority.file,
                            HEADGATE_QUEUES=",".join(QUEUES), wait_ready=False)
    worker.wait_for_log("its certificate is for another name")
    until(lambda: "HEADGATE_REDIS_SERVER_NAME" in worker.get("/readyz").body.decode(),
          what="a /readyz that says what to do")
    named = servers.worker(tls_url(cluster, "localhost"), sim.url, HEADGATE_REDIS_CA=authority.file,
                           HEADGATE_QUEUES=",".join(QUEUES), HEADGATE_REDIS_SERVER_NAME="localhost")
    work_off(cluster)
    named.wait_ready()


# ---- users ----


def documented_rules(user):
    text = (ROOT / "docs/security.md").read_text()
    line = next(l for l in text.splitlines() if l.startswith(f"user headgate-{user} "))
    return line.removeprefix(f"user headgate-{user} ").split()


@pytest.mark.parametrize("map_rights", [(), ("+cluster|slots", "+asking")])
def test_the_worker_needs_no_more_than_its_documented_rights_on_any_shard(servers, sim, map_rights):
    cluster = Cluster(servers, masters=3)
    rules = [part.replace("analyze", queue) for part in documented_rules("worker")
             for queue in (QUEUES if "analyze" in part else ("",))]
    for node in cluster.nodes:
        node.client.execute_command("ACL", "SETUSER", "headgate-worker", *rules, *map_rights)
    url = f"redis+cluster://headgate-worker:WORKER-PASSWORD@127.0.0.1:{cluster.nodes[0].port}"
    worker = servers.worker(url, sim.url, HEADGATE_QUEUES=",".join(QUEUES))
    work_off(cluster)
    cluster.move_slot("bulk")
    work_off(cluster, ("bulk",), "moved")
    worker.end()
    refused = [entry["object"] for node in cluster.nodes for entry in node.client.acl_log()]
    assert set(refused) <= (set() if map_rights else {"cluster|slots", "cluster"})


# ---- addresses that lead nowhere ----


def announce(node, port):
    node.client.config_set("cluster-announce-port", port)


def is_told(cluster, port):
    return all(any(str(port) in str(row) for row in node.client.execute_command("CLUSTER SLOTS"))
               for node in cluster.nodes)


@needs_announced_ports
def test_a_node_that_is_announced_where_nobody_can_reach_it_is_told_by_that_address(servers, sim):
    """As behind a network's translation of addresses: the nodes reach each other, we do not."""
    cluster = Cluster(servers, masters=3)
    nowhere, hidden = free_port(), cluster.owner("analyze")
    announce(hidden, nowhere)
    until(lambda: is_told(cluster, nowhere), 20, "the news of the address")
    seed = cluster.owner("bulk")
    worker = servers.worker(f"redis+cluster://127.0.0.1:{seed.port}", sim.url, wait_ready=False,
                            HEADGATE_QUEUES=",".join(QUEUES))
    worker.wait_for_log(f"127.0.0.1:{nowhere}")
    def is_red():
        answer = worker.get("/readyz").body.decode()
        return (f"127.0.0.1:{nowhere}" in answer and "queue analyze" in answer
                and "the cluster announces this address" in answer)

    until(is_red, what="a red /readyz that names the address")
    work_off(cluster, ("bulk", "slow"))
    done = CommandLine(environment(f"redis+cluster://127.0.0.1:{seed.port}", sim.url))(
        "enqueue", "--field", "section_name=a", "--field", "content=b")
    assert done.code == 4 and f"127.0.0.1:{nowhere}" in done.err
    announce(hidden, hidden.port)
    until(lambda: not is_told(cluster, nowhere), 20, "the news of the address")
    work_off(cluster, ("analyze",), "found")
    worker.wait_ready()


@pytest.fixture
def black_hole():
    """A port whose connects hang: the queue of those who wait is full, so that SYNs are dropped."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port, waiting = listener.getsockname()[1], []
    for _ in range(3):
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(("127.0.0.1", port))
    yield port
    for connection in (*waiting, listener):
        connection.close()


@needs_announced_ports
def test_a_master_that_drops_packets_keeps_no_other_queue_waiting(servers, sim, black_hole):
    cluster = Cluster(servers, masters=3)
    announce(cluster.owner("analyze"), black_hole)
    until(lambda: is_told(cluster, black_hole), 20, "the news of the address")
    worker = servers.worker(f"redis+cluster://127.0.0.1:{cluster.owner('bulk').port}", sim.url,
                            wait_ready=False, HEADGATE_QUEUES=",".join(QUEUES))
    for n in range(10):
        work_off(cluster, ("bulk", "slow"), f"round-{n}")
    until(lambda: f"127.0.0.1:{black_hole}" in worker.get("/readyz").body.decode(),
          what="a red /readyz that names the address")
