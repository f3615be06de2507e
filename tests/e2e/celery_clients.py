"""Real Celery: its client library, and its workers, from virtual environments under build/ that
`make test-celery` fills. Without them these tests are skipped by name."""

import functools
import json
import os
import subprocess

import pytest

from support import PATIENCE, ROOT, Process, until

VERSIONS = ("5.7.0", "5.2.7")
APP = ROOT / "tests/celery"
MODULE = "celery_tasks_enhanced."
SEP = "\x06\x16"


def home(version):
    return ROOT / "build/celery" / version


def is_installed(version):
    return (home(version) / "ready").exists()


def flower_home():
    return home("flower")


def has_flower():
    return is_installed("flower")


def each_version():
    """Runs a test with every version that is there; names those that are not."""
    return pytest.mark.parametrize("version", [
        pytest.param(version, marks=pytest.mark.skipif(
            not is_installed(version), reason=f"celery {version} is not installed (make test-celery)"))
        for version in VERSIONS
    ])


def newest():
    return pytest.mark.skipif(not is_installed(VERSIONS[0]),
                              reason=f"celery {VERSIONS[0]} is not installed (make test-celery)")


PRELUDE = """
import json, sys, time
from celery import chain, chord, group, signature
from app import *
TIMEOUT = %r
def show(value): print("SHOWN " + json.dumps(value, default=str))
def outcome(result):
    try:
        return ["ok", result.get(timeout=TIMEOUT)]
    except Exception as error:
        return [type(error).__module__ + "." + type(error).__name__, str(error)]
"""


class Celery:
    """The producer's side: pieces of Python that run in a process of their own."""

    def __init__(self, version, redis_url, directory, **settings):
        self.version = version
        self.python = home(version) / "bin/python"
        self.directory = directory
        self.env = {"PATH": os.environ["PATH"], "REDIS_URL": redis_url, "PYTHONPATH": str(APP),
                    "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", **settings}
        self.workers = []

    def run(self, code, timeout=60):
        """What `code` shows, one value for each show()."""
        done = subprocess.run(
            [self.python, "-c", PRELUDE % (20 * PATIENCE) + code], env=self.env, text=True,
            capture_output=True, timeout=timeout * PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line[6:]) for line in done.stdout.splitlines()
                if line.startswith("SHOWN ")]

    def worker(self, name=None, queues="analysis,chat", concurrency=1, options=(), **settings):
        """A real worker; returns when it is consuming."""
        name = name or f"real{len(self.workers) + 1}"
        process = Process(name, self.directory / name)
        self.workers.append(process)
        process.start(
            [self.python, "-m", "celery", "-A", "app", "worker", "-n", f"{name}@real", "-Q", queues,
             "-c", concurrency, "-l", "INFO", *options], {**self.env, **settings, "C_FORCE_ROOT": "1",
                                                          "HOME": str(self.directory)})
        until(lambda: "ready." in process.log() or not process.is_alive(), 30, f"worker {name}")
        assert process.is_alive(), process.log()
        return process

    def end(self):
        for process in self.workers:
            process.kill()


# ---- fixtures, which conftest.py makes known ----


@pytest.fixture
def serve(worker):
    """A factory: serve(HEADGATE_CONCURRENCY=3) starts a worker of ours on Celery's queues."""
    return functools.partial(worker, USE_CELERY="true")


@pytest.fixture
def celery(redis, tmp_path):
    """A factory of producers; the real workers that they start are ended with the test."""
    made = []

    def make(version=VERSIONS[0], **settings):
        made.append(Celery(version, redis.url, tmp_path, **settings))
        return made[-1]

    yield make
    for client in made:
        client.end()


def meta(redis, task_id):
    text = redis.client.get(f"celery-task-meta-{task_id}")
    return json.loads(text) if text else None
