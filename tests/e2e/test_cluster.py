"""Redis Cluster, from outside: two real nodes, of which the second owns every slot."""

import pytest

from headgate import CommandLine, environment
from support import free_port, until


def start_node(servers):
    bus = free_port()
    server = servers.redis(arguments=("--cluster-enabled", "yes", "--cluster-port", str(bus),
                                      "--cluster-node-timeout", "1500"))
    server.bus = bus
    return server


@pytest.fixture
def nodes(servers):
    other, owner = start_node(servers), start_node(servers)
    owner.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
    other.client.execute_command("CLUSTER MEET", "127.0.0.1", owner.port, owner.bus)

    def is_settled():
        states = [node.client.execute_command("CLUSTER INFO") for node in (other, owner)]
        return all(state["cluster_state"] == "ok" and state["cluster_slots_assigned"] == "16384"
                   for state in states)

    until(is_settled, what="a cluster of two nodes")
    return other, owner


def test_a_plain_url_of_a_cluster_node_fails_with_what_it_should_be(nodes, sim):
    other, owner = nodes
    cli = CommandLine(environment(other.url, sim.url))
    refused = cli("enqueue", "--field", "section_name=a", "--field", "content=b")
    assert refused.code == 1
    assert "MOVED" in refused.err and "redis+cluster://" in refused.err
    assert owner.client.llen("analyze") == 0


def test_a_worker_that_meets_a_cluster_by_a_plain_url_is_red_and_says_why(nodes, servers, sim):
    other, _ = nodes
    worker = servers.worker(other.url, sim.url, wait_ready=False)
    worker.wait_for_log("redis+cluster://")
    assert worker.readiness() == 503
