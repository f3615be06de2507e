"""A Celery app as the users of Headgate have one: what it declares is never run by a worker of ours."""

import os
import time

from celery import Celery

MODULE = "celery_tasks_enhanced."

app = Celery("celery_tasks_enhanced", broker=os.environ["REDIS_URL"],
             backend=os.environ.get("REDIS_RESULT_URL", os.environ["REDIS_URL"]))
app.conf.update(
    task_default_queue="analysis",
    task_routes={MODULE + "process_chat_task": {"queue": "chat"}},
    broker_connection_retry_on_startup=True,
    result_expires=3600,
    task_acks_late=os.environ.get("ACKS_LATE") == "1",
    worker_prefetch_multiplier=1,
    accept_content=["json", "pickle", "yaml"],
)
VARIABLES = {"global_keyprefix": "KEYPREFIX", "master_name": "MASTER_NAME"}
both = {option: os.environ[name] for option, name in VARIABLES.items() if name in os.environ}
app.conf.broker_transport_options = dict(both)
app.conf.result_backend_transport_options = both
if os.environ.get("VISIBILITY"):
    app.conf.broker_transport_options["visibility_timeout"] = float(os.environ["VISIBILITY"])


@app.task(name=MODULE + "analyze_section_task", bind=True)
def analyze_section_task(self, section_name, content, doc_type=None, session_id=None):
    if not content:  # as ours: what the type requires may not be blank
        raise TypeError("analyze_section_task() got a wrong argument: content is blank: a job of type analyze needs it")
    time.sleep(float(os.environ.get("TASK_SECONDS", "0")))
    return {"success": True, "section": section_name, "by": "python"}


@app.task(name=MODULE + "process_chat_task", bind=True)
def process_chat_task(self, query, context=None, session_id=None):
    return {"success": True, "response": query, "by": "python"}


@app.task(name=MODULE + "add")
def add(x, y=0):
    return x + y


@app.task(name=MODULE + "xsum")
def xsum(values):
    return sum(values)


@app.task(name=MODULE + "collect")
def collect(values, *rest):
    return values


@app.task(name=MODULE + "on_error")
def on_error(task_id):
    return "errback of " + task_id
