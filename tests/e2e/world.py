"""Worlds of their own for processes: namespaces, wrong clocks, limits. Nothing outside changes."""

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from support import IS_SANITIZED


def _works(*command):
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _faketime():
    found = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return found[0] if found else None


@functools.cache
def _lacks(what):
    """Why this cannot be had here, or ''."""
    if what == "faketime":
        if IS_SANITIZED:
            return "libfaketime cannot be preloaded in front of AddressSanitizer"
        return "" if _faketime() else "libfaketime is not installed (apt: faketime)"
    if what == "mount namespaces":
        ok = _works("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt")
        return "" if ok else "unshare -m is not allowed here"
    if what == "network namespaces":
        ok = _works("unshare", "-n", "ip", "link", "set", "lo", "up")
        return "" if ok else "unshare -n is not allowed here"
    return "" if shutil.which(what) else f"{what} is not installed"


def needs(*tools):
    """Skips a test, by name and reason, where a tool or a privilege is missing."""
    reasons = [reason for reason in map(_lacks, tools) if reason]
    return pytest.mark.skipif(bool(reasons), reason="; ".join(reasons))


def faked_time(offset):
    """The environment of a process whose wall clock is wrong; its monotonic clock is right."""
    env = {"LD_PRELOAD": str(_faketime()), "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
    return {**env, "FAKETIME": offset} if offset else env


def private_mounts(*commands):
    """A prefix of a command line: mounts that only this process sees, made before it starts."""
    script = " && ".join(["mount --make-rprivate /", *commands, 'exec "$@"'])
    return ["unshare", "-m", "sh", "-c", script, "sh"]


class Island:
    """A network of its own: nothing but lo, and packet filter rules that nobody else sees.

    Unix sockets go through the file system, so Redis can be asked from outside.
    """

    def __init__(self):
        self.holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"],
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout.readline() == b"up\n"
        self.within = ["nsenter", "-t", str(self.holder.pid), "-n"]
        self.nft("add table inet fault",
                 "add chain inet fault input { type filter hook input priority 0; }")

    def run(self, *command):
        done = subprocess.run([*self.within, *command], capture_output=True, check=True)
        return done.stdout

    def nft(self, *lines):
        subprocess.run([*self.within, "nft", "-f", "-"], input="\n".join(lines).encode(),
                       check=True, capture_output=True)

    def rule(self, rule):
        """Every packet that arrives on lo meets it: both directions."""
        self.nft(f"add rule inet fault input {rule}")

    def no_rules(self):
        self.nft("flush chain inet fault input")

    def down(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


class SmallDisk:
    """A file system of some megabytes at `directory`, seen by those who run `within`."""

    def __init__(self, directory, megabytes):
        self.directory = directory
        directory.mkdir()
        script = f"mount --make-rprivate / && mount -t tmpfs -o size={megabytes}m none {directory}"
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script + " && echo up && exec sleep 600"],
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout.readline() == b"up\n"
        self.within = ["nsenter", "-t", str(self.holder.pid), "-m"]

    def grow(self, megabytes):
        command = ["mount", "-o", f"remount,size={megabytes}m", str(self.directory)]
        subprocess.run([*self.within, *command], check=True, capture_output=True)

    def down(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
