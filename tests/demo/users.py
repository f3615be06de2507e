"""Ten users, each with one job at a time: submit, wait for the result, next section."""

import json
import os
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

QUEUE = "analyze"
USERS = 10
SECTIONS = Path(__file__).resolve().parent / "sections"


class Redis:
    """As much of RESP as it takes to push a job and to wait for its result."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.replies = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self._reply()

    def _reply(self):
        line = self.replies.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self.replies.read(int(rest) + 2)[:-2].decode()
        if kind in (b"+", b":"):
            return rest.decode()
        raise OSError(f"Redis says: {rest.decode() or 'nothing, and hangs up'}")


def read_sections():
    """Each file: fields between two lines of ---, then the content."""
    return [read_section(path) for path in sorted(SECTIONS.glob("*.md"))]


def read_section(path):
    _, head, content = path.read_text().split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.strip().splitlines())
    return {**fields, "content": content.strip()}


@dataclass
class Board:
    """What all users have done so far; only whole lists and integers are read while they work."""

    total: int
    in_flight: int = 0
    results: list = field(default_factory=list)  # (seconds, result), in the order they came
    failures: list = field(default_factory=list)  # what went wrong with a user, not with a job
    began: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self):
        return len(self.results)

    @property
    def succeeded(self):
        return [result for _, result in self.results if result["state"] == "succeeded"]

    @property
    def primary_share(self):
        """Of the jobs that succeeded, in percent."""
        succeeded = self.succeeded
        primary = sum(result["primary"] for result in succeeded)
        return 100 * primary / len(succeeded) if succeeded else 0.0

    @property
    def elapsed(self):
        return time.monotonic() - self.began


class Crowd:
    def __init__(self, house, sections, jobs_each):
        self.house = house
        self.sections = sections
        self.jobs_each = jobs_each
        self.board = Board(total=USERS * jobs_each)
        self.analyze_url = f"http://127.0.0.1:{house.workers[0].port}/analyze_section"

    def start(self):
        for number in range(1, USERS + 1):
            threading.Thread(target=self._user, args=[number], daemon=True).start()
        return self.board

    def _user(self, number):
        try:
            redis = Redis(self.house.socket)
            for job in self._jobs_of(number):
                self._run(redis, job, self._curl if number <= USERS // 2 else self._rpush)
        except Exception as error:  # a thread that ends silently would leave the demo waiting
            self.board.failures.append(f"user {number}: {error}")

    def _jobs_of(self, number):
        for turn in range(self.jobs_each):
            section = self.sections[(number - 1 + turn) % len(self.sections)]
            yield {"id": f"user-{number}-job-{turn + 1}", **section,
                   "user_id": f"user-{number}", "enqueued_at": time.time()}

    def _run(self, redis, job, submit):
        board = self.board
        began = time.monotonic()
        with board.lock:
            board.in_flight += 1
        submit(redis, job)
        # A list that outlives its reader: nothing is missed by coming late.
        _, result = redis("BLPOP", f"headgate:{{{QUEUE}}}:reply:{job['id']}", 0)
        with board.lock:
            board.in_flight -= 1
            board.results.append((time.monotonic() - began, json.loads(result)))

    def _curl(self, _, job):
        answer = curl("-X", "POST", self.analyze_url, "-H", "Content-Type: application/json",
                      "-d", "@-", body=json.dumps(job))
        if not json.loads(answer).get("task_id"):
            raise OSError(f"POST /analyze_section answered {answer:.300}")

    @staticmethod
    def _rpush(redis, job):
        redis("RPUSH", QUEUE, json.dumps(job))


def curl(*arguments, body=None):
    env = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(["curl", "-sS", "--max-time", "10", *arguments], input=body, env=env,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"curl: {done.stderr.strip()}")
    return done.stdout
