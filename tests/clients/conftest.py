"""Fixtures: a town of its own for the examples, with everything at the ports that the pages name.

The examples run as they stand on the pages, so Redis is at localhost:6379, a node of a cluster at
7000, a sentinel at 26379 and a worker at 8080. Each test process takes a network of its own for
that, in which nothing else listens anywhere.
"""

import contextlib
import ctypes
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

E2E = Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))
pytest.register_assert_rewrite("examples", "pages", "languages")

CLONE_NEWNET = 0x40000000
WORKER_PORT = 8080


def e2e_conftest():
    spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# First of all: it has the harness' modules rewritten for pytest before anybody imports them.
Servers = e2e_conftest().Servers

from languages import RUNS_ALL  # noqa: E402
from world import needs  # noqa: E402

# These take longer, or need what comes from a registry.
if not RUNS_ALL:
    collect_ignore = ["test_clients_cluster.py", "test_clients_sentinel.py", "test_clients_slow.py",
                      "test_validator.py"]


def pytest_collection_modifyitems(items):
    mark = needs("network namespaces")
    for item in items:
        if "town" in item.fixturenames:
            item.add_marker(mark)


def pytest_collection_finish(session):
    """Fresh projects take what they need from the languages' registries: before a test process
    leaves the network."""
    projects = {}
    for item in session.items:
        project = getattr(item, "callspec", None) and item.callspec.params.get("project")
        if project and not project.language.why_not():
            projects[project.directory] = project
    if not session.config.option.collectonly:
        for project in projects.values():
            project.try_to_make()


@contextlib.contextmanager
def own_network():
    """This thread, and what it starts from now on, sees no network but a loopback of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", encoding="ascii") as outside:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            libc.setns(outside.fileno(), CLONE_NEWNET)


@pytest.fixture(scope="module")
def town(request, tmp_path_factory):
    """The simulator, a worker at 8080, and the kind of Redis that the module asks for by its
    REDIS(servers): something with url, push() and wait_result()."""
    servers = Servers(tmp_path_factory.mktemp("town"))
    with own_network():
        try:
            redis = request.module.REDIS(servers)
            sim = servers.sim()
            worker = servers.worker(redis.url, sim.url, HEADGATE_HTTP=f"127.0.0.1:{WORKER_PORT}")
            yield SimpleNamespace(redis=redis, sim=sim, worker=worker)
        finally:
            servers.end()
