"""The examples of docs/clients on a cluster of three masters."""

from examples import assert_shows_the_result, each_language, run
from redis_cluster import Cluster


def REDIS(servers):
    return Cluster(servers, masters=3, ports=(7000, 7001, 7002))


@each_language("cluster")
def test_the_example_finds_the_node_of_its_queue(town, project):
    assert town.redis.owner("analyze").port != 7000  # which the example knows
    assert_shows_the_result(run(project, "On a cluster."))
