"""Tasks of an app's own: named in the configuration file, run as job types of the same file."""

import json
import signal

import pytest

from celery_clients import newest
from support import until

TYPES = {
    "summarize": {"prompt": "In {{language}}, {{words}} words: {{content}}", "required": ["content", "language"]},
    "total": {"prompt": "{{content}}", "required": ["content"], "output": "json",
              "schema": {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}},
}
FILE = {"types": TYPES, "celery": {"tasks": {
    "app.tasks.summarize": "summarize",
    "app.tasks.brief": {"type": "summarize", "args": ["content", "language", "words"]},
    "app.tasks.total": "total",
}}}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "headgate.json"

    def write(content):
        path.write_text(json.dumps(content))
        return path

    return write


@newest()
def test_a_type_of_the_file_is_run_by_its_task_with_arguments_by_position_and_by_name(
        servers, celery, serve, file):
    recorder = servers.recorder(text="short")
    serve(HEADGATE_CONFIG=file(FILE), provider_url=recorder.url)
    shown = celery().run("""
send = lambda name, *args, **kwargs: app.send_task("app.tasks." + name, args, kwargs).get(timeout=TIMEOUT)
show(send("summarize", "text", "German")); send("summarize", "text", language="Latin", words=3)
send("summarize", content="all", language="named"); send("brief", "text", "Greek", 7)
""")
    assert (shown[0]["success"], shown[0]["response"]) == (True, "short")
    prompts = [body["messages"][0]["content"][0]["text"] for body in recorder.bodies()]
    assert prompts == ["In German,  words: text", "In Latin, 3 words: text", "In named,  words: all",
                       "In Greek, 7 words: text"]


@newest()
def test_what_a_type_makes_of_an_answer_is_the_tasks_result(sim, celery, serve, file):
    serve(HEADGATE_CONFIG=file(FILE))
    sim.script({"do": "text", "text": "Here: {\"total\": 12.5}"})
    (result,) = celery().run('show(app.send_task("app.tasks.total", ["bill"]).get(timeout=TIMEOUT))')
    assert result["data"] == {"total": 12.5}


@newest()
def test_a_wrong_call_of_such_a_task_is_a_type_error(celery, serve, file):
    serve(HEADGATE_CONFIG=file(FILE))
    shown = celery().run("""
send = lambda name, *args, **kwargs: show(outcome(app.send_task("app.tasks." + name, args, kwargs)))
send("summarize", "text"); send("summarize", "text", "a", "b"); send("brief", words=3, content="x")
send("brief", "text", "a", language="b"); send("brief", "text", " ", 3)
""")
    assert {kind for kind, _ in shown} == {"builtins.TypeError"}
    assert [text for _, text in shown[:4]] == [
        "summarize() missing 1 required positional argument: 'language'",
        "summarize() takes 2 positional arguments but 3 were given",
        "brief() missing 1 required positional argument: 'language'",
        "brief() got multiple values for argument language"]
    assert "language" in shown[4][1]


@newest()
def test_a_task_of_the_file_comes_and_goes_with_sighup(celery, serve, file):
    worker = serve(HEADGATE_CONFIG=file({"types": TYPES}), HEADGATE_CELERY_TASKS="app.tasks.total=chat")
    client = celery()

    def outcome(name, *args):
        return client.run(f'show(outcome(app.send_task("app.tasks.{name}", {list(args)!r}))[0])')[0]

    def reload(content, times):
        file(content)
        worker.signal(signal.SIGHUP)
        until(lambda: worker.log().count("was read again") == times, what="the new file")

    assert outcome("summarize", "text", "German") == "celery.exceptions.NotRegistered"
    reload(FILE, 1)
    assert outcome("summarize", "text", "German") == "ok"
    total, registered = client.run("""
i = app.control.inspect(timeout=4, limit=1)
show(list(i.stats().values())[0]["total"]); show(list(i.registered().values())[0])
""")
    assert total == {"app.tasks.summarize": 1}
    assert set(registered) >= {"app.tasks.summarize", "app.tasks.brief", "app.tasks.total"}
    # The variable wins over the file: this is a chat, whose first argument is its query.
    assert outcome("total", "why?") == "ok"
    file({"types": {}, "celery": FILE["celery"]})
    worker.signal(signal.SIGHUP)
    worker.wait_for_log("celery.tasks.app.tasks.summarize is \"summarize\": it must be the name of a job type"
                        .replace('"', '\\"'))
    assert outcome("summarize", "text", "German") == "ok"
    reload({"types": TYPES}, 2)
    assert outcome("summarize", "text", "German") == "celery.exceptions.NotRegistered"


def test_headgate_config_shows_the_tasks_of_the_file(cli, file):
    shown = cli("config", "--json", HEADGATE_CONFIG=str(file(FILE)), USE_CELERY="true").json()
    assert shown["celery.tasks.app.tasks.summarize"] == {
        **shown["celery.tasks.app.tasks.summarize"], "value": "summarize", "from": "file"}
