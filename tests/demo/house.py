"""What the demo runs: a private Redis, the Bedrock simulator, two workers.

Nothing of it outlives the `with House()` block, unless the block sets `is_kept`.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

DEMO = Path(__file__).resolve().parent
ROOT = DEMO.parents[1]
HEADGATE = ROOT / "build" / "headgate"
START_SECONDS = 15
STOP_SECONDS = 4

# The simulator accepts these and nothing else.
SIM_CREDENTIALS = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}


class DemoError(Exception):
    """Ends the demo; `log` is the end of what the service concerned has said."""

    def __init__(self, message, log=""):
        super().__init__(message)
        self.log = log


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def http_get(port, path):
    """Status and JSON body, or (0, {}) while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()


class Service:
    """A process with a log file, in a session of its own: Ctrl-C reaches the demo alone, which
    ends everything in order."""

    def __init__(self, name, directory, argv, env, port=0):
        self.name = name
        self.port = port
        self.log_path = directory / f"{name.replace(' ', '-')}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in argv], env=env, cwd=directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    @property
    def is_alive(self):
        return self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def failed(self, message):
        return DemoError(f"{self.name} {message}", "\n".join(self.log().splitlines()[-20:]))

    def check(self):
        if not self.is_alive:
            raise self.failed(f"ended with exit code {self.process.returncode}")

    def wait_until(self, is_up):
        end = time.monotonic() + START_SECONDS
        while not is_up():
            self.check()
            if time.monotonic() > end:
                raise self.failed(f"is not ready after {START_SECONDS} s")
            time.sleep(0.02)
        return self

    def stop(self):
        """Politely, then less so: a worker's second SIGTERM gives its jobs back at once."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if not self.is_alive:
                return
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass


class House:
    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="headgate-demo-", dir="/tmp"))
        self.services = []
        self.workers = []
        self.sim = None
        self.socket = self.directory / "redis.sock"
        self.redis_port, *self.worker_ports = free_ports(3)
        self.is_kept = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.is_kept:
            self.close()

    def close(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for service in reversed(self.services):
            service.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def redis_url(self):
        return f"redis://127.0.0.1:{self.redis_port}/0"

    def open_redis(self):
        redis = self._start("redis", [
            "redis-server", "--bind", "127.0.0.1", "--port", self.redis_port,
            "--unixsocket", self.socket, "--dir", self.directory, "--save", "",
            "--appendonly", "no", "--maxmemory-policy", "noeviction",
        ], clean_environment())
        redis.wait_until(lambda: "Ready to accept connections" in redis.log())

    def open_sim(self):
        port_file = self.directory / "sim.port"
        self.sim = self._start("simulator", [
            ROOT / "build" / "sim", "--port-file", port_file, "--config", DEMO / "sim.json",
        ], clean_environment())
        self.sim.wait_until(port_file.exists)
        self.sim.port = int(port_file.read_text())

    def open_workers(self, env):
        for number, port in enumerate(self.worker_ports, 1):
            env = {**env, "REDIS_URL": self.redis_url, "HEADGATE_HTTP": f"127.0.0.1:{port}"}
            self.workers.append(self._start(f"worker {number}", [HEADGATE, "worker"], env, port))
        for worker in self.workers:
            worker.wait_until(lambda: http_get(worker.port, "/readyz")[0] == 200)

    def check(self):
        for service in self.services:
            service.check()

    def not_ready(self):
        """Why a worker takes no jobs, or None."""
        for worker in self.workers:
            status, answer = http_get(worker.port, "/readyz")
            if status != 200:
                return worker.failed(f"is not ready: {answer.get('reason', 'no answer')}")
        return None

    def sim_figures(self):
        """What the simulator counted, in the words of Headgate's counters."""
        _, stats = http_get(self.sim.port, "/sim/stats")
        return {model: {"calls": seen["calls"], "successes": seen["ok"],
                        "throttles": seen["throttled"], "errors": seen["errors"]}
                for model, seen in stats.get("models", {}).items()}

    def cooldowns(self):
        """The seconds of every cooldown that a worker has logged."""
        found = [int(ms) / 1000 for worker in self.workers
                 for ms in re.findall(r"is cooling down.*cooldown_ms=(\d+)", worker.log())]
        return sorted(found)

    def _start(self, name, argv, env, port=0):
        if not shutil.which(str(argv[0])):
            raise DemoError(f"{argv[0]} is missing: `make demo` installs and builds what it needs")
        self.services.append(Service(name, self.directory, argv, env, port))
        return self.services[-1]


def clean_environment(**settings):
    return {"PATH": os.environ.get("PATH", os.defpath), **settings}


def simulated_environment(sim_port):
    """Of a worker: nothing of the user's own settings gets in."""
    primary, *fallbacks = simulated_quotas()
    return clean_environment(
        BEDROCK_MODEL_ID=primary, BEDROCK_FALLBACK_MODELS=",".join(fallbacks),
        AWS_ENDPOINT_URL_BEDROCK_RUNTIME=f"http://127.0.0.1:{sim_port}", **SIM_CREDENTIALS)


def simulated_quotas():
    """Model: its quota, in the order of preference."""
    text = re.sub(r"^\s*//.*$", "", (DEMO / "sim.json").read_text(), flags=re.M)
    return {name: model["rpm"] for name, model in json.loads(text)["models"].items()}
