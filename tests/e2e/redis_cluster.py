"""Real nodes of a Redis Cluster, each with its part of the slots."""

import json

import redis as redis_client

from services import FINAL_STATES, SERVER_VERSION
from support import free_port, until

SLOTS = 16384
EPHEMERAL = 32768  # from here on any connection may have a port


def start_node(servers, arguments=(), has_tls=False, port=None, **options):
    """Its bus may take any port here, so that no two free ports must be 10000 apart (Redis 7)."""
    port = port or free_port()
    bus = free_port() if SERVER_VERSION >= (7,) else port + 10000
    tls_port = free_port() if has_tls else None
    tls = ("--tls-port", str(tls_port)) if has_tls else ()
    own_bus = ("--cluster-port", str(bus)) if SERVER_VERSION >= (7,) else ()
    server = servers.redis(port=port, arguments=("--cluster-enabled", "yes", *own_bus,
                                                 "--cluster-node-timeout", "1500",
                                                 *tls, *arguments), **options)
    server.bus, server.tls_port = bus, tls_port
    return server


def add_slots(node, first, last):
    if SERVER_VERSION >= (7,):
        node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
    else:
        node.client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last + 1))


def info(node):
    return node.client.execute_command("CLUSTER INFO")


class Cluster:
    """Masters that share the slots evenly, and a replica of each if asked."""

    def __init__(self, servers, masters, replicas=False, arguments=(), has_tls=False, ports=()):
        def start(port=None):
            return start_node(servers, arguments, has_tls, port)

        self.masters = [start(port) for port in ports or (None,) * masters]
        self.replicas = [start() for _ in range(masters if replicas else 0)]
        self.nodes = self.masters + self.replicas
        self.moved = {}
        for i, master in enumerate(self.masters):
            master.first, master.last = i * SLOTS // masters, (i + 1) * SLOTS // masters - 1
            add_slots(master, master.first, master.last)
        for epoch, node in enumerate(self.nodes, 1):
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", epoch)
            node.id = node.client.execute_command("CLUSTER MYID").decode()
        for node in self.nodes[1:]:
            self.nodes[0].client.execute_command("CLUSTER MEET", "127.0.0.1",
                                                 node.tls_port or node.port, node.bus)
        until(self.is_settled, 30, "a cluster")
        for master, replica in zip(self.masters, self.replicas):
            replica.client.execute_command("CLUSTER REPLICATE", master.id)
        until(lambda: all(r.client.info("replication").get("master_link_status") == "up"
                          for r in self.replicas), 30, "replicas")
        until(self.is_settled, 30, "a cluster")

    def is_settled(self):
        return all(info(node)["cluster_state"] == "ok"
                   and info(node)["cluster_known_nodes"] == str(len(self.nodes))
                   and info(node)["cluster_slots_assigned"] == str(SLOTS) for node in self.nodes)

    @property
    def url(self):
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self):
        living = next(node for node in self.nodes if node.is_alive())
        return redis_client.RedisCluster(host="127.0.0.1", port=living.port)

    def owner(self, key):
        slot = self.masters[0].client.execute_command("CLUSTER KEYSLOT", key)
        if slot in self.moved:
            return self.moved[slot]
        return next(m for m in self.masters if m.first <= slot <= m.last)

    def begin_move(self, key):
        source = self.owner(key)
        target = next(node for node in self.masters if node is not source)
        slot = source.client.execute_command("CLUSTER KEYSLOT", key)
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        return source, target, slot

    def end_move(self, source, target, slot):
        """Key by key, as redis-cli does; returns how many there were."""
        moved = 0
        while keys := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 10):
            source.client.execute_command("MIGRATE", "127.0.0.1",
                                          target.tls_port or target.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        for node in (target, source, *self.masters):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)
        self.moved[slot] = target
        return moved

    def move_slot(self, key):
        return self.end_move(*self.begin_move(key))

    def push(self, job, queue="analyze"):
        self.client().rpush(queue, json.dumps(job))

    def result(self, job_id, queue="analyze"):
        try:
            text = self.client().get(f"headgate:{{{queue}}}:result:{job_id}")
        except redis_client.exceptions.RedisError:
            return None  # the cluster is between two masters
        return json.loads(text) if text else None

    def wait_result(self, job_id, queue="analyze", timeout=15):
        def final():
            result = self.result(job_id, queue)
            return result if result and result["state"] in FINAL_STATES else None

        return until(final, timeout, f"the result of {job_id}")
