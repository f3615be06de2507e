"""What an attacker finds who got hold of the binary or of a place beside the process."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from headgate import BINARY, SECRET_KEY
from support import IS_SANITIZED, ROOT

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


def test_no_secret_is_in_the_arguments(worker):
    process = worker()
    assert SECRET_KEY.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()


@release_only
@as_root
def test_a_worker_without_rights_on_a_read_only_root_does_its_work(redis, worker, servers):
    """What the container and the unit give it: no user, no capabilities, nothing to write."""
    env = worker(wait_ready=False, HEADGATE_QUEUES="elsewhere").env
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
