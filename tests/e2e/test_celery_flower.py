"""Flower, as its users have it open: workers of ours and their tasks on its pages and in its API."""

import html
import re
from urllib.parse import quote

import pytest

from celery_clients import MODULE, flower_home, has_flower
from support import Process, free_port, http_call, until

TASK = MODULE + "analyze_section_task"

pytestmark = pytest.mark.skipif(not has_flower(), reason="flower is not installed (make test-celery)")


class Flower(Process):
    def up(self, env):
        self.port = free_port()
        self.start([flower_home() / "bin/python", "-m", "celery", "-A", "app", "flower",
                    "--address=127.0.0.1", f"--port={self.port}"],
                   {**env, "FLOWER_UNAUTHENTICATED_API": "true", "HOME": str(self.directory)})
        until(self._answers, 30, "an answer of Flower")
        return self

    def _answers(self):
        assert self.is_alive(), self.log()
        try:
            return http_call(self.port, "GET", "/healthcheck").status == 200
        except ConnectionError:
            return False

    def ask(self, path):
        answer = http_call(self.port, "GET", path)
        return answer.json() if answer.status == 200 else None

    def do(self, path):
        return http_call(self.port, "POST", path, "")

    def page(self, path):
        """What a page shows, its words and cells with a bar in between."""
        answer = http_call(self.port, "GET", path)
        assert answer.status == 200, answer.body
        text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", "|", answer.body.decode(), flags=re.S)
        return re.sub(r"(\s*\|\s*)+", "|", re.sub(r"\s+", " ", html.unescape(text)))

    def tasks(self):
        return self.ask("/api/tasks")

    def wait_task(self, task_id, state):
        return until(lambda: self.tasks().get(task_id, {}).get("state") == state and self.tasks()[task_id],
                     20, f"{state} of {task_id}")


@pytest.fixture
def flower(celery, tmp_path):
    made = Flower("flower", tmp_path / "flower")
    yield made.up(celery().env)
    made.kill()


@pytest.fixture
def ours(flower, serve):
    """The name of a worker that Flower has seen, and that sends events of tasks."""
    worker = serve(HEADGATE_CELERY_EVENTS="on", HEADGATE_CONCURRENCY=3, BEDROCK_FALLBACK_MODELS=None)

    def seen():
        online = [w["hostname"] for w in flower.ask("/workers?json=1")["data"] if w["status"] is True]
        known = flower.ask("/api/workers?refresh=1")
        return next((name for name in online if name.startswith(f"headgate-{worker.pid}@")
                     and "registered" in known.get(name, {})), None)

    return until(seen, 20, "a worker of ours")


def refused(sim):
    sim.script({"do": "status", "status": 400, "code": "ValidationException", "message": "no"})


def test_a_worker_is_online_and_says_what_it_is(flower, ours):
    assert ours in flower.page("/workers")
    (worker,) = flower.ask("/workers?json=1")["data"]
    assert worker["sw_ident"] == "headgate" and worker["freq"] == 2 and len(worker["loadavg"]) == 3
    known = flower.ask("/api/workers?refresh=1")[ours]
    assert TASK in known["registered"]
    assert [queue["name"] for queue in known["active_queues"]] == ["analysis", "chat"]
    assert known["stats"]["pool"]["max-concurrency"] == 3
    assert f'flower_worker_online{{worker="{ours}"}} 1.0' in http_call(
        flower.port, "GET", "/metrics").body.decode()


def test_tasks_are_shown_with_their_states_and_what_came_of_them(flower, ours, sim, celery):
    refused(sim)
    bad, good, late = celery().run("""
bad = analyze_section_task.delay("bad", "text"); outcome(bad)
good = analyze_section_task.delay("Timeline", "text", doc_type="rca"); good.get(timeout=TIMEOUT)
old = analyze_section_task.apply_async(("S", "t"), countdown=0.6, expires=0.3); outcome(old)
show(bad.id); show(good.id); show(old.id)
""")
    task = flower.wait_task(good, "SUCCESS")
    assert (task["name"], task["worker"]) == (TASK, ours)
    assert task["args"] == "('Timeline', 'text')" and task["kwargs"] == "{'doc_type': 'rca'}"
    assert task["received"] <= task["started"] <= task["succeeded"] and task["runtime"] >= 0
    assert "feedback_items" in task["result"]
    failed = flower.wait_task(bad, "FAILURE")
    assert failed["exception"].startswith("ValueError(") and "no" in failed["exception"]
    assert failed["traceback"]
    assert flower.wait_task(late, "REVOKED")["revoked"]
    page = flower.page(f"/task/{bad}")
    assert "|Status|FAILURE|" in page and "|Exception|ValueError(" in page and ours in page
    assert flower.ask(f"/api/task/result/{good}")["state"] == "SUCCESS"
    assert flower.ask("/api/task/types") == {"task-types": [TASK]}


def test_the_page_of_a_worker_shows_what_it_does(flower, ours, sim, celery):
    sim.script({"do": "hang"})
    running, later, revoked = celery().run("""
first = analyze_section_task.delay("running", "text")
while first.state != "PROGRESS": time.sleep(0.01)
later = analyze_section_task.apply_async(("later", "text"), countdown=300)
gone = analyze_section_task.apply_async(("gone", "text"), countdown=300)
app.control.revoke(gone.id); outcome(gone)
show(first.id); show(later.id); show(gone.id)
""")

    def shown():
        page = flower.page(f"/worker/{quote(ours)}")
        active, _, rest = page.partition("|Active tasks|")[2].partition("|Scheduled tasks|")
        scheduled, _, rest = rest.partition("|Reserved tasks|")
        gone = rest.partition("|Revoked tasks|")[2]
        return page if running in active and later in scheduled and revoked in gone else None

    page = until(shown, 20, "tasks on the page of the worker")
    assert f"|Processed tasks|{TASK}|1|" in page
    assert "|Worker pool options|Implementation|Headgate|Max concurrency|3|" in page
    assert "|Transport|redis|" in page and "|analysis|" in page and "|chat|" in page
    assert "|task_acks_late|True|" in page and "|utime|" in page and "|uptime|" in page
    assert "('running', 'text')" in page and "('later', 'text')" in page


def test_its_buttons_work(flower, ours, sim, celery):
    sim.script({"do": "hang"})
    running, later = celery().run("""
first = analyze_section_task.delay("running", "text")
while first.state != "PROGRESS": time.sleep(0.01)
show(first.id); show(analyze_section_task.apply_async(("later", "text"), countdown=300).id)
""")
    flower.wait_task(running, "STARTED")
    assert flower.do(f"/api/task/revoke/{later}").status == 200
    flower.wait_task(later, "REVOKED")
    assert flower.do(f"/api/task/revoke/{running}?terminate=true").status == 200
    assert flower.wait_task(running, "REVOKED")["worker"] == ours
    assert flower.do(f"/api/worker/queue/cancel-consumer/{quote(ours)}?queue=chat").status == 200
    assert flower.do(f"/api/worker/queue/add-consumer/{quote(ours)}?queue=chat").status == 200
    grown = flower.do(f"/api/worker/pool/grow/{quote(ours)}?n=1")
    assert grown.status == 403 and b"not supported by this worker" in grown.body
    assert flower.ask("/api/queues/length") == {
        "active_queues": [{"name": "analysis", "messages": 0}, {"name": "chat", "messages": 0}]}


def test_a_worker_that_sends_no_events_of_tasks_is_asked_for_them(flower, serve, celery):
    serve()
    sent = []

    def shown():
        """One of those sent so far: events come up to 0.1 s after what they tell of."""
        sent.extend(celery().run("r = analyze_section_task.delay('S', 't'); outcome(r); show(r.id)"))
        tasks = flower.tasks()
        return next((tasks[task_id] for task_id in sent if task_id in tasks), None)

    assert until(shown, 30, "a task in Flower")["name"] == TASK


def test_a_worker_that_goes_is_offline(flower, ours):
    assert flower.do(f"/api/worker/shutdown/{quote(ours)}").status == 200
    until(lambda: [w["status"] for w in flower.ask("/workers?json=1")["data"]] == [False], 20, "an end")
