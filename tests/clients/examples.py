"""What every example must do, whatever its language."""

import json

import pytest
from languages import CONNECTIONS, LANGUAGES, Project
from support import PATIENCE, Finished, until

REJECTED = {"do": "status", "status": 400, "code": "ValidationException", "message": "no"}


def each_language(connection):
    """One parameter a language; those that can't be run are skipped by name and reason."""
    assert connection in CONNECTIONS
    parameters = []
    for language in LANGUAGES:
        if not language.is_chosen():
            continue
        if connection != "single" and not language.is_redis:
            continue
        why = language.why_not()
        marks = [pytest.mark.skip(reason=why)] if why else []
        project = Project(language, connection)
        parameters.append(pytest.param(project, id=language.name, marks=marks))
    return pytest.mark.parametrize("project", parameters)


def finished(child, timeout=30):
    try:
        out, err = child.communicate(timeout=timeout * PATIENCE)
    except BaseException:
        child.kill()
        child.communicate()
        raise
    return Finished(child.returncode, out, err)


def run(project, text, seconds=60):
    return finished(project.start(text, seconds))


def assert_shows_the_result(done):
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["success"], result["section"]) == (True, "Timeline")
    assert result["feedback_items"]


def start_hanging(town, project, text, seconds):
    """The example, when its job has just reached a model that never answers."""
    until(lambda: town.sim.stats()["open"] == 0, what="the end of earlier calls")
    town.sim.reset()
    town.sim.script({"do": "hang"})
    child = project.start(text, seconds)
    until(lambda: town.sim.stats()["open"] == 1 or child.poll() is not None, 15, "an open call")
    assert child.poll() is None, child.communicate()
    return child


def running_id(town):
    """The only job that a worker is on."""
    owners = town.redis.client.hkeys("headgate:{analyze}:owners")
    assert len(owners) == 1, owners
    return owners[0].decode()
