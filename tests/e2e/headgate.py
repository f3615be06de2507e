"""The product, from outside: a worker process and the command line."""

import json
import os
import subprocess
import time

from services import PRIMARY, SECOND, THIRD
from support import BUILD, IS_SANITIZED, PATIENCE, ROOT, Finished, Process, free_port, http_call, until

BINARY = BUILD / "headgate"
# The build with the stop points of common/stop_point.h; the sanitizer build has them itself.
STOPPABLE = BINARY if IS_SANITIZED else ROOT / "build/debug/headgate"
# For example valgrind: what every worker runs under.
UNDER = os.environ.get("HEADGATE_UNDER", "").split()
FORBIDDEN_IN_LOGS = ("AddressSanitizer", "LeakSanitizer", "runtime error", "Assertion")
# Ends by SIGABRT, SIGBUS, SIGFPE and SIGSEGV.
CRASHES = (-6, -7, -8, -11)
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CLOSED_PORT_URL = "http://127.0.0.1:9"

READY_LINE = "Multi-model fallback enabled (V2 - Per-Request Isolation)"


def environment(redis_url, provider_url, **settings):
    """A complete and clean environment; a setting of None takes a variable away."""
    env = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": redis_url,
        "BEDROCK_MODEL_ID": PRIMARY,
        "BEDROCK_FALLBACK_MODELS": f"{SECOND},{THIRD}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": provider_url,
        "HEADGATE_LEASE_SECONDS": "2",
        "HEADGATE_RETRY_BASE_MS": "50",
        "HEADGATE_DRAIN_SECONDS": "5",
        **settings,
    }
    return {name: str(value) for name, value in env.items() if value is not None}


class Worker(Process):
    def __init__(self, name, directory, env, within=()):
        super().__init__(name, directory)
        self.env = env
        self.within = list(within)
        self.port = 0

    def up(self, wait_ready=True):
        if "HEADGATE_HTTP" not in self.env:
            self.env["HEADGATE_HTTP"] = f"127.0.0.1:{free_port()}"
        address, _, port = self.env["HEADGATE_HTTP"].rpartition(":")
        self.port = int(port) if address else 0
        binary = STOPPABLE if "HEADGATE_STOP_AT" in self.env else BINARY
        self.start([*self.within, *UNDER, binary, "worker"], self.env)
        if wait_ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=10):
        if not self.port:
            self.wait_for_log(READY_LINE, timeout)
            return
        until(self.is_ready, timeout, f"/readyz of {self.name}")

    def is_ready(self):
        return self.readiness() == 200

    def readiness(self):
        """The status of /readyz, or 0 when nobody listens yet."""
        assert self.is_alive(), self.last_words()
        try:
            return self.get("/readyz").status
        except ConnectionError:
            return 0

    @property
    def host(self):
        """What a client writes into its Host header."""
        return f"localhost:{self.port}"

    def get(self, path, **options):
        return http_call(self.port, "GET", path, **options)

    def post(self, path, body=None, **options):
        return http_call(self.port, "POST", path, body, **options)

    def log_lines(self):
        """Every line of the log as an object; for HEADGATE_LOG=json."""
        return [json.loads(line) for line in self.log().splitlines()]

    def end(self):
        """Ends it as an operator would who is in a hurry, and looks what it said."""
        if self.is_alive():
            self.cont()
            self.term()
            try:
                self.child.wait(0.3)
            except subprocess.TimeoutExpired:
                self.term()
            try:
                self.wait(5)
            finally:
                self.kill()
            assert self.child.returncode == 0, self.last_words()
        self.check_log()

    def check_log(self):
        log = self.log()
        for word in FORBIDDEN_IN_LOGS:
            assert word not in log, log[-6000:]
        assert SECRET_KEY not in log, "the log holds a secret"
        assert self.child is None or self.child.returncode not in CRASHES, self.last_words()

    def last_words(self):
        return f"{self.name} exited with {self.child.returncode}:\n{self.log()[-3000:]}"


class CommandLine:
    """`headgate VERB ...` with one environment."""

    def __init__(self, env):
        self.env = env

    def __call__(self, *arguments, stdin="", timeout=20, **settings):
        env = {**self.env, **settings}
        began = time.monotonic()
        done = subprocess.run(
            [str(BINARY), *map(str, arguments)], env=env, capture_output=True, text=True,
            input=stdin, timeout=timeout * PATIENCE
        )
        for word in FORBIDDEN_IN_LOGS:
            assert word not in done.stderr, done.stderr
        assert SECRET_KEY not in done.stdout + done.stderr, "the output holds a secret"
        return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
