"""Redis Sentinel, from outside: a real primary, its replicas, and real sentinels."""

import pytest
import redis as redis_client

from headgate import CommandLine, environment
from support import Process, free_port, until

MASTER = "my-master"
QUORUM = 2


class Sentinel(Process):
    def __init__(self, directory, primary, password="", master_password=""):
        super().__init__("sentinel", directory)
        self.port = free_port()
        self.file = self.directory / "sentinel.conf"
        lines = [
            f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}",
            f"sentinel monitor {MASTER} 127.0.0.1 {primary.port} {QUORUM}",
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
        self.start(["redis-server", self.file, "--sentinel"], {"PATH": "/usr/bin:/bin"})
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

    def __init__(self, servers, password="", server_password=""):
        login = ("--requirepass", server_password, "--masterauth", server_password)
        extra = ("--repl-diskless-sync-delay", "0", *(login if server_password else ()))
        self.servers = servers
        self.server_password = server_password
        self.nodes = [self._node(extra)]
        self.primary = self.nodes[0]
        for _ in range(2):
            self.nodes.append(self._node(
                (*extra, "--replicaof", "127.0.0.1", str(self.primary.port))))
        until(lambda: all(node.client.info("replication").get("master_link_status") == "up"
                          for node in self.nodes[1:]), 20, "replicas")
        self.sentinels = [self._sentinel(password) for _ in range(3)]
        until(self.is_agreed, 30, "sentinels that know each other and the replicas")

    def _node(self, arguments):
        return self.servers.redis(aof=True, arguments=arguments, password=self.server_password)

    def _sentinel(self, password):
        number = next(self.servers.numbers)
        directory = self.servers.directory / f"sentinel{number}"
        directory.mkdir()
        sentinel = Sentinel(directory, self.primary, password, self.server_password)
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
        states = [node.client.info("replication") for node in (primary, *others)]
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


def job(name, **fields):
    return {"id": name, "content": f"mark-{name}", **fields}


@pytest.fixture
def watched(servers):
    return Watched(servers)


def is_idle(node):
    """All that was written has reached the replicas."""
    info = node.client.info("replication")
    return all(info[key]["offset"] == info["master_repl_offset"]
               for key in info if key.startswith("slave") and isinstance(info[key], dict))


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
