"""The examples of docs/clients on one server, each as it stands on its page."""

import json
import re
import subprocess

import pytest
from examples import (
    REJECTED, assert_shows_the_result, each_language, finished, run, running_id, start_hanging
)
from languages import LANGUAGES, Project
from pages import PAGES, Page
from support import until


def REDIS(servers):
    return servers.redis(port=6379)


@each_language("single")
def test_the_example_shows_the_result_of_its_job(town, project):
    assert_shows_the_result(run(project, 'At 10:00\nthe "disk" was \\n \u00fcberfull.'))


@each_language("single")
def test_the_example_tells_why_a_job_failed(town, project):
    town.sim.reset()
    town.sim.script({**REJECTED, "times": 3})
    done = run(project, "mark-failed")
    assert done.code != 0
    assert "rejected" in done.err
    assert not done.out


@each_language("single")
def test_a_wait_that_ends_too_soon_is_told_as_such_and_the_job_cancelled(town, project):
    child = start_hanging(town, project, "mark-late", 2)
    job_id = running_id(town)
    done = finished(child)
    assert done.code != 0
    assert f"{job_id} is not final after 2 s" in done.err
    assert town.redis.wait_result(job_id)["state"] == "cancelled"
    until(lambda: town.sim.stats()["open"] == 0, what="the end of the call")


@each_language("single")
def test_the_example_tells_that_its_job_was_cancelled_by_somebody_else(town, project):
    child = start_hanging(town, project, "mark-cancelled", 60)
    assert town.worker.post(f"/cancel_task/{running_id(town)}").json()["success"] is True
    done = finished(child)
    assert done.code != 0
    assert "cancelled" in done.err and "is not final" not in done.err


def test_the_command_that_waits_by_itself_brings_the_result(town):
    command = Page("http.md").blocks["wait"]
    done = subprocess.run(["sh", "-eu"], input=command, text=True, capture_output=True)
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["result"]["section"]) == ("completed", "Timeline")


@pytest.mark.parametrize("language", ["shell", "http"])
def test_a_push_that_was_refused_is_told(town, language):
    """Scripts don't stop at errors by themselves."""
    if language == "shell":
        town.redis.client.set("analyze", "no list")
    (known,) = [each for each in LANGUAGES if each.name == language]
    done = run(Project(known, "single").make(), " ")  # over HTTP a blank text is refused
    town.redis.client.delete("analyze")
    assert done.code == 4
    assert "the job was not taken" in done.err
    assert "WRONGTYPE" in done.err if language == "shell" else "blank" in done.err


def counted_lines(text):
    """Without blank ones and imports, of which some languages have one a line."""
    text = re.sub(r"^import \(.*?^\)$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for line in text.splitlines() if line.strip() and not line.startswith("import ")]


@pytest.mark.parametrize("page", sorted({language.page for language in LANGUAGES}))
def test_a_page_is_short_and_the_index_knows_it_and_its_versions(page):
    page = Page(page)
    assert len(counted_lines(page.example()[1])) < 30
    (line,) = [line for line in (PAGES / "README.md").read_text().splitlines()
               if f"]({page.name})" in line]
    (tested,) = re.findall(r"^Tested with .*", page.text, re.MULTILINE)
    library, versions = [cell.strip() for cell in line.split("|")[2:4]]
    assert library
    for version in versions.split(", "):
        assert version in tested
        is_installed = "apt-get" in page.blocks["install"] or version in page.blocks["install"]
        assert is_installed or version == versions.split(", ")[-1]


def test_every_page_is_run():
    on_disk = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    assert on_disk == {language.page for language in LANGUAGES}
