"""Fixtures: each test has its own Redis, simulator and workers, and leaves nothing behind.

HEADGATE_BUILD names the directory of the binaries (build/release), so that a sanitizer
build runs the same suite.
"""

import itertools
from types import SimpleNamespace

import pytest

pytest.register_assert_rewrite("support", "services", "headgate", "control", "wire", "world",
                               "redis_cluster", "redis_sentinel", "celery_clients")

from celery_clients import celery, serve  # noqa: E402, F401 (fixtures)
from headgate import (  # noqa: E402
    BINARY, CLOSED_PORT_URL, CommandLine, Worker, environment
)
from services import Recorder, RedisServer, Simulator  # noqa: E402
from support import BUILD  # noqa: E402
from wire import Proxy  # noqa: E402
from world import Island, SmallDisk  # noqa: E402


def pytest_sessionstart(session):
    missing = [str(path) for path in (BINARY, BUILD / "sim") if not path.exists()]
    if missing and not session.config.option.collectonly:
        pytest.exit(f"not built: {', '.join(missing)} (try `make`)", returncode=2)


class Servers:
    """Starts what a test asks for and ends all of it, the last first."""

    def __init__(self, directory):
        self.directory = directory
        self.numbers = itertools.count(1)
        self.started = []

    def redis(self, **options):
        server = RedisServer(self._directory("redis"), **options)
        self.started.append(server.kill)
        return server.up()

    def sim(self, within=(), **config):
        server = Simulator(self._directory("sim"), config, within)
        self.started.append(server.kill)
        return server.up()

    def recorder(self, **options):
        server = Recorder(**options)
        self.started.append(server.down)
        return server

    def island(self):
        island = Island()
        self.started.append(island.down)
        return island

    def small_disk(self, megabytes):
        disk = SmallDisk(self._directory("disk"), megabytes)
        self.started.append(disk.down)
        return disk

    def proxy(self, port):
        proxy = Proxy(port)
        self.started.append(proxy.down)
        return proxy

    def worker(self, redis_url, provider_url, wait_ready=True, within=(), **settings):
        """`within`: a command line that runs the worker in a world of its own (world.py)."""
        env = environment(redis_url, provider_url, **settings)
        number = next(self.numbers)
        worker = Worker(f"worker{number}", self.directory / f"worker{number}", env, within)
        self.started.append(worker.end)
        return worker.up(wait_ready)

    def end(self):
        failures = []
        for end in reversed(self.started):
            try:
                end()
            except Exception as failure:  # the others must be ended too
                failures.append(failure)
        self.started.clear()
        if failures:
            raise failures[0]

    def _directory(self, kind):
        return self.directory / f"{kind}{next(self.numbers)}"


@pytest.fixture
def servers(tmp_path):
    servers = Servers(tmp_path)
    yield servers
    servers.end()


@pytest.fixture
def redis(servers):
    return servers.redis()


@pytest.fixture
def sim(servers):
    return servers.sim()


@pytest.fixture
def worker(servers, redis, sim):
    """A factory: worker(HEADGATE_CONCURRENCY=3) starts one on this test's Redis and simulator."""

    def start(wait_ready=True, redis_url=redis.url, provider_url=sim.url, **options):
        return servers.worker(redis_url, provider_url, wait_ready, **options)

    return start


@pytest.fixture
def cli(redis, sim):
    return CommandLine(environment(redis.url, sim.url))


@pytest.fixture
def lonely():
    """The command line where neither Redis nor a provider can be reached."""
    return CommandLine(environment("redis://127.0.0.1:9/0", CLOSED_PORT_URL))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """One Redis, simulator and worker for a whole module: for tests that need nothing special
    and use ids of their own."""
    servers = Servers(tmp_path_factory.mktemp("house"))
    redis, sim = servers.redis(), servers.sim()
    worker = servers.worker(redis.url, sim.url)
    cli = CommandLine(worker.env)
    yield SimpleNamespace(redis=redis, sim=sim, worker=worker, cli=cli, servers=servers)
    servers.end()
