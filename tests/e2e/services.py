"""What a worker talks to: a private redis-server, the simulator, a recorder of requests."""

import base64
import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis as redis_client

from support import BUILD, PATIENCE, Process, free_port, http_call, until

PRIMARY = "anthropic.claude-3-5-sonnet-20240620-v1:0"
SECOND = "anthropic.claude-3-haiku-20240307-v1:0"
THIRD = "amazon.nova-lite-v1:0"

# Of Redis or Valkey; another version can be tried by its path (make test-redis).
REDIS_SERVER = os.environ.get("HEADGATE_TEST_REDIS", "redis-server")


def server_version():
    """(7, 0): what tests may ask of the server itself."""
    said = subprocess.run([REDIS_SERVER, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.search(r"v=(\d+)\.(\d+)", said).groups())


def server_has_tls():
    said = subprocess.run([REDIS_SERVER, "--tls-port", "none"], capture_output=True, text=True, check=False)
    return "Bad directive" not in said.stdout + said.stderr


SERVER_VERSION = server_version()
# DEBUG is refused by default since Redis 7, and needs no leave before.
DEBUG_ALLOWED = ("--enable-debug-command", "yes") if SERVER_VERSION >= (7,) else ()

FINAL_STATES = {"succeeded", "failed", "expired", "cancelled"}


class RedisServer(Process):
    """A redis-server on a unix socket and a port; knows where Headgate puts things."""

    def __init__(self, directory, aof=False, arguments=(), port=None, within=(), password=""):
        super().__init__("redis", directory)
        self.port = port or free_port()
        self.socket = str(self.directory / "redis.sock")
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.arguments = [
            *within, REDIS_SERVER, "--bind", "127.0.0.1", "--port", str(self.port),
            "--unixsocket", self.socket, "--dir", str(self.directory), "--save", "",
            "--appendonly", "yes" if aof else "no", "--appendfsync", "everysec",
            "--maxmemory-policy", "noeviction", *arguments,
        ]
        self.client = redis_client.Redis(unix_socket_path=self.socket, password=password or None)

    def up(self):
        self.start(self.arguments, {"PATH": "/usr/bin:/bin"})
        until(self._answers, what="an answer of redis-server")
        return self

    def shut_down(self):
        self.term()
        self.wait()

    def on_database(self, number, password):
        return redis_client.Redis(unix_socket_path=self.socket, db=number, password=password)

    def push(self, job, queue="analyze"):
        """RPUSH as any producer would; takes an object or raw bytes."""
        payload = job if isinstance(job, bytes) else json.dumps(job).encode()
        self.client.rpush(queue, payload)
        return payload

    def waiting(self, queue="analyze"):
        return self.client.lrange(queue, 0, -1)

    def result(self, job_id, queue="analyze"):
        text = self.client.get(f"headgate:{{{queue}}}:result:{job_id}")
        return json.loads(text) if text else None

    def wait_result(self, job_id, timeout=10, queue="analyze"):
        """The final result of a job."""

        def final():
            result = self.result(job_id, queue)
            return result if result and result["state"] in FINAL_STATES else None

        return until(final, timeout, f"the result of {job_id}")

    def replies(self, job_id, queue="analyze"):
        return self.client.lrange(f"headgate:{{{queue}}}:reply:{job_id}", 0, -1)

    def dead(self, queue="analyze"):
        letters = self.client.lrange(f"headgate:{{{queue}}}:dead", 0, -1)
        return [json.loads(letter) for letter in letters]

    def dead_letter(self, payload, queue="analyze"):
        """The dead letter that keeps exactly this payload, or None."""
        encoded = base64.b64encode(payload).decode()
        return next((d for d in self.dead(queue) if d["payload_base64"] == encoded), None)

    def wait_dead_letter(self, payload, timeout=10):
        return until(lambda: self.dead_letter(payload), timeout, "the dead letter")

    def _answers(self):
        try:
            return self.client.ping()
        except redis_client.exceptions.ConnectionError:
            assert self.is_alive(), self.log()
            return False
        except redis_client.exceptions.BusyLoadingError:
            return False


class Simulator(Process):
    """The provider simulator: see tests/sim/README.md."""

    def __init__(self, directory, config=None, within=(), seed=1):
        super().__init__("sim", directory)
        self.within, self.seed = list(within), seed
        self.port_file = self.directory / "sim.port"
        self.config_file = self.directory / "sim.json"
        self.config_file.write_text(json.dumps(config or {}))
        self.port = 0

    def up(self, port=0):
        self.port_file.unlink(missing_ok=True)
        arguments = ["--port", port, "--port-file", self.port_file, "--config", self.config_file]
        command = [*self.within, BUILD / "sim", *arguments, "--seed", self.seed, "--quiet"]
        self.start(command, {"PATH": "/usr/sbin:/usr/bin:/bin"})
        until(lambda: self.port_file.exists() or not self.is_alive(), what="the simulator's port")
        assert self.is_alive(), self.log()
        self.port = int(self.port_file.read_text())
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def config(self, **fields):
        self._post("/sim/config", fields)

    def script(self, *faults, model="*"):
        """The next calls of `model` meet these faults, in this order."""
        self._post("/sim/script", {"model": model, "faults": list(faults)})

    def reset(self):
        self._post("/sim/reset", {})

    def stats(self):
        return http_call(self.port, "GET", "/sim/stats").json()

    def stats_of(self, model):
        none = dict.fromkeys(["calls", "ok", "throttled", "errors", "aborted", "auth_failed"], 0)
        return self.stats()["models"].get(model, none)

    def calls(self, marker=None, model=None):
        """Ended calls in the order of their log, of one job or model if asked."""
        log = http_call(self.port, "GET", "/sim/log?from=0").json()["calls"]
        return [
            call for call in log
            if marker in (None, call["marker"]) and model in (None, call["model"])
        ]

    def wait_open(self, count, timeout=10):
        until(lambda: self.stats()["open"] == count, timeout, f"{count} open calls")

    def wait_calls(self, count, timeout=10):
        """Until `count` calls have arrived, open ones included."""
        until(lambda: self.stats()["calls"] >= count, timeout, f"{count} calls")

    def _post(self, path, body):
        answer = http_call(self.port, "POST", path, body)
        assert answer.status == 200, answer.body


class Recorder:
    """A model server in this process that keeps every request, for looking at their bytes."""

    def __init__(self, text='{"feedback_items":[]}'):
        self.requests = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                recorder.requests.append((self.path, dict(self.headers.items()), body))
                answer = json.dumps(recorder.answer(text)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self.thread.start()

    @staticmethod
    def answer(text):
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 812, "outputTokens": 301, "totalTokens": 1113},
            "metrics": {"latencyMs": 1},
        }

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def bodies(self):
        return [json.loads(body) for _, _, body in self.requests]

    def prompt(self):
        """The user message of the only request."""
        (body,) = self.bodies()
        return "".join(block["text"] for block in body["messages"][0]["content"])

    def down(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5 * PATIENCE)
