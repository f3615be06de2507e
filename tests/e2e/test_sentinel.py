"""Redis Sentinel, from outside: a real primary, its replicas, and real sentinels."""

import socketserver
import threading

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


# ---- sentinels that can't be relied on ----


class Liar:
    """A sentinel that names whom it is told to name, and tells everybody when asked to."""

    def __init__(self, port):
        self.named, self.listeners = port, []
        liar = self

        class Handler(socketserver.StreamRequestHandler):
            def words(self):
                count = self.rfile.readline()
                for _ in range(int(count[1:] or 0)):
                    yield self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2]

            def handle(self):
                while words := list(self.words()):
                    self.wfile.write(liar.answer(words, self.wfile))

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, words, client):
        if words[0] == b"SENTINEL":
            return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(self.named)), self.named)
        if words[0] == b"SUBSCRIBE":
            self.listeners.append(client)
            return b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(words[1]), words[1])
        if words[0] == b"PING" and client in self.listeners:
            return b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        return b"+OK\r\n"

    def tell(self):
        text = f"{MASTER} 127.0.0.1 1 127.0.0.1 {self.named}".encode()
        for client in self.listeners:
            client.write(b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n%s\r\n"
                         % (len(text), text))

    def down(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def liar(servers):
    made = Liar(free_port())
    yield made
    made.down()


def lied_to(watched, liar):
    return watched.url().replace("//", f"//127.0.0.1:{liar.port},")


def test_a_sentinel_that_names_a_replica_or_nobody_is_not_believed_for_long(watched, servers, sim, liar):
    for n, port in enumerate((watched.nodes[1].port, free_port())):
        liar.named = port
        worker = servers.worker(lied_to(watched, liar), sim.url, wait_ready=False)
        watched.primary.push(job(f"lied-{n}"))
        assert watched.primary.wait_result(f"lied-{n}", 20)["state"] == "succeeded"
        worker.wait_ready(20)
        worker.end()


def test_a_sentinel_that_tells_of_a_failover_that_never_was_costs_a_moment(watched, servers, sim, liar):
    liar.named = watched.primary.port
    worker = servers.worker(lied_to(watched, liar), sim.url)
    until(lambda: liar.listeners, what="a listener")
    for n, node in enumerate(watched.nodes[1:]):
        liar.named = node.port
        liar.tell()
        worker.wait_for_log(f"the primary is 127.0.0.1:{node.port} now")
        watched.primary.push(job(f"told-{n}"))
        assert watched.primary.wait_result(f"told-{n}", 20)["state"] == "succeeded"
    worker.wait_ready(20)


@pytest.mark.parametrize("options, words", [("", "NOAUTH"), ("?sentinel_password=other", "WRONGPASS")])
def test_sentinels_that_do_not_let_us_in_are_told_with_their_words(servers, sim, options, words):
    watched = Watched(servers, password="for-sentinels")
    worker = servers.worker(watched.url(options=options), sim.url, wait_ready=False)
    worker.wait_for_log(words)
    until(lambda: worker.readiness() == 503, what="a red /readyz")
    answer = worker.get("/readyz").body.decode()
    assert words in answer and f"127.0.0.1:{watched.sentinels[0].port}" in answer
    assert "for-sentinels" not in worker.log() and "password=" not in worker.log()


def test_after_all_sentinels_were_restarted_a_failover_is_followed(watched, servers, sim):
    worker = servers.worker(watched.url(), sim.url)
    for sentinel in watched.sentinels:
        sentinel.kill()
    for sentinel in watched.sentinels:
        sentinel.up()
    until(watched.is_agreed, 30, "sentinels that agree again")
    primary = watched.fail_over()
    primary.push(job("after"))
    assert primary.wait_result("after", 20)["state"] == "succeeded"
    until(worker.is_ready, 15, "readiness")


def test_a_failover_without_anybody_who_tells_is_found_by_asking(watched, servers, sim):
    """All sentinels are gone as the primary dies, and are back later: nobody heard the news."""
    worker = servers.worker(watched.url(), sim.url)
    for sentinel in watched.sentinels:
        sentinel.kill()
    watched.primary.kill()
    until(lambda: worker.readiness() == 503, what="a red /readyz")
    for sentinel in watched.sentinels:
        sentinel.up()
    primary = watched.wait_new_primary()
    primary.push(job("found"))
    assert primary.wait_result("found", 30)["state"] == "succeeded"


def test_sentinels_that_tell_names_are_followed(servers, sim):
    watched = Watched(servers, host="localhost")
    url = watched.url().replace("127.0.0.1", "localhost")
    worker = servers.worker(url, sim.url)
    watched.primary.push(job("by-name"))
    assert watched.primary.wait_result("by-name")["state"] == "succeeded"
    assert "localhost" in str(watched.sentinels[0].client.execute_command(
        "SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER))
    primary = watched.fail_over()
    primary.push(job("by-next-name"))
    assert primary.wait_result("by-next-name", 20)["state"] == "succeeded"
    until(worker.is_ready, 15, "readiness")
