"""What `make bench-policy` runs: each scenario with the figures that the simulation gave for it.

Unless said otherwise: the primary takes 10 calls a second with a burst of 20 and answers within 3 s (median,
lognormal), two fallbacks take 10 and 40 a second, jobs come at random (Poisson), none is worth anything after 60 s.
"""

from dataclasses import dataclass, field, replace

PER_MINUTE = 600  # of the primary


def bucket(per_minute, burst):
    return {"kind": "bucket", "per_minute": per_minute, "burst": burst}


def model(median_ms, rpm, sigma=0.6, **more):
    return {"latency_ms": {"median": median_ms, "sigma": sigma}, "reject_latency_ms": 200,
            "reply": {"text": "Well observed."}, "rpm": rpm, **more}


PRIMARY_MODEL = model(3000, bucket(PER_MINUTE, 20))
FALLBACKS = (model(2500, bucket(600, 20)), model(4000, bucket(2400, 80)))


@dataclass(frozen=True)
class Change:
    """At `at` seconds the primary's settings become these."""

    at: float
    settings: dict
    what: str  # "halved", "doubled", "down", "up"


@dataclass(frozen=True)
class Scenario:
    name: str
    load: float = 0  # times PER_MINUTE
    models: tuple = (PRIMARY_MODEL, *FALLBACKS)
    changes: tuple = ()
    tokens_per_minute: int = 0  # the primary's; 0: calls are what is scarce
    prefer: str = "latency"
    at_once: int = 1  # jobs that come together
    tenants: int = 1
    flood: float = 0  # share of the load that the first tenant makes
    users: int = 0  # closed loop: so many, each with its next job when the last is done
    requests: int = 0  # of all users together
    repeats: int = 1
    warmup_s: float = 60
    seconds: float = 240  # warm-up included
    workers: tuple = (4,)
    # Of the simulation, by policy: utilisation in %, refusals per 1000 calls.
    simulated: dict = field(default_factory=dict)

    @property
    def per_second(self):
        return self.load * PER_MINUTE / 60


def quota(per_minute, burst=20):
    return {"rpm": bucket(per_minute, burst)}


PUBLISHED = Scenario(
    "published: 10 users, 100 requests", users=10, requests=100, repeats=5, warmup_s=0,
    models=(model(1700, bucket(180, 22), 0.15, reject_latency_ms=60),
            model(2800, bucket(60, 12), 0.15, reject_latency_ms=60),
            model(5200, bucket(60, 20), 0.15, reject_latency_ms=60)),
    simulated={"v1": "- / 39", "v2": "- / 52", "paced": "- / 77"})

FLOOD = Scenario(
    "flood: 80 % by one of ten, 3x, prefer balanced", 3, tenants=10, flood=0.8, prefer="balanced",
    models=(PRIMARY_MODEL, FALLBACKS[0], model(4000, bucket(300, 10))),
    simulated={"v2": "100 / 806", "paced": "100 / 6.7"})

SCENARIOS = (
    PUBLISHED,
    replace(PUBLISHED, name="published, prefer balanced", prefer="balanced"),
    Scenario("bucket 0.7x", 0.7, simulated={"v1": "69 / 0", "v2": "69 / 0", "paced": "69 / 0"}),
    Scenario("bucket 1.2x", 1.2, workers=(1, 4, 16),
             simulated={"v1": "17 / 18", "v2": "95 / 20", "paced": "100 / 6.6"}),
    Scenario("bucket 1.2x, prefer balanced", 1.2, prefer="balanced",
             simulated={"v1": "17 / 18", "v2": "95 / 20", "paced": "100 / 6.6"}),
    Scenario("bucket 2x", 2, simulated={"v1": "6 / 99", "v2": "93 / 82", "paced": "100 / 6.8"}),
    Scenario("bucket 5x", 5, workers=(1, 4, 16),
             simulated={"v1": "4 / 531", "v2": "89 / 253", "paced": "100 / 6.8"}),
    Scenario("bursts of 30, 0.5x", 0.5, at_once=30, models=(model(3000, bucket(PER_MINUTE, 60)), *FALLBACKS),
             simulated={"v1": "29 / 29", "v2": "44 / 27", "paced": "43 / 15"}),
    # The window begins with the first call; whole windows are measured.
    Scenario("window 1.2x", 1.2, seconds=240, warmup_s=60,
             models=({**PRIMARY_MODEL, "rpm": {"kind": "window", "per_minute": PER_MINUTE,
                                               "window_s": 60}}, *FALLBACKS),
             simulated={"v1": "61 / 17", "v2": "100 / 24", "paced": "98 / 8"}),
    # 20 calls a second would pass, but only about 10 by their tokens.
    Scenario("tokens 1.5x", 1.5, tokens_per_minute=1_070_000,
             models=(model(3000, bucket(1200, 40), reply={"text": "Well observed. " * 80},
                           tpm={"per_minute": 1_070_000, "burst": 36_000}), *FALLBACKS),
             simulated={"paced": "100 / 12"}),
    Scenario("quota halved, 1.5x", 1.5, changes=(Change(150, quota(300), "halved"),),
             simulated={"v2": "yields in 20 s", "paced": "yields in 3 s"}),
    Scenario("quota doubled, 2.4x", 2.4, changes=(Change(150, quota(1200), "doubled"),),
             simulated={"v2": "found in 5 s", "paced": "found in 13 s"}),
    Scenario("primary out for 60 s, 0.9x", 0.9,
             changes=(Change(120, {"error_rate": 1, "latency_ms": 200}, "down"),
                      Change(180, {"error_rate": 0, "latency_ms": PRIMARY_MODEL["latency_ms"]}, "up")),
             simulated={"v2": "back in 2 s", "paced": "back in 4 s"}),
    Scenario("wrong Retry-After of 30 s, 1.5x", 1.5,
             models=({**PRIMARY_MODEL, "retry_after_s": 30}, *FALLBACKS),
             simulated={"v2": "95 / 45", "paced": "95 / 9"}),
    FLOOD,
    replace(FLOOD, name="flood: 80 % by one of ten, 3x", prefer="latency"),
)


def quick(scenario):
    """A short look, for trying things out: figures are rough."""
    changes = tuple(replace(change, at=change.at / 3) for change in scenario.changes)
    return replace(scenario, warmup_s=scenario.warmup_s / 3, seconds=scenario.seconds / 3,
                   repeats=1, changes=changes)
