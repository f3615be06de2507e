"""What every part of the harness stands on: waiting, ports, processes, HTTP."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("HEADGATE_BUILD", "build/release")
IS_SANITIZED = "release" not in BUILD.name
# A sanitizer build is several times slower, and so is a machine that others use too.
PATIENCE = float(os.environ.get("HEADGATE_PATIENCE", 3 if IS_SANITIZED else 1))


def until(fact, timeout=10.0, what="the expected state"):
    """Calls `fact` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        seen = fact()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {timeout} s; last seen: {seen!r}")
        time.sleep(0.01)


def stays(fact, seconds, what="the state"):
    """Asserts that `fact` stays true for a while: for what must not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert fact(), f"{what} did not last for {seconds} s"
        time.sleep(0.02)


# Below the ephemeral range, in blocks that a process holds as long as it lives.
PORT_BLOCKS = range(10000, 32000, 50)
_ports = iter(())
_held_blocks = []


def _take_block():
    """Ports that no other test process of this machine is given. Who binds the block's name, an
    abstract Unix socket, has it; the kernel gives it back when the process ends, however it does."""
    for start in random.sample(PORT_BLOCKS, len(PORT_BLOCKS)):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0headgate-test-ports-{start}")
        except OSError:
            name.close()
            continue
        _held_blocks.append(name)
        return iter(range(start, start + PORT_BLOCKS.step))
    raise AssertionError("every block of ports is taken")


def free_port():
    """A port nobody else is given, and that nobody listens on."""
    global _ports
    while True:
        for port in _ports:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        _ports = _take_block()


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


def http_call(port, method, path, body=None, headers=None, timeout=15):
    """One request on a connection of its own. A dict or list is sent as JSON."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * PATIENCE)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        lower = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, lower, response.read())
    finally:
        connection.close()


def raw_http(port, data, timeout=15, is_half_closed=False):
    """Sends bytes as they are and returns all that comes until the other side closes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        if is_half_closed:
            connection.shutdown(socket.SHUT_WR)
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
    return answer


class Process:
    """A child process whose stderr and stdout go to files, ended by pid whatever happens."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / f"{name}.log"
        self.child = None

    def start(self, arguments, env):
        # Should the test run itself be killed, the kernel ends its children.
        command = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", *map(str, arguments)]
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                command, env=env, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log
            )

    @property
    def pid(self):
        return self.child.pid

    def is_alive(self):
        return self.child is not None and self.child.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number):
        self.child.send_signal(number)

    def term(self):
        self.signal(signal.SIGTERM)

    def stop(self):
        """SIGSTOP; returns when the process really stands still."""
        self.signal(signal.SIGSTOP)
        self.wait_stopped()

    def wait_stopped(self, timeout=10):
        """Until it stands still, whoever stopped it."""
        until(lambda: self._state() == "T", timeout, f"stop of {self.name}")

    def cont(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9, and waits for the end."""
        if self.is_alive():
            self.child.kill()
            self.child.wait()

    def wait(self, timeout=10):
        """The exit code; negative for a signal."""
        try:
            return self.child.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout} s:\n{self.log()[-3000:]}")

    def wait_for_log(self, text, timeout=10):
        until(lambda: text in self.log(), timeout, f"{text!r} in the log of {self.name}")

    def _state(self):
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_mb(pid):
    """The most that it ever had in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@dataclass
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str
    seconds: float = field(default=0.0)

    def json(self):
        return json.loads(self.out)

    def json_lines(self):
        return [json.loads(line) for line in self.out.splitlines()]
