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


class Tokens:
    """A bucket of tokens: a call reserves its input and max_tokens, the unused part comes back."""

    def __init__(self, per_minute, names_itself=True):
        self.rate, self.names_itself = per_minute / 60, names_itself
        self.level = self.burst = 10 * self.rate
        self.updated = 0.0

    def has(self, now, tokens):
        self.level = min(self.burst, self.level + (now - self.updated) * self.rate)
        self.updated = now
        return self.level >= tokens


class Process:
    """One asker, as worker/model/pacer.c is one, for jobs that prefer latency."""

    def __init__(self):
        self.known_until, self.turned_away, self.unused = 0.0, -1.0, 0


class Run:
    def __init__(self, redis, quota, load, seconds=480, processes=10, seed=1, change=None,
                 outage=(0, 0), tokens=None, rpm=0, tpm=0, luck=(0, 0, 0, ""), at_once=1):
        self.client = redis.client
        self.client.flushall()
        text = SCRIPT.replace("redis.call('TIME')", "{KEYS[3], KEYS[4]}")
        assert text != SCRIPT
        self.script = self.client.register_script(text)
        self.random = random.Random(seed)
        self.quota, self.change, self.outage = quota, change, outage
        self.tokens, self.rpm, self.tpm = tokens, rpm, tpm
        self.luck = luck  # from, to, share of calls, how they end whatever the quota says
        self.at_once = at_once  # jobs that come together
        self.used = []  # (when, tokens)
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
        keys = ["pace", "pace:tokens", int(moment), int(moment % 1 * 1e6)]
        return self.script(keys, list(arguments))

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
        self._at(now + self.random.expovariate(load / self.at_once), self._arrive, load)
        for _ in range(self.at_once):
            self._ask(now)

    def _ask(self, now):
        self.arrivals += 1
        process = self.random.choice(self.processes)
        if now < process.known_until:
            process.turned_away = now
            return
        # What a call will use, and what is reserved for it: the provider counts input more exactly.
        used = self.random.randint(500, 1500) + int(self.random.lognormvariate(5.7, 0.5))
        cost = int(used * self.random.uniform(0.8, 1.2)) + 1000
        granted, number, wait_ms, _, has_tokens = self._pace(
            now, "take", self.rpm, self.tpm, process.unused,
            int(now - process.turned_away < 1), cost)
        process.turned_away, process.unused = -1.0, 0
        process.known_until = now + wait_ms / 1000
        if granted:
            self._at(now + self.random.uniform(0.01, 0.05), self._call, process, number, cost, used,
                     has_tokens)

    def _call(self, now, process, number, cost, used, has_tokens):
        begin, end, share, bad = self.luck
        is_unlucky = begin <= now < end and self.random.random() < share
        limit = self._limit(now, used + 1000)
        if self.outage[0] <= now < self.outage[1] or is_unlucky and bad == "failed":
            self.failed.append(now)
            self._at(now + 0.2, lambda then: self._pace(then, "failed", number, cost))
        elif is_unlucky:
            self.refused.append(now)
            self._at(now + 0.2, lambda then: self._pace(then, "throttled", number, cost, 0, ""))
        elif limit is None:
            self.accepted.append(now)
            if self.tokens:
                self.tokens.level -= used + 1000
                self._at(now + self.random.lognormvariate(1.1, 0.6), self._end, process, cost, used,
                         has_tokens)
        else:
            self.refused.append(now)
            after_ms = int(self.quota.retry_after(now) * 1000)
            self._at(now + self.random.uniform(0.1, 0.3),
                     lambda then: self._pace(then, "throttled", number, cost, after_ms, limit))

    def _limit(self, now, tokens):
        """Which quota refuses the call; None: none does."""
        if self.tokens and not self.tokens.has(now, tokens):
            return "tokens" if self.tokens.names_itself else ""
        return None if self.quota.takes(now) else "requests" if self.tokens else ""

    def _end(self, now, process, cost, used, has_tokens):
        self.tokens.level += 1000
        self.used.append((now, used))
        process.unused += (cost - used) * has_tokens

    # Figures, after the warm-up.

    def accepted_in(self, begin, end):
        return sum(begin <= when < end for when in self.accepted)

    def refused_in(self, begin, end):
        return sum(begin <= when < end for when in self.refused)

    def utilisation(self, quota, begin=WARM_S, end=WARM_S + 480):
        return self.accepted_in(begin, end) / (quota * (end - begin))

    def tokens_used(self, begin=WARM_S, end=WARM_S + 480):
        used = sum(tokens for when, tokens in self.used if begin <= when < end)
        return used / (self.tokens.rate * (end - begin))

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


def test_bursts_that_the_provider_takes_are_let_through(redis):
    run = Run(redis, Bucket(10, 60), 0.5, at_once=30)
    assert run.utilisation(5) >= 0.9
    assert run.refused_per_1000() <= 20


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


def seconds_to_yield(run, changed, quota):
    """Until five seconds in a row have hardly a refusal and no more calls than the quota has room for."""
    def is_kept(begin):
        sent, refused = run.accepted_in(begin, begin + 5), run.refused_in(begin, begin + 5)
        return refused <= 0.05 * (sent + refused) + 0.5 and sent + refused <= 1.3 * 5 * quota + 1
    return next(second for second in range(60) if is_kept(changed + second))


def test_a_quota_that_is_halved_is_yielded_to_within_seconds(redis):
    runs = [Run(redis, Bucket(10, 20), 1.5, change=(300, 0.5), seed=seed) for seed in range(1, 9)]
    seconds = [seconds_to_yield(run, 300, 5) for run in runs]
    assert sum(seconds) / len(seconds) <= 4 and max(seconds) <= 5
    assert max(run.refused_per_1000(310, 600) for run in runs) <= 12
    assert min(run.utilisation(5, 310, 600) for run in runs) >= 0.97


def test_a_quota_that_is_doubled_is_found_within_half_a_minute(redis):
    run = Run(redis, Bucket(10, 20), 2.4, change=(300, 2))
    assert run.utilisation(20, 330, 600) >= 0.96
    assert run.refused_per_1000() <= 12


@pytest.mark.parametrize("seed", range(1, 5))
def test_after_an_outage_the_model_is_back_within_seconds(redis, seed):
    run = Run(redis, Bucket(10, 20), 1.5, outage=(240, 360), seed=seed)
    assert run.accepted_in(240, 360) == 0
    assert run.accepted_in(360, 365) >= 25
    assert run.utilisation(10, 365, 600) >= 0.99
    assert len(run.failed) <= 60  # two minutes, a scout every 4 s and what was on its way


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_minute_of_refusals_at_random_costs_a_minute_and_not_the_quota(redis, seed):
    run = Run(redis, Bucket(10, 20), 0.7, seconds=240, seed=seed, luck=(150, 210, 0.3, "throttled"))
    assert run.utilisation(7, 290, 360) >= 0.9


def test_a_model_that_always_refuses_one_call_in_ten_is_not_starved(redis):
    runs = [Run(redis, Bucket(10, 20), 0.7, seconds=300, seed=seed, luck=(0, 600, 0.1, "throttled"))
            for seed in range(1, 5)]
    assert sum(run.utilisation(7 * 0.9, end=420) for run in runs) / len(runs) >= 0.4


def test_refusals_at_random_hide_no_quota_that_fell(redis):
    run = Run(redis, Bucket(10, 20), 1.5, change=(300, 0.3), luck=(0, 600, 0.05, "throttled"))
    assert run.refused_per_1000(330, 600) <= 130
    assert run.utilisation(3, 330, 600) >= 0.5


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_model_that_fails_now_and_then_is_called_all_the_same(redis, seed):
    run = Run(redis, Bucket(10, 20), 0.7, seconds=120, seed=seed, luck=(0, 240, 0.3, "failed"))
    assert run.utilisation(7 * 0.7, end=240) >= 0.7


@pytest.mark.parametrize("seed", range(1, 4))
def test_an_outage_that_begins_with_a_part_of_the_calls_is_seen(redis, seed):
    run = Run(redis, Bucket(10, 20), 0.7, seconds=120, seed=seed, luck=(0, 180, 0.6, "failed"),
              outage=(180, 240))
    assert sum(failed >= 190 for failed in run.failed) <= 25


def test_one_stray_refusal_does_not_slow_a_cluster_down_for_long(redis):
    """It comes while hardly anything is sent; then there is much to do."""
    run = Run(redis, Bucket(1000, 1000), 0.0005, seconds=0, processes=1)
    number = int(run.client.hget("pace", "number"))
    run._pace(WARM_S, "throttled", number, 1, 0, "")
    granted = [
        sum(run._pace(WARM_S + second + tenth / 10, "take", 0, 0, 0, 1, 1, 1)[0]
            for tenth in range(10))
        for second in range(120)
    ]
    assert sum(granted[:60]) >= 400
    assert sum(granted[110:]) == 200  # all that is asked for


def test_what_was_learned_is_forgotten_when_nothing_is_sent(redis):
    run = Run(redis, Bucket(10, 20), 2, seconds=0)
    assert 590_000 < run.client.pttl("pace") <= 600_000


def test_a_quota_of_tokens_is_learned_and_used_up(redis):
    """About 1.3 times what its tokens allow; requests would allow twice the load."""
    run = Run(redis, Bucket(20, 40), 0.5, tokens=Tokens(600_000))
    assert run.client.exists("pace:tokens")
    assert run.tokens_used() >= 0.95
    assert run.refused_per_1000() <= 20


@pytest.mark.parametrize("tpm", [0, 900_000], ids=["unknown", "configured"])
def test_a_refusal_that_names_no_quota_is_held_against_the_one_that_was_probed(redis, tpm):
    run = Run(redis, Bucket(20, 40), 0.5, tokens=Tokens(600_000, names_itself=False), tpm=tpm)
    assert run.tokens_used() >= 0.9
    assert run.refused_per_1000() <= 25


def test_requests_and_tokens_are_paced_together(redis):
    run = Run(redis, Bucket(5, 10), 2, tokens=Tokens(600_000))
    assert run.utilisation(5) >= 0.96
    assert run.refused_per_1000() <= 15


@pytest.mark.parametrize("load", [0.7, 1.3])
def test_a_configured_limit_is_kept_from_the_first_call_on(redis, load):
    run = Run(redis, Bucket(10, 20), load, rpm=600)
    assert run.refused_in(0, WARM_S) <= (1 if load < 1 else 5)
    assert run.utilisation(10) >= min(load, 1) - 0.05
    assert run.refused_per_1000() <= 8


def test_a_configured_limit_of_tokens_is_kept_from_the_first_call_on(redis):
    run = Run(redis, Bucket(20, 40), 0.5, tokens=Tokens(600_000), tpm=600_000)
    assert run.refused_in(0, WARM_S) <= 10
    assert run.tokens_used() >= 0.95
    assert run.refused_per_1000() <= 20


def test_a_configured_limit_below_the_quota_is_not_exceeded(redis):
    run = Run(redis, Bucket(20, 40), 1, rpm=300)
    assert not run.refused
    assert 0.95 <= run.utilisation(5) <= 1.03


def test_a_configured_limit_above_the_quota_gives_way_to_what_is_learned(redis):
    run = Run(redis, Bucket(5, 10), 2, rpm=1200)
    assert run.utilisation(5) >= 0.95
    assert run.refused_per_1000() <= 12


def test_a_look_changes_nothing_and_says_what_is_known(redis):
    run = Run(redis, Bucket(10, 20), 2)
    before = run.client.hgetall("pace")
    rate, tokens, due_ms, turned_away_ms, why, calls, refusals, allowed, known = run._pace(
        WARM_S + 480, "look")
    assert run.client.hgetall("pace") == before
    assert 9_000 <= rate <= 11_000 and tokens == -1
    assert 0 <= due_ms <= 1_000 and 0 <= turned_away_ms <= 1_000 and why == b"quota"
    assert known == 1
    assert 500 <= calls <= 700 and 0 <= refusals / 1000 <= 0.02 * calls
    assert 0.9 <= calls / allowed <= 1.1


def test_a_look_tells_an_outage_from_a_quota(redis):
    run = Run(redis, Bucket(10, 20), 1.5, seconds=60, outage=(150, 200))
    assert run._pace(WARM_S + 60, "look")[4] == b"outage"
