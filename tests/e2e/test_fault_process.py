"""Workers that drain while others live, and backlogs that were there first."""

from support import IS_SANITIZED, peak_memory_mb, until

LEASE = 2


def job(name):
    return {"id": name, "content": f"mark-{name}"}


def test_a_worker_that_drains_longer_than_its_lease_keeps_its_jobs(redis, sim, worker):
    leaver, other = worker(HEADGATE_DRAIN_SECONDS=20), worker()
    other.stop()
    sim.script({"do": "delay", "ms": (2 * LEASE) * 1000, "times": 3})
    names = [f"drained-{n}" for n in range(3)]
    for name in names:
        redis.push(job(name))
    sim.wait_open(3)
    other.cont()
    leaver.term()
    assert leaver.wait() == 0
    for name in names:
        assert redis.wait_result(name, 0)["attempt"] == 1
        assert len(sim.calls(f"mark-{name}")) == 1
    assert "took over" not in other.log()


def test_a_backlog_of_ten_thousand_is_worked_off_once_each_with_little_memory(
    redis, sim, worker
):
    count = 2_000 if IS_SANITIZED else 10_000
    with redis.client.pipeline(transaction=False) as pipe:
        for n in range(count):
            pipe.rpush("analyze", f'{{"id":"b{n}","content":"mark-b{n} {"x" * 500}"}}')
        pipe.execute()
    processes = [worker(HEADGATE_CONCURRENCY=50, HEADGATE_LOG_LEVEL="warn") for _ in range(2)]
    stats = "headgate:{analyze}:stats"
    until(lambda: int(redis.client.hget(stats, "succeeded") or 0) == count, 60, "all of them")
    assert redis.waiting() == [] and redis.dead() == []
    assert sim.stats()["calls"] == count
    order = [int(call["marker"][len("mark-b"):]) for call in sim.calls()]
    assert all(abs(number - place) < 1000 for place, number in enumerate(order)), "FIFO, roughly"
    if not IS_SANITIZED:
        assert all(peak_memory_mb(process.pid) < 100 for process in processes)


def test_a_worker_that_is_told_to_end_again_and_again_ends_well(redis, worker):
    """To its last moment: an end by the signal itself would look like a failure."""
    for _ in range(20):
        process = worker()
        while process.is_alive():
            process.term()
        assert process.wait() == 0
