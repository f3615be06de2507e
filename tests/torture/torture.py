#!/usr/bin/env python3
"""make torture: a worker whose n-th library allocation fails, or whose n-th system call; n = 1, 2, ...

Each run is one worker, one failure and a few jobs. Whatever fails, the worker goes on or ends by itself
with a code that says why (never by a signal, a sanitizer or a leak), and no job is lost: what is left the
next worker does. It ends when a run had no failure any more. KIND is memory, calls or both; FROM is the
first n; STEP leaves some out.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from headgate import CRASHES, FORBIDDEN_IN_LOGS, Worker, environment  # noqa: E402
from services import RedisServer, Simulator  # noqa: E402
from support import BUILD, free_port, http_call, until  # noqa: E402

KINDS = os.environ.get("KIND") or "memory calls"
FROM, STEP = int(os.environ.get("FROM") or 1), int(os.environ.get("STEP") or 1)
MOST = 20000
JOBS = 2
# Done, a start that was refused, Redis away at the start, an end of our own.
EXIT_CODES = (0, 1, 2, 4, 70)
HANG_S = 40


class Torture:
    def __init__(self, directory):
        self.directory = directory
        self.redis = RedisServer(directory / "redis").up()
        self.sim = Simulator(directory / "sim").up()
        self.findings = []

    def end(self):
        self.redis.kill()
        self.sim.kill()

    def worker(self, name, **settings):
        env = environment(self.redis.url.replace("127.0.0.1", "localhost"), self.sim.url,
                          HEADGATE_HTTP=f"127.0.0.1:{free_port()}", **settings)
        return Worker(name, self.directory / name, env).up(wait_ready=False)

    def push(self, run):
        for i in range(JOBS):
            self.redis.push({"id": f"{run}-{i}", "content": "x"})

    def is_done(self, run):
        return all(self.redis.result(f"{run}-{i}") for i in range(JOBS))

    def ask(self, worker):
        """The HTTP port has its part of the failures; what it answers does not matter."""
        try:
            http_call(int(worker.env["HEADGATE_HTTP"].rpartition(":")[2]), "GET", "/queue_stats", timeout=2)
        except (OSError, EOFError, ValueError):
            pass
        except Exception as error:  # http.client's own
            if not type(error).__module__.startswith("http"):
                raise

    def run(self, kind, number):
        """Returns what failed, or None when nothing did."""
        run = f"{kind}-{number}"
        report = self.directory / f"{run}.report"
        worker = self.worker(run, TORTURE=kind, TORTURE_NTH=number, TORTURE_REPORT=report,
                             LD_PRELOAD=BUILD / "torture.so", ASAN_OPTIONS="verify_asan_link_order=0")
        self.push(run)
        deadline = time.monotonic() + HANG_S
        while worker.is_alive() and not self.is_done(run) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.ask(worker)
        if worker.is_alive() and not self.is_done(run):
            self.find(worker, run, report, f"jobs are not done after {HANG_S} s")
        code = self.stop(worker)
        if code not in EXIT_CODES or code in CRASHES:
            self.find(worker, run, report, f"it ended with {code}")
        for word in FORBIDDEN_IN_LOGS:
            if word in worker.log():
                self.find(worker, run, report, word)
        self.finish(run)
        return report.read_text().strip() if report.exists() else None

    @staticmethod
    def stop(worker):
        if worker.is_alive():
            worker.term()
            try:
                return worker.wait(10)
            except AssertionError:
                worker.signal(signal.SIGABRT)
                worker.wait(10)
                return "no answer to SIGTERM"
        return worker.child.returncode

    def finish(self, run):
        """What is left the next one does."""
        if not self.is_done(run):
            healthy = self.worker(f"{run}-healthy")
            until(lambda: self.is_done(run), 30, f"the jobs of {run}")
            self.stop(healthy)
        self.redis.client.flushall()

    def find(self, worker, run, report, what):
        failed = report.read_text().strip() if report.exists() else "nothing failed"
        self.findings.append(run)
        print(f"--- {run} ({failed}): {what}\n{worker.log()[-3000:]}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as directory:
        torture = Torture(Path(directory))
        try:
            for kind in KINDS.split():
                number = FROM
                while number < MOST and torture.run(kind, number):
                    number += STEP
                print(f"{kind}: {(number - FROM) // STEP} failures", flush=True)
        finally:
            torture.end()
    print(f"{len(torture.findings)} findings {' '.join(torture.findings)}")
    return 1 if torture.findings else 0


sys.exit(main())
