"""The HTTP port as its clients see it: bodies, shapes of answers, raw requests."""

import re

from support import raw_http, until

JSON_TYPE = {"Content-Type": "application/json"}
STATUS_FIELDS = {
    "task_id", "state", "status", "progress", "ready", "successful", "result", "error"
}


def section(name, **fields):
    """A body for /analyze_section; the simulator's log shows its marker."""
    return {"section_name": "Timeline", "content": f"mark-{name}", "doc_type": "plan", **fields}


def status_of(worker, task_id):
    answer = worker.get(f"/task_status/{task_id}")
    assert answer.status == 200
    status = answer.json()
    assert set(status) == STATUS_FIELDS
    return status


def wait_ready(worker, task_id):
    return until(
        lambda: (status := status_of(worker, task_id))["ready"] and status,
        what=f"the end of {task_id}",
    )


def assert_error(answer, *statuses):
    assert answer.status in statuses, answer.body
    body = answer.json()
    assert body["success"] is False
    assert isinstance(body["error"]["kind"], str)
    assert isinstance(body["error"]["message"], str) and body["error"]["message"]


def request(*lines, body=b""):
    """The bytes of a request, whatever its lines hold; HOST is put in by send_raw."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def send_raw(worker, data, **options):
    return raw_http(worker.port, data.replace(b"HOST", worker.host.encode()), **options)


def status_line(answer):
    """The status of a raw answer; None when there was none."""
    match = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(match[1]) if match else None
