"""The examples of docs/clients on one server, with a model that takes its time."""

from examples import assert_shows_the_result, each_language, run


def REDIS(servers):
    return servers.redis(port=6379)


@each_language("single")
def test_a_model_may_take_longer_than_the_client_waits_for_other_answers(town, project):
    """Many a client gives a connection up that is silent for 1 to 5 seconds."""
    town.sim.reset()
    town.sim.script({"do": "delay", "ms": 6500})
    assert_shows_the_result(run(project, "mark-slow"))
