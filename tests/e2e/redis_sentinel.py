"""A primary with replicas, watched by real sentinels."""

import redis as redis_client

from services import REDIS_SERVER
from support import Process, free_port, until

MASTER = "mymaster"
QUORUM = 2
# Sentinels keep and tell names, not the addresses behind them.
NAMED = ("sentinel resolve-hostnames yes", "sentinel announce-hostnames yes")


class Sentinel(Process):
    def __init__(self, directory, primary, password="", master_password="", host="127.0.0.1",
                 port=None):
        super().__init__("sentinel", directory)
        self.port = port or free_port()
        self.file = self.directory / "sentinel.conf"
        lines = [
            f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}",
            *(NAMED if host == "localhost" else ()),
            f"sentinel monitor {MASTER} {host} {primary.port} {QUORUM}",
            f"sentinel down-after-milliseconds {MASTER} 1500",
            f"sentinel failover-timeout {MASTER} 3000",
        ]
        if password:
            lines += [f"requirepass {password}", f"sentinel sentinel-pass {password}"]
        if master_password:
            lines.append(f"sentinel auth-pass {MASTER} {master_password}")
        self.file.write_text("\n".join(lines) + "\n")
        self.client = redis_client.Redis(port=self.port, password=password or None)

    def up(self):
        self.start([REDIS_SERVER, self.file, "--sentinel"], {"PATH": "/usr/bin:/bin"})
        until(self._answers, what="an answer of the sentinel")
        return self

    def _answers(self):
        try:
            return self.client.ping()
        except redis_client.exceptions.ConnectionError:
            assert self.is_alive(), self.log()
            return False

    def master(self):
        return self.client.execute_command("SENTINEL MASTER", MASTER)

    def primary_port(self):
        address = self.client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER)
        return int(address[1])


class Watched:
    """A primary with two replicas, and three sentinels that agree on it."""

    def __init__(self, servers, password="", server_password="", arguments=(), host="127.0.0.1",
                 ports=(None, None, None)):
        login = ("--requirepass", server_password, "--masterauth", server_password)
        extra = ("--repl-diskless-sync-delay", "0", *(login if server_password else ()), *arguments)
        if host != "127.0.0.1":
            extra += ("--replica-announce-ip", host)
        self.servers, self.host = servers, host
        self.server_password = server_password
        self.nodes = [self._node(extra)]
        self.primary = self.nodes[0]
        for _ in range(2):
            self.nodes.append(self._node(
                (*extra, "--replicaof", host, str(self.primary.port))))
        until(lambda: all(node.client.info("replication").get("master_link_status") == "up"
                          for node in self.nodes[1:]), 20, "replicas")
        self.sentinels = [self._sentinel(password, port) for port in ports]
        until(self.is_agreed, 30, "sentinels that know each other and the replicas")

    def _node(self, arguments):
        return self.servers.redis(aof=True, arguments=arguments, password=self.server_password)

    def _sentinel(self, password, port):
        number = next(self.servers.numbers)
        directory = self.servers.directory / f"sentinel{number}"
        directory.mkdir()
        sentinel = Sentinel(directory, self.primary, password, self.server_password,
                            self.host, port)
        self.servers.started.append(sentinel.kill)
        return sentinel.up()

    def is_agreed(self):
        states = [sentinel.master() for sentinel in self.sentinels if sentinel.is_alive()]
        return all(state["num-other-sentinels"] == 2 and state["num-slaves"] == 2
                   and state["flags"] == "master" for state in states)

    def url(self, login="", options=""):
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{login}{hosts}/{MASTER}/0{options}"

    def node_at(self, port):
        return next(node for node in self.nodes if node.port == port)

    def has_settled_at(self, primary):
        """A second failover, right behind the first, would lose what is pushed in between."""
        others = [node for node in self.nodes if node is not primary and node.is_alive()]
        try:
            states = [node.client.info("replication") for node in (primary, *others)]
        except redis_client.exceptions.ConnectionError:
            return False  # who gets another role hangs up on everybody, on us too
        return states[0]["role"] == "master" and all(
            state["role"] == "slave" and state["master_port"] == primary.port
            and state["master_link_status"] == "up" for state in states[1:])

    def wait_new_primary(self):
        """Until the sentinels name another one, and the living nodes follow it."""
        before = self.primary

        def named():
            living = [sentinel for sentinel in self.sentinels if sentinel.is_alive()]
            ports = {sentinel.primary_port() for sentinel in living}
            node = self.node_at(ports.pop()) if len(ports) == 1 else before
            if node is before or not node.is_alive():
                return None
            return node if self.has_settled_at(node) else None

        self.primary = until(named, 30, "a new primary")
        return self.primary

    def fail_over(self):
        self.primary.kill()
        return self.wait_new_primary()


def is_idle(node):
    """All that was written has reached the replicas."""
    info = node.client.info("replication")
    return all(info[key]["offset"] == info["master_repl_offset"]
               for key in info if key.startswith("slave") and isinstance(info[key], dict))
