"""What an attacker finds who got hold of the binary or of a place beside the process."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from headgate import BINARY, SECRET_KEY
from support import IS_SANITIZED, ROOT, until

release_only = pytest.mark.skipif(IS_SANITIZED, reason="sanitizers need what hardening forbids")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
NOBODY = 65534


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, BINARY], check=True, capture_output=True,
                          text=True).stdout


def imports():
    rows = readelf("--dyn-syms").splitlines()
    return {row.split()[7].split("@")[0] for row in rows if " UND " in row and len(row.split()) > 7}


@release_only
def test_the_binary_is_position_independent_and_its_tables_are_read_only():
    assert "DYN (Position-Independent Executable file)" in readelf("-h")
    segments = readelf("-l")
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW +0x", segments)
    assert not re.search(r"LOAD.* RWE ", segments)
    assert "BIND_NOW" in readelf("-d")


@release_only
def test_the_binary_has_stack_protectors_and_checked_calls():
    names = imports()
    assert "__stack_chk_fail" in names
    assert {"__snprintf_chk", "__memcpy_chk"} & names


@release_only
def test_the_binary_calls_nothing_that_cannot_be_used_safely():
    assert not imports() & {"gets", "strcpy", "strcat", "sprintf", "vsprintf", "system", "popen",
                            "mktemp", "tmpnam"}


@release_only
def test_no_memory_is_writable_and_executable(worker):
    maps = Path(f"/proc/{worker().pid}/maps").read_text().splitlines()
    assert maps
    assert not [row for row in maps if "wx" in row.split()[1]]


@release_only
@as_root
def test_nobody_else_looks_into_the_process_and_it_leaves_no_core(worker):
    process = worker()
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    command = ["setpriv", "--reuid", str(NOBODY), "--clear-groups", BINARY, "worker"]
    child = subprocess.Popen(command, env=process.env | {"HEADGATE_HTTP": "off"},
                             stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr.readline()
        # What can't be dumped belongs to root in /proc.
        assert os.stat(f"/proc/{child.pid}/environ").st_uid == 0
        assert "Uid:\t65534" in Path(f"/proc/{child.pid}/status").read_text()
    finally:
        child.kill()
        child.communicate()


def test_nothing_of_the_environment_stands_in_proc(redis, worker):
    process = worker(HEADGATE_HTTP_TOKEN="open-sesame", https_proxy="http://me:hidden@proxy:1")
    block = Path(f"/proc/{process.pid}/environ").read_bytes()
    assert not block.strip(b"\0"), "all that was there has moved"
    redis.push({"id": "moved", "content": "mark-moved"})
    assert redis.wait_result("moved")["state"] == "succeeded"


def test_no_secret_is_shown_anywhere(redis, worker, cli):
    secrets = {"HEADGATE_HTTP_TOKEN": "open-sesame-1",
               "https_proxy": "http://me:proxy-secret-1@proxy:1"}
    redis.client.execute_command("ACL", "SETUSER", "gate", "on", ">redis-secret-1", "~*", "&*",
                                 "+@all")
    url = f"redis://gate:redis-secret-1@127.0.0.1:{redis.port}/0"
    process = worker(wait_ready=False, redis_url=url, HEADGATE_LOG_LEVEL="debug", **secrets)
    redis.push({"id": "told", "content": "mark-told"})
    redis.wait_result("told")
    process.child.send_signal(signal.SIGUSR1)
    process.wait_for_log("state")
    env = {**secrets, "REDIS_URL": url, "AWS_SESSION_TOKEN": "session-secret-1"}
    shown = [process.log(), json.dumps(redis.result("told")), *[
        done.out + done.err for done in (
            cli("config", **env), cli("config", "--json", **env),
            cli("doctor", "--no-calls", **env), cli("stats", **env),
            cli("config", **env, HEADGATE_CONCURRENCY="none"))]]
    for secret in [SECRET_KEY, "redis-secret-1", "proxy-secret-1", "open-sesame-1",
                   "session-secret-1"]:
        assert not [text for text in shown if secret in text], secret


# ---------------------------------------------------------------- systemd


@pytest.fixture
def manager(tmp_path):
    """The socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        yield listener


def test_systemd_is_told_of_start_life_and_stop(worker, manager):
    process = worker(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="200000")
    assert manager.recv(64) == b"READY=1"
    assert [manager.recv(64) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    process.term()
    until(lambda: manager.recv(64) == b"STOPPING=1", what="STOPPING=1")
    assert process.wait() == 0


def test_an_abstract_socket_and_another_process_watchdog(worker):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0headgate-test-{os.getpid()}")
        listener.settimeout(20)
        name = "@" + listener.getsockname()[1:].decode()
        process = worker(NOTIFY_SOCKET=name, WATCHDOG_USEC="20000", WATCHDOG_PID="1")
        assert listener.recv(64) == b"READY=1"
        process.term()
        assert listener.recv(64) == b"STOPPING=1", "and no WATCHDOG=1 between"


def test_no_secret_is_in_the_arguments(worker):
    process = worker()
    assert SECRET_KEY.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()


@release_only
@as_root
def test_a_worker_without_rights_on_a_read_only_root_does_its_work(redis, worker, servers):
    """What the container and the unit give it: no user, no capabilities, nothing to write."""
    env = worker(HEADGATE_QUEUES="elsewhere").env
    script = (
        "mount --make-rprivate / && mount -o remount,bind,ro / && exec setpriv --reuid 65534 "
        "--regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "
        f"--pdeathsig KILL {BINARY} worker"
    )
    child = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script], stderr=subprocess.PIPE, text=True,
        env=env | {"HEADGATE_HTTP": "off", "HEADGATE_QUEUES": "analyze"})
    try:
        line = child.stderr.readline()
        if "mount" in line or "unshare" in line:
            pytest.skip(f"no mount namespaces here: {line}")
        redis.push({"id": "bare", "content": "mark-bare"})
        assert redis.wait_result("bare")["state"] == "succeeded"
    finally:
        child.terminate()
        child.communicate(timeout=30)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_unit_is_sandboxed_as_far_as_systemd_can():
    unit = ROOT / "docker/headgate.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", unit],
                          capture_output=True, text=True)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) <= 1.5, done.stdout
