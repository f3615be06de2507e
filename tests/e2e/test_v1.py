"""HEADGATE_POLICY=v1, there to be compared with: a throttled model is blocked for everybody."""

import time

from services import PRIMARY, SECOND, THIRD
from support import until

THROTTLE = {"do": "throttle"}


def test_in_v1_a_throttled_model_is_blocked_for_everybody_for_a_minute(redis, sim, worker):
    first, second = worker(HEADGATE_POLICY="v1"), worker(HEADGATE_POLICY="v1")
    sim.script(THROTTLE, model=PRIMARY)
    redis.push({"id": "unlucky", "content": "text"})
    assert tried(redis.wait_result("unlucky")) == [PRIMARY, SECOND]
    until(lambda: 55_000 < redis.client.pttl(cooldown(PRIMARY)) <= 60_000, what="the block")
    assert is_blocked(first) and is_blocked(second)
    time.sleep(0.2)  # what a worker believes is up to 0.1 s old
    for n in range(20):
        redis.push({"id": f"other-{n}", "content": "text"})
    assert {redis.wait_result(f"other-{n}")["model"] for n in range(20)} == {SECOND}
    sim.script(THROTTLE, model=SECOND)
    sim.script(THROTTLE, model=THIRD)
    redis.push({"id": "last", "content": "text"})
    until(lambda: redis.client.exists(cooldown(THIRD)), what="a block of the last model")
    time.sleep(0.2)
    redis.push({"id": "nobody", "content": "text"})
    until(lambda: redis.client.zscore("headgate:{analyze}:delayed", "nobody"), what="it waits")
    assert sim.stats_of(PRIMARY)["calls"] == 1


def cooldown(model):
    return f"headgate:{{m:{model}}}:cooldown"


def is_blocked(process):
    models = process.get("/model_stats").json()["stats"]["models"]
    return models[0]["status"] == "in_cooldown"


def tried(result):
    return [call["model"] for call in result["calls"]]
