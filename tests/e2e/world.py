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
