"""What worker/model/lua/pace.lua learns, in virtual time: a real Redis, a made-up provider.

The times are those that the script is told, so a slow machine changes nothing: equal seeds give
equal figures. Ranges: network 10 to 50 ms one way, a refusal is known 0.1 to 0.3 s later.
"""

import heapq
import itertools
import math
import random

import pytest

from support import ROOT

SCRIPT = (ROOT / "worker/model/lua/pace.lua").read_text()
BATCH = 16
WARM_S = 120


class Bucket:
    def __init__(self, rate, burst):
        self.rate, self.burst, self.level, self.updated = rate, burst, burst, 0.0

    def takes(self, now):
        self.level = min(self.burst, self.level + (now - self.updated) * self.rate)
        self.updated = now
        taken = self.level >= 1
        self.level -= taken
        return taken

    def retry_after(self, now):
        return 0


class Liar(Bucket):
    """Says that nothing passes for half a minute, and takes the next call."""

    def retry_after(self, now):
        return 30


class Window:
    """A fixed minute; it began before the run."""

    def __init__(self, rate, retry_after=False):
        self.rate, self.tells, self.begun, self.used = rate, retry_after, -37.0, 0

    def takes(self, now):
        if now >= self.begun + 60:
            self.begun += 60 * math.floor((now - self.begun) / 60)
            self.used = 0
        taken = self.used < self.rate * 60
        self.used += taken
        return taken

    def retry_after(self, now):
        return self.begun + 60 - now if self.tells else 0


class Process:
    """One asker, as worker/model/pacer.c is one, for jobs that prefer latency."""

    def __init__(self):
        self.known_until, self.turned_away = 0.0, 0


class Run:
    def __init__(self, redis, quota, load, seconds=480, processes=10, seed=1, change=None,
                 outage=(0, 0)):
        self.client = redis.client
        self.client.flushall()
        text = SCRIPT.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
        assert text != SCRIPT
        self.script = self.client.register_script(text)
        self.random = random.Random(seed)
        self.quota, self.change, self.outage = quota, change, outage
        self.accepted, self.refused, self.failed = [], [], []
        self.arrivals = self.trips = 0
        self.events, self.order = [], itertools.count()
        self.processes = [Process() for _ in range(processes)]
        self._go(quota.rate * load, WARM_S + seconds)

    def _at(self, when, what, *arguments):
        heapq.heappush(self.events, (when, next(self.order), what, arguments))

    def _pace(self, now, *arguments):
        self.trips += 1
        moment = 1_000_000_000 + now
        return self.script(["pace"], [*arguments, int(moment), int(moment % 1 * 1e6)])

    def _go(self, load, end):
        self._at(0.0, self._arrive, load)
        while self.events:
            now, _, what, arguments = heapq.heappop(self.events)
            if now > end:
                break
            if self.change and now >= self.change[0]:
                self.quota.rate *= self.change[1]
                self.change = None
            what(now, *arguments)

    def _arrive(self, now, load):
        self.arrivals += 1
        self._at(now + self.random.expovariate(load), self._arrive, load)
        process = self.random.choice(self.processes)
        if now < process.known_until:
            process.turned_away = 1
            return
        granted, number, wait_ms, _ = self._pace(now, "take", 1, process.turned_away)
        process.turned_away = 0
        process.known_until = now + wait_ms / 1000
        if granted:
            self._at(now + self.random.uniform(0.01, 0.05), self._call, number)

    def _call(self, now, number):
        if self.outage[0] <= now < self.outage[1]:
            self.failed.append(now)
            self._at(now + 0.2, lambda then: self._pace(then, "failed", number))
        elif self.quota.takes(now):
            self.accepted.append(now)
        else:
            self.refused.append(now)
            after_ms = int(self.quota.retry_after(now) * 1000)
            self._at(now + self.random.uniform(0.1, 0.3),
                     lambda then: self._pace(then, "throttled", number, after_ms))

    # Figures, after the warm-up.

    def accepted_in(self, begin, end):
        return sum(begin <= when < end for when in self.accepted)

    def refused_in(self, begin, end):
        return sum(begin <= when < end for when in self.refused)

    def utilisation(self, quota, begin=WARM_S, end=WARM_S + 480):
        return self.accepted_in(begin, end) / (quota * (end - begin))

    def refused_per_1000(self, begin=WARM_S, end=WARM_S + 480):
        refused = self.refused_in(begin, end)
        return 1000 * refused / (refused + self.accepted_in(begin, end))


def test_below_the_quota_nothing_is_held_back_and_a_job_is_one_trip(redis):
    run = Run(redis, Bucket(10, 20), 0.7)
    assert not run.refused
    assert run.arrivals - len(run.accepted) <= 1  # the last one may be on its way
    assert run.trips == run.arrivals


@pytest.mark.parametrize("processes", [1, 10])
@pytest.mark.parametrize("load", [1.2, 5])
def test_a_bucket_is_used_up_and_hardly_overdrawn(redis, load, processes):
    run = Run(redis, Bucket(10, 20), load, processes=processes)
    assert run.utilisation(10) >= 0.97
    assert run.refused_per_1000() <= 12


def test_a_large_quota_is_used_up_too(redis):
    run = Run(redis, Bucket(100, 200), 1.3, seconds=120)
    assert run.utilisation(100, end=WARM_S + 120) >= 0.97
    assert run.refused_per_1000() <= 10


@pytest.mark.parametrize("tells", [False, True], ids=["silent", "retry-after"])
def test_a_window_is_used_up_and_seldom_overdrawn(redis, tells):
    run = Run(redis, Window(10, tells), 1.2)
    assert run.utilisation(10) >= 0.93
    assert run.refused_per_1000() <= 12


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_wrong_retry_after_does_hardly_any_harm(redis, seed):
    run = Run(redis, Liar(10, 20), 1.5, seed=seed)
    assert run.utilisation(10) >= 0.95
    assert run.refused_per_1000() <= 12


def test_a_quota_that_is_halved_is_yielded_to_within_seconds(redis):
    run = Run(redis, Bucket(10, 20), 1.5, change=(300, 0.5))
    assert run.refused_per_1000(310, 600) <= 15
    assert run.utilisation(5, 310, 600) >= 0.97


def test_a_quota_that_is_doubled_is_found_within_half_a_minute(redis):
    run = Run(redis, Bucket(10, 20), 2.4, change=(300, 2))
    assert run.utilisation(20, 330, 600) >= 0.96
    assert run.refused_per_1000() <= 12


def test_after_an_outage_the_model_is_back_within_seconds(redis):
    run = Run(redis, Bucket(10, 20), 1.5, outage=(240, 360))
    assert run.accepted_in(240, 360) == 0
    assert run.accepted_in(360, 365) >= 25
    assert run.utilisation(10, 365, 600) >= 0.95
    assert len(run.failed) <= 60  # two minutes, a scout every 4 s and what was on its way


def test_one_stray_refusal_does_not_slow_a_cluster_down_for_long(redis):
    """It comes while hardly anything is sent; then there is much to do."""
    run = Run(redis, Bucket(1000, 1000), 0.0005, seconds=0, processes=1)
    number = int(run.client.hget("pace", "number"))
    now = 1_000_000_000 + WARM_S
    run.script(["pace"], ["throttled", number, 0, now, 0])
    granted = [
        sum(run.script(["pace"], ["take", 2, 1, now + second, tenth * 100_000])[0]
            for tenth in range(10))
        for second in range(120)
    ]
    assert sum(granted[:60]) >= 400
    assert sum(granted[110:]) == 200  # all that is asked for


def test_what_was_learned_is_forgotten_when_nothing_is_sent(redis):
    run = Run(redis, Bucket(10, 20), 2, seconds=0)
    assert 590_000 < run.client.pttl("pace") <= 600_000
