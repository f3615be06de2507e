"""HEADGATE_POLICY=v1, there to be compared with: a throttled model is blocked for everybody."""

from services import PRIMARY, SECOND, THIRD
from support import until

THROTTLE = {"do": "throttle"}


def test_in_v1_a_throttled_model_is_blocked_for_everybody_for_a_minute(redis, sim, worker):
    first, second = worker(HEADGATE_POLICY="v1"), worker(HEADGATE_POLICY="v1")
    sim.script(THROTTLE, model=PRIMARY)
    redis.push({"id": "unlucky", "content": "text"})
    assert tried(redis.wait_result("unlucky")) == [PRIMARY, SECOND]
    until(lambda: 59_000 < redis.client.pttl(f"headgate:{{m:{PRIMARY}}}:cooldown") <= 60_000,
          what="the block")
    until(lambda: all(is_blocked(process) for process in (first, second)), what="all know of it")
    for n in range(20):
        redis.push({"id": f"other-{n}", "content": "text"})
    assert {redis.wait_result(f"other-{n}")["model"] for n in range(20)} == {SECOND}
    sim.script(THROTTLE, model=SECOND)
    sim.script(THROTTLE, model=THIRD)
    redis.push({"id": "last", "content": "text"})
    until(lambda: sim.stats_of(THIRD)["throttled"] == 1, what="a throttle of the last model")
    redis.push({"id": "nobody", "content": "text"})
    until(lambda: redis.client.zscore("headgate:{analyze}:delayed", "nobody"), what="it waits")
    assert sim.stats_of(PRIMARY)["calls"] == 1


def is_blocked(process):
    models = process.get("/model_stats").json()["stats"]["models"]
    return models[0]["status"] == "in_cooldown"


def tried(result):
    return [call["model"] for call in result["calls"]]
