"""One run of `make bench-policy`: a scenario under a policy, by so many workers. Prints its figures as JSON.

    policy_run.py SCENARIO-NUMBER POLICY WORKERS SEED [quick]
"""

import json
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "e2e"), str(Path(__file__).parent)]

import redis as redis_client  # noqa: E402
from headgate import Worker, environment  # noqa: E402
from scenarios import PER_MINUTE, SCENARIOS, quick  # noqa: E402
from services import PRIMARY, SECOND, THIRD, RedisServer, Simulator  # noqa: E402
from support import http_call  # noqa: E402

DEADLINE_S = 60
SLOTS = 1000  # of all workers together
# Where V1 blocks all models a user gives up, as in the published scenario; the deadline comes first else.
MAX_WAIT_S = 5
ANSWERS = "bench:answers"
# Commands of workers; those that scripts run are not counted again.
WORKER_COMMANDS = ("evalsha", "eval", "blmove", "blpop", "ping", "publish")


class House:
    def __init__(self, scenario, policy, worker_count, seed, directory):
        self.scenario = scenario
        self.redis = RedisServer(directory / "redis").up()
        self.sim = Simulator(directory / "sim", {
            "models": dict(zip((PRIMARY, SECOND, THIRD), scenario.models))}, seed=seed).up()
        self.client = self.connect()
        self.workers = [
            Worker(f"worker{n}", directory / f"worker{n}", environment(
                self.redis.url, self.sim.url, HEADGATE_POLICY=policy, HEADGATE_LEASE_SECONDS=12,
                HEADGATE_RETRY_BASE_MS=1000, HEADGATE_MAX_ATTEMPTS=3, HEADGATE_LOG_LEVEL="warn",
                HEADGATE_CONCURRENCY=SLOTS // worker_count, HEADGATE_MAX_WAIT=MAX_WAIT_S if scenario.users else DEADLINE_S,
                HEADGATE_FAIR=os.environ.get("FAIR"))).up(wait_ready=False)
            for n in range(worker_count)]
        for worker in self.workers:
            worker.wait_ready(60)

    def connect(self):
        return redis_client.Redis(unix_socket_path=self.redis.socket)

    def down(self):
        for worker in self.workers:
            worker.kill()
        self.sim.kill()
        self.redis.kill()

    def operations(self):
        stats = self.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in WORKER_COMMANDS)

    def change(self, settings):
        http_call(self.sim.port, "POST", "/sim/config", {"models": {PRIMARY: settings}})

    def calls(self):
        """Those of the primary that were answered, by arrival."""
        log = http_call(self.sim.port, "GET", "/sim/log?from=0", timeout=60).json()["calls"]
        return [call for call in log if call["model"] == PRIMARY and call["outcome"] != "aborted"]


class Jobs:
    """Who pushes, and what came back."""

    def __init__(self, house, chance):
        self.house, self.scenario, self.chance = house, house.scenario, chance
        self.pushed = {}  # id: (when, tenant)
        self.answers = {}
        self.number = 0

    def new(self, reply_to=ANSWERS):
        now = time.time()
        self.number += 1
        job = {"id": f"job-{self.number}", "type": "chat", "query": "What is missing here?",
               "content": self.content(), "tenant": self.tenant(), "prefer": self.scenario.prefer,
               "enqueued_at": now, "expires_at": now + DEADLINE_S, "timeout": DEADLINE_S,
               "max_tokens": 1000, "reply_to": reply_to}
        self.pushed[job["id"]] = (now, job["tenant"])
        return job

    def content(self):
        """About a thousand tokens where they count."""
        if not self.scenario.tokens_per_minute:
            return "At 10:00 the disk was full."
        return "disk " * int(600 * self.chance.lognormvariate(0, 0.8))

    def tenant(self):
        scenario = self.scenario
        if scenario.tenants == 1:
            return "all"
        if self.chance.random() < scenario.flood:
            return "flood"
        return f"quiet-{self.chance.randrange(scenario.tenants - 1)}"

    def keep(self, text):
        answer = json.loads(text)
        self.answers[answer["id"]] = answer

    def collect(self, is_over):
        client = self.house.connect()
        while not is_over():
            popped = client.blpop(ANSWERS, timeout=1)
            if popped:
                self.keep(popped[1])

    def pour(self, began):
        """Jobs at random times, and the scenario's changes at theirs."""
        due, changes = began, list(self.scenario.changes)
        end = began + self.scenario.seconds
        while due < end:
            while changes and began + changes[0].at <= due:
                time.sleep(max(0, began + changes[0].at - time.time()))
                self.house.change(changes.pop(0).settings)
            time.sleep(max(0, due - time.time()))
            self.house.client.rpush("analyze", *(json.dumps(self.new()) for _ in range(self.scenario.at_once)))
            due += self.chance.expovariate(self.scenario.per_second / self.scenario.at_once)

    def user(self, left):
        client, name = self.house.connect(), f"bench:user:{threading.get_ident()}"
        while left and left.pop():
            client.rpush("analyze", json.dumps(self.new(name)))
            self.keep(client.blpop(name)[1])

    def serve_users(self):
        left = [True] * self.scenario.requests
        users = [threading.Thread(target=self.user, args=(left,)) for _ in range(self.scenario.users)]
        for user in users:
            user.start()
        for user in users:
            user.join()


def share(part, whole):
    return 100 * part / whole if whole else None


def percentile(values, part):
    return sorted(values)[math.ceil(part * len(values)) - 1] if values else None


def response_s(answer):
    return answer["finished_at"] - answer["enqueued_at"]


def succeeded(answer):
    return answer is not None and answer["state"] == "succeeded"


def of_jobs(jobs, since, until):
    """What the users saw of jobs pushed in this time."""
    answers = [jobs.answers.get(job_id) for job_id, (when, _) in jobs.pushed.items()
               if since <= when < until]
    good = [answer for answer in answers if succeeded(answer)]
    times = [response_s(answer) for answer in good]
    return {"jobs": len(answers), "success": share(len(good), len(answers)),
            "primary": share(sum(answer["primary"] for answer in good), len(good)),
            "mean": sum(times) / len(times) if times else None, "p95": percentile(times, 0.95)}


def of_quiet_tenants(jobs, since, until):
    """The one that fared worst: which part of its jobs the primary did; and the p95 of all."""
    asked, primary, times = Counter(), Counter(), []
    for job_id, (when, tenant) in jobs.pushed.items():
        if tenant.startswith("quiet") and since <= when < until:
            answer = jobs.answers.get(job_id)
            asked[tenant] += 1
            if succeeded(answer):
                primary[tenant] += answer["primary"]
                times.append(response_s(answer))
    return {"quiet_primary": min(share(primary[tenant], asked[tenant]) for tenant in asked),
            "quiet_p95": percentile(times, 0.95)}


def quota_of_second(scenario, second):
    """Calls that the primary would take then."""
    per_minute, is_down = PER_MINUTE, False
    for change in scenario.changes:
        if second >= change.at:
            per_minute = change.settings.get("rpm", {}).get("per_minute", per_minute)
            is_down = change.what == "down"
    return 0 if is_down else per_minute / 60


def by_second(calls, began, outcomes):
    return Counter(int(call["at_ms"] / 1000 - began) for call in calls if call["outcome"] in outcomes)


def of_calls(calls, scenario, began):
    """What the primary took and refused, second by second."""
    taken, refused = by_second(calls, began, {"ok"}), by_second(calls, began, {"throttled"})
    seconds = range(int(scenario.warmup_s), int(scenario.seconds))
    took, refusals = sum(taken[s] for s in seconds), sum(refused[s] for s in seconds)
    room = sum(quota_of_second(scenario, s + 0.5) for s in seconds)
    figures = {"utilisation": share(took, room),
               "refusals": 1000 * refusals / (took + refusals) if took + refusals else None}
    for change in scenario.changes:
        found = seconds_to_follow(change, scenario, taken, refused)
        if found is not None:
            figures[change.what] = found
    return figures


def seconds_to_follow(change, scenario, taken, refused):
    """How long the cluster took to make of the change what there was to make, as the simulation defines it."""
    at = int(change.at)
    after = quota_of_second(scenario, change.at + 0.5)

    def within(counts, second, length):
        return sum(counts[s] for s in range(second, second + length))

    for second in range(at, int(scenario.seconds) - 5):
        accepted = within(taken, second, 3)
        if change.what == "doubled" and accepted >= 0.9 * 3 * after:
            return second - at + 2
        if change.what == "up" and accepted >= 0.9 * 3 * min(after, scenario.per_second):
            return second - at + 1
        if change.what == "halved":
            sent, bad = within(taken, second, 5), within(refused, second, 5)
            if bad <= 0.05 * (sent + bad) + 0.5 and sent + bad <= 1.3 * 5 * after + 1:
                return second - at
    return None if change.what == "down" else float("inf")


def of_tokens(jobs, scenario, since, until):
    used = sum(answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
               for answer in jobs.answers.values()
               if succeeded(answer) and answer["primary"] and since <= answer["started_at"] < until)
    return {"utilisation": share(used, scenario.tokens_per_minute / 60 * (until - since))}


def run_open(scenario, policy, workers, seed, directory):
    house = House(scenario, policy, workers, seed, directory)
    try:
        jobs = Jobs(house, random.Random(seed))
        is_over = threading.Event()
        collector = threading.Thread(target=jobs.collect, args=(is_over.is_set,))
        collector.start()
        began = time.time()
        before = house.operations()
        jobs.pour(began)
        operations = house.operations() - before
        while len(jobs.answers) < len(jobs.pushed) and time.time() < began + scenario.seconds + 45:
            time.sleep(0.2)
        is_over.set()
        collector.join()
        since, until = began + scenario.warmup_s, began + scenario.seconds
        figures = of_jobs(jobs, since, until) | of_calls(house.calls(), scenario, began)
        figures["operations"] = operations / max(1, len(jobs.pushed))
        if scenario.tokens_per_minute:
            figures |= of_tokens(jobs, scenario, since, until)
        if scenario.tenants > 1:
            figures |= of_quiet_tenants(jobs, since, until)
        return figures
    finally:
        house.down()


def run_closed(scenario, policy, workers, seed, directory):
    house = House(scenario, policy, workers, seed, directory)
    try:
        jobs = Jobs(house, random.Random(seed))
        before, began = house.operations(), time.time()
        jobs.serve_users()
        calls = house.calls()
        refused = sum(call["outcome"] == "throttled" for call in calls)
        return of_jobs(jobs, 0, float("inf")) | {
            "utilisation": None, "refusals": 1000 * refused / len(calls),
            "operations": (house.operations() - before) / len(jobs.pushed),
            "seconds": time.time() - began}
    finally:
        house.down()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    scenario = SCENARIOS[int(sys.argv[1])]
    if "quick" in sys.argv:
        scenario = quick(scenario)
    policy, workers, seed = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    run = run_closed if scenario.users else run_open
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        print(json.dumps(run(scenario, policy, workers, seed, Path(directory))))


if __name__ == "__main__":
    main()
