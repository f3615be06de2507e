"""The examples of docs/clients behind sentinels, after a failover."""

from types import SimpleNamespace

from examples import assert_shows_the_result, each_language, run
from redis_sentinel import Watched
from support import until


def REDIS(servers):
    watched = Watched(servers, ports=(26379, 26380, 26381))
    watched.fail_over()
    until(watched.is_agreed, 30, "sentinels that find the new primary well")
    return SimpleNamespace(url=watched.url())


@each_language("sentinel")
def test_the_example_finds_the_new_primary(town, project):
    assert_shows_the_result(run(project, "Behind sentinels."))
