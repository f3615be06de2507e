"""The Redis under the chaos: one server, a primary with sentinels, or a cluster.

What is common: who takes the writes of a queue now, when it takes them, and how its nodes are broken
so that whatever Redis acknowledged is still there afterwards: only such losses are ours.
"""

import contextlib
import time

import redis as redis_client
from redis_cluster import Cluster
from redis_sentinel import MASTER, Watched
from support import until

OPERATOR = "chaos"
RedisError = redis_client.exceptions.RedisError


def connect(node, timeout, **options):
    return redis_client.Redis(unix_socket_path=node.socket, socket_timeout=timeout,
                              socket_connect_timeout=timeout, **options)


def let_in(node):
    """A user whom no fault touches. Users are not in the AOF: a node that restarts is told again."""
    until(lambda: _makes_operator(node), 30, "a node that has loaded its data")
    node.operator = redis_client.Redis(unix_socket_path=node.socket, username=OPERATOR,
                                       password=OPERATOR)
    # Four connections for what runs side by side, opened before Redis has no room for more.
    pool = node.operator.connection_pool
    for connection in [pool.get_connection("PING") for _ in range(4)]:
        pool.release(connection)


def _makes_operator(node):
    try:
        return connect(node, 5).execute_command("ACL", "SETUSER", OPERATOR, "on", f">{OPERATOR}", "~*",
                                                "&*", "+@all")
    except redis_client.exceptions.BusyLoadingError:
        return False


class Store:
    """`nodes` are all servers; `deposed` is one that was a primary and may still think so."""

    storm = ("CLIENT", "KILL", "TYPE", "normal")

    def __init__(self, nodes):
        self.nodes = nodes
        self.deposed = None
        for node in nodes:
            let_in(node)

    def client_of(self, queue, timeout=2):
        return connect(self.node_of(queue), timeout)

    def takes_writes(self, queue):
        """Does anybody take a write of this queue now? Asked of the nodes, not of who names them."""
        for node in self.nodes:
            if node is self.deposed or not node.is_alive():
                continue
            with contextlib.suppress(RedisError), connect(node, 0.5) as client:
                client.set(f"{{{queue}}}chaos-probe", "1")
                return True
        return False

    def hold_writes(self, node):
        """No write is taken any more, and the replicas have all that was: what Redis does itself
        before it hands over. Killed now, it takes nothing with it that it had acknowledged."""
        node.operator.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
        until(lambda: is_copied(node), 20, "replicas that have everything")

    def down(self):
        for node in self.nodes:
            node.kill()


def is_copied(node):
    info = node.operator.info("replication")
    copies = [value for key, value in info.items()
              if key.startswith("slave") and isinstance(value, dict)]
    return bool(copies) and all(copy["state"] == "online"
                                and copy["offset"] == info["master_repl_offset"] for copy in copies)


class Single(Store):
    # The operator keeps his connections: where Redis is out of clients he gets no other.
    storm = ("CLIENT", "KILL", "USER", "default")

    def __init__(self, servers, fsync):
        super().__init__([servers.redis(aof=True, arguments=(
            "--appendfsync", fsync, "--enable-debug-command", "yes"))])
        self.redis = self.nodes[0]

    @property
    def url(self):
        return self.redis.url

    def primaries(self):
        return self.nodes

    def node_of(self, _queue):
        return self.redis

    def restart(self, pause_s, on_main):
        self.redis.kill()
        time.sleep(pause_s)
        on_main(self.redis.up)
        let_in(self.redis)


class WithSentinels(Store):
    def __init__(self, servers, fsync):
        self.watched = Watched(servers, arguments=("--appendfsync", fsync))
        super().__init__(self.watched.nodes)
        self.asked = 0  # failovers that we caused

    @property
    def url(self):
        return self.watched.url()

    def primaries(self):
        return [self.node_of("")]

    def node_of(self, _queue):
        for sentinel in self.watched.sentinels:
            with contextlib.suppress(RedisError, StopIteration), redis_client.Redis(
                    port=sentinel.port, socket_timeout=1) as client:
                answer = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER)
                return self.watched.node_at(int(answer[1]))
        raise redis_client.exceptions.ConnectionError("no sentinel names a primary")

    def begin_failover(self, is_killed):
        """Returns as soon as it is on its way."""
        old = self.watched.primary = self.node_of("")
        until(self.watched.is_agreed, 60, "sentinels that agree")
        self.hold_writes(old)
        self.deposed = old
        self.asked += 1
        if is_killed:
            old.kill()
        else:
            self.watched.sentinels[0].client.execute_command("SENTINEL FAILOVER", MASTER)

    def end_failover(self, on_main):
        """Until the new primary has its replicas again, the old one among them."""
        old = self.deposed
        if old.is_alive():
            until(lambda: self.node_of("") is not old, 30, "sentinels that name another primary")
            # What waits there is refused from now on, not taken and lost.
            old.operator.config_set("min-replicas-to-write", 9)
            old.operator.execute_command("CLIENT", "UNPAUSE")
        primary = self.watched.wait_new_primary()
        if not old.is_alive():
            # Never as a primary: it would take writes until a sentinel comes to it.
            arguments = old.arguments
            if "--replicaof" in arguments:
                at = arguments.index("--replicaof")
                arguments = arguments[:at] + arguments[at + 3:]
            old.arguments = [*arguments, "--replicaof", "127.0.0.1", str(primary.port)]
            on_main(old.up)
            let_in(old)
        until(lambda: self.watched.has_settled_at(primary), 60, "an old primary that follows")
        until(self.watched.is_agreed, 60, "sentinels that agree")
        old.operator.config_set("min-replicas-to-write", 0)
        self.deposed = None

    def restart_sentinel(self, number, pause_s, on_main):
        sentinel = self.watched.sentinels[number % len(self.watched.sentinels)]
        sentinel.kill()
        time.sleep(pause_s)
        on_main(sentinel.up)
        until(self.watched.is_agreed, 60, "sentinels that agree")

    def failovers(self):
        """As the sentinels count them, whoever caused them."""
        epochs = [int(sentinel.master()["config-epoch"]) for sentinel in self.watched.sentinels
                  if sentinel.is_alive()]
        return max(epochs)

    def down(self):
        super().down()
        for sentinel in self.watched.sentinels:
            sentinel.kill()


class Sharded(Store):
    def __init__(self, servers, fsync):
        self.cluster = Cluster(servers, masters=3, replicas=True, arguments=(
            "--appendonly", "yes", "--appendfsync", fsync, "--repl-diskless-sync-delay", "0"))
        super().__init__(self.cluster.nodes)

    @property
    def url(self):
        return self.cluster.url

    def _ask(self, *words):
        """Any node that answers."""
        for node in self.nodes:
            if node.is_alive() and node is not self.deposed:
                with contextlib.suppress(RedisError), connect(node, 1) as client:
                    return client.execute_command(*words)
        raise redis_client.exceptions.ConnectionError("no node answers")

    def _masters(self):
        """{node: [(first slot, last slot)]}, of those who have slots."""
        by_port, found = {node.port: node for node in self.nodes}, {}
        for first, last, master, *_copies in self._ask("CLUSTER SLOTS"):
            found.setdefault(by_port[int(master[1])], []).append((int(first), int(last)))
        return found

    def primaries(self):
        return [node for node in self._masters() if node.is_alive()]

    def node_of(self, queue):
        slot = redis_client.crc.key_slot(queue.encode())
        for node, ranges in self._masters().items():
            if any(first <= slot <= last for first, last in ranges):
                return node
        raise redis_client.exceptions.ConnectionError("nobody has the slot")

    def begin_failover(self, queue, is_killed):
        master = self.node_of(queue)
        self.deposed = master
        if is_killed:
            self.hold_writes(master)
            master.kill()
            return
        # The replica agrees with its master on the moment: Redis' own way to lose nothing.
        copies = master.operator.info("replication")
        port = next(value["port"] for key, value in copies.items()
                    if key.startswith("slave") and isinstance(value, dict))
        copy = next(node for node in self.nodes if node.port == port)
        copy.operator.execute_command("CLUSTER FAILOVER")

    def end_failover(self, on_main):
        if not self.deposed.is_alive():
            on_main(self.deposed.up)
            let_in(self.deposed)
        until(self._is_settled, 60, "a cluster that has settled")
        self.deposed = None

    def _is_settled(self):
        try:
            return self._has_three_pairs()
        except RedisError:
            return False  # one of them loads what its master has sent

    def _has_three_pairs(self):
        roles = [node.operator.info("replication") for node in self.nodes]
        return (self.cluster.is_settled() and self.deposed.operator.info("replication")["role"] == "slave"
                and sum(role["role"] == "master" for role in roles) == 3
                and all(is_copied_to(role) for role in roles))

    def move_slot(self, queue):
        source = self.node_of(queue)
        target = next(node for node in self.primaries() if node is not source)
        slot = redis_client.crc.key_slot(queue.encode())
        ids = {node: node.operator.execute_command("CLUSTER MYID").decode()
               for node in (source, target)}
        target.operator.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
        source.operator.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
        while keys := source.operator.execute_command("CLUSTER GETKEYSINSLOT", slot, 500):
            source.operator.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000,
                                            "KEYS", *keys)
        for node in (target, source, *self.primaries()):
            node.operator.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])


def is_copied_to(role):
    """A replica whose link is up, or a master that has a replica."""
    if role["role"] == "slave":
        return role["master_link_status"] == "up"
    return role["connected_slaves"] == 1


STORES = {"single": Single, "sentinel": WithSentinels, "cluster": Sharded}
