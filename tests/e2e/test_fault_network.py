"""Between worker, Redis and model: slow, sliced, cut, lossy, silent, renamed."""

import json

import pytest

from support import stays, until
from world import needs, private_mounts

AWAY, BACK, LEASE_LOST = "Redis is away", "Redis is back", "lease lost"
REDIS_NAME, MODEL_NAME = "redis.headgate.test", "model.headgate.test"


def job(name):
    return {"id": name, "content": f"mark-{name}"}


def push_all(redis, names):
    for name in names:
        redis.push(job(name))


def assert_once(redis, *names, timeout=15):
    for name in names:
        result = redis.wait_result(name, timeout)
        assert (result["state"], result["attempt"]) == ("succeeded", 1), name
        assert len(redis.replies(name)) == 1, name


def assert_called_once(sim, *names):
    assert [len(sim.calls(f"mark-{name}")) for name in names] == [1] * len(names)


# ---- a proxy in front of Redis ----


@pytest.fixture
def wire(servers, redis):
    return servers.proxy(redis.port)


REPLIES = {
    "of the blocking pop": rb"\A\$\d+\r\n\{.*mark-lost",
    "of a claim": rb"\A\*.*ok.*mark-lost",
    "of a begin": rb"\*2\r\n\$3\r\nrun",
    "of a settle": rb"\A\$2\r\nok",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_lost_on_the_wire_costs_no_job_and_no_call(redis, sim, worker, wire, reply):
    process = worker(redis_url=wire.redis_url)
    until(lambda: redis.client.info("clients")["blocked_clients"] > 0, what="a blocked pop")
    wire.lose_reply(b"(?s)" + reply)
    redis.push(job("lost"))
    assert_once(redis, "lost")
    assert wire.was_lost()
    assert_called_once(sim, "lost")
    redis.push(job("next"))
    assert_once(redis, "next")
    assert LEASE_LOST not in process.log()


def test_who_lost_its_jobs_hears_so_even_when_that_reply_is_lost(redis, sim, worker, wire):
    """It slept beyond its lease with a call open; its first beat as it wakes is answered, and the
    answer lost. A second one must not find it registered and its call the next model for nothing."""
    sleeper = worker(redis_url=wire.redis_url, HEADGATE_CALL_TIMEOUT=1)
    sim.script({"do": "hang"})
    redis.push(job("taken"))
    sim.wait_open(1)
    sleeper.stop()
    worker()
    assert_once(redis, "taken")
    wire.lose_reply(rb"\*8\r\n:0\r\n")
    sleeper.cont()
    sleeper.wait_for_log(LEASE_LOST)
    assert wire.was_lost()
    until(sleeper.is_ready, what="readiness")
    redis.push(job("next"))
    assert_once(redis, "next")
    assert [call["outcome"] for call in sim.calls("mark-taken")].count("ok") == 1


def test_replies_that_come_byte_by_byte_are_read(redis, sim, worker, wire):
    wire.slice_bytes = 1
    worker(redis_url=wire.redis_url)
    names = [f"slice-{n}" for n in range(20)]
    push_all(redis, names)
    assert_once(redis, *names)
    assert_called_once(sim, *names)


def test_a_slow_line_makes_it_slower_and_nothing_else(redis, sim, worker, wire):
    wire.delay_s = 0.1
    process = worker(redis_url=wire.redis_url)
    names = [f"slow-{n}" for n in range(20)]
    push_all(redis, names)
    assert_once(redis, *names)
    assert_called_once(sim, *names)
    assert process.is_ready()
    assert LEASE_LOST not in process.log()


def test_a_connection_cut_after_any_number_of_bytes_costs_no_job(redis, sim, worker, wire):
    worker(redis_url=wire.redis_url)
    names = []
    for count in (1, 2, 3, 4, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377):
        wire.cut_after(count)
        names.append(f"cut-{count}")
        redis.push(job(names[-1]))
        assert_once(redis, names[-1])
    assert_called_once(sim, *names)


def test_connections_that_are_reset_are_back_at_once(redis, sim, worker, wire):
    process = worker(redis_url=wire.redis_url, HEADGATE_CONCURRENCY=10)
    sim.config(default={"latency_ms": 20})
    names = [f"reset-{n}" for n in range(100)]
    for n, name in enumerate(names):
        redis.push(job(name))
        if n % 20 == 10:
            wire.reset_all()
    assert_once(redis, *names, timeout=30)
    assert_called_once(sim, *names)
    until(process.is_ready, what="a green /readyz")


def test_a_line_that_falls_silent_is_noticed_and_the_answer_kept(redis, sim, worker, wire):
    process = worker(redis_url=wire.redis_url)
    sim.script({"do": "delay", "ms": 300})
    redis.push(job("during"))
    sim.wait_open(1)
    wire.fall_silent()
    until(lambda: process.readiness() == 503, what="a red /readyz")
    process.wait_for_log(AWAY, 15)
    redis.push(job("meanwhile"))
    wire.speak()
    assert_once(redis, "during", "meanwhile")
    assert_called_once(sim, "during", "meanwhile")
    process.wait_for_log(BACK)


# ---- a packet filter ----


@pytest.fixture
def island(servers):
    return servers.island()


def settle_on(island, servers, **settings):
    """Redis, simulator and a worker of their own network."""
    redis = servers.redis(within=island.within)
    sim = servers.sim(within=island.within)
    process = servers.worker(
        redis.url, sim.url, wait_ready=False, within=island.within, HEADGATE_HTTP="off", **settings
    )
    process.wait_for_log("connected to Redis")
    return redis, sim, process


def calls_on(island, sim):
    fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
    text = island.run("/usr/bin/python3", "-c", fetch, f"{sim.url}/sim/log?from=0")
    return [call["marker"] for call in json.loads(text)["calls"]]


@needs("network namespaces", "nft")
def test_a_half_open_connection_is_given_up_and_another_opened(servers, island):
    """The packets of the connections that stand get lost; new ones get through."""
    redis, sim, process = settle_on(island, servers)
    redis.push(job("before"))
    assert_once(redis, "before")
    until(lambda: redis.client.info("clients")["blocked_clients"] > 0, what="a blocked pop")
    clients = redis.client.client_list()
    ports = [client["addr"].rpartition(":")[2] for client in clients
             if client["addr"].startswith("127.0.0.1:")]
    assert len(ports) >= 3
    island.rule(f"tcp sport {{ {', '.join(ports)} }} drop")
    island.rule(f"tcp dport {{ {', '.join(ports)} }} drop")
    redis.push(job("behind"))
    assert_once(redis, "behind", timeout=12)
    assert calls_on(island, sim).count("mark-behind") == 1
    process.wait_for_log(BACK)


@needs("network namespaces", "nft")
def test_a_port_that_refuses_for_a_while_is_told_once(servers, island):
    redis, sim, process = settle_on(island, servers)
    island.rule(f"tcp dport {redis.port} reject with tcp reset")
    process.wait_for_log(AWAY)
    redis.push(job("waiting"))
    stays(process.is_alive, 1.5, "the worker")
    island.no_rules()
    assert_once(redis, "waiting")
    process.wait_for_log(BACK)
    assert process.log().count(AWAY) == 1
    assert calls_on(island, sim) == ["mark-waiting"]


@needs("network namespaces", "nft")
def test_a_fifth_of_all_packets_lost_makes_it_slower_and_nothing_else(servers, island):
    redis, sim, process = settle_on(island, servers, HEADGATE_LEASE_SECONDS=30)
    # Both ways of each exchange with Redis and with the model.
    island.rule("numgen random mod 100 < 20 drop")
    names = [f"lossy-{n}" for n in range(10)]
    push_all(redis, names)
    assert_once(redis, *names, timeout=60)
    island.no_rules()
    assert sorted(calls_on(island, sim)) == sorted(f"mark-{name}" for name in names)
    assert process.is_alive()


# ---- names ----


class Names:
    """/etc/hosts and a name server that never answers, as one process sees them."""

    def __init__(self, directory):
        self.hosts = directory / "hosts"
        self.resolver = directory / "resolv.conf"
        # 192.0.2.0/24 belongs to nobody.
        self.resolver.write_text("nameserver 192.0.2.1\noptions timeout:1 attempts:1\n")
        self.say()

    def say(self, **names):
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        # In place: the mount holds on to the file.
        self.hosts.write_text("\n".join(lines) + "\n")

    def within(self):
        return private_mounts(
            f"mount --bind {self.hosts} /etc/hosts",
            f"mount --bind {self.resolver} /etc/resolv.conf",
        )


@needs("mount namespaces")
def test_a_redis_that_moves_to_another_address_is_found_by_its_name(servers, sim, tmp_path):
    first = servers.redis()
    names = Names(tmp_path)
    names.say(**{REDIS_NAME: "127.0.0.1"})
    process = servers.worker(
        f"redis://{REDIS_NAME}:{first.port}/0", sim.url, within=names.within()
    )
    first.push(job("here"))
    assert_once(first, "here")
    first.kill()
    second = servers.redis(port=first.port, arguments=("--bind", "127.0.0.2"))
    names.say(**{REDIS_NAME: "127.0.0.2"})
    second.push(job("there"))
    assert_once(second, "there")
    until(process.is_ready, what="a green /readyz")


@needs("mount namespaces")
def test_names_that_cannot_be_looked_up_stop_nothing_but_what_needs_them(servers, sim, tmp_path):
    redis, names = servers.redis(), Names(tmp_path)
    process = servers.worker(
        f"redis://{REDIS_NAME}:{redis.port}/0", f"http://{MODEL_NAME}:{sim.port}",
        wait_ready=False, within=names.within(),
    )
    process.wait_for_log(AWAY)
    assert process.get("/healthz", timeout=2).status == 200
    assert "Redis" in process.get("/readyz", timeout=2).json()["reason"]

    names.say(**{REDIS_NAME: "127.0.0.1"})
    until(process.is_ready, what="a green /readyz")
    redis.push(job("nameless"))
    until(lambda: process.readiness() == 503, what="a red /readyz")
    stays(lambda: process.get("/healthz", timeout=2).status == 200, 0.5)
    assert redis.result("nameless") is None

    names.say(**{REDIS_NAME: "127.0.0.1", MODEL_NAME: "127.0.0.1"})
    assert_once(redis, "nameless", timeout=20)
    until(process.is_ready, what="a green /readyz")
