"""Chains, groups and chords within each other: what `get()` returns is what Celery's own workers of both
versions return. S is a task of ours, P and X are run by a worker of Celery on a queue of its own."""

import pytest

from celery_clients import each_version

HELPERS = """
S = lambda name: analyze_section_task.si(name, "text")
NO = lambda: analyze_section_task.si("no", "")  # no content: fails
P = lambda x: add.si(x, 2).set(queue="python")
X = lambda: collect.s().set(queue="python")
NAME = lambda: collect.si("Name").set(queue="python")

def names(value):
    if isinstance(value, list):
        return [names(one) for one in value]
    return value["section"] if isinstance(value, dict) else value

def end(canvas):
    result = canvas.apply_async()
    limit = time.time() + TIMEOUT
    while not result.ready() and time.time() < limit:
        time.sleep(0.02)
    assert result.ready(), result
    return result
"""

CHAINS = {
    "chain(S('0'), chain(S('a'), S('b')), S('c'))": "c",
    "chain(group(S('a'), S('b')), group(S('c'), S('d')))": ["c", "d"],
    "chain(group(S('a'), S('b')), group(S('c'), S('d')), X())": ["c", "d"],
    "chain(group(S('a'), S('b')), group(S('c'), S('d')), group(S('e'), S('f')), X())": ["e", "f"],
    "chain(S('0'), group(S('a'), S('b')), X(), group(S('c'), S('d')))": ["c", "d"],
    "chain(S('0'), group(S('a'), S('b')), group(S('c'), S('d')), X())": ["c", "d"],
    "chain(S('0'), group(S('a'), group(S('b'), S('c'))))": ["a", "c", "b"],
    "chain(S('0'), group(chain(S('a'), S('b')), S('c')), X())": ["b", "c"],
    "chain(NAME(), group(analyze_section_task.s('text'), X()), X())": ["Name", "Name"],
    "group(chain(S('a'), group(S('b'), S('c'))), S('d'))": [["b", "c"], "d"],
    "group(chain(S('a'), chord([S('b'), S('c')], X())), S('d'))": [["b", "c"], "d"],
}

BODIES = {
    "chord([S('a'), S('b')], chain(X(), S('c')))": "c",
    "chord([S('a'), S('b')], chain(X(), X()))": ["a", "b"],
    "chord([S('a'), S('b')], chain(S('c'), S('d')))": "d",
    "chord([S('a'), S('b')], group(X(), X()))": [["a", "b"], ["a", "b"]],
    "chord([S('a'), S('b')], group(S('c'), S('d')))": ["c", "d"],
    "chord([S('a'), S('b')], chord([X(), S('c')], X()))": [["a", "b"], "c"],
    "chord([S('a'), S('b')], chain(X(), group(S('c'), S('d'))))": ["c", "d"],
    "chord([S('a'), S('b')], chain(X(), chord([S('c'), S('d')], X())))": ["c", "d"],
    "chain(S('0'), chord([S('a'), S('b')], X()), chord([S('c'), S('d')], X()), S('e'))": "e",
    "chain(S('0'), chord([], X()), X())": [],
}

HEADERS = {
    "chord([chord([S('a'), S('b')], X()), S('c')], X())": [["a", "b"], "c"],
    "chord([chord([chord([S('a'), S('b')], X()), S('c')], X()), P(1)], X())": [[["a", "b"], "c"], 3],
    "chord([chord([S('a'), S('b')], chain(X(), X())), S('c')], X())": [["a", "b"], "c"],
    "chord([chain(S('a'), group(S('b'), S('c'))), S('d')], X())": [["b", "c"], "d"],
    "chord([chain(S('a'), group(S('b'), S('c')), X()), S('d')], X())": [["b", "c"], "d"],
    "chord([chain(S('a'), chord([S('b'), S('c')], X()), X()), S('d')], X())": [["b", "c"], "d"],
    "chord([chord([S('a'), S('b')], group(X(), X())), S('d')], X())": [[["a", "b"], ["a", "b"]], "d"],
    "chain(S('0'), chord([chord([S('a'), S('b')], X()), S('c')], X()))": [["a", "b"], "c"],
    "chain(S('0'), group(S('a'), chord([S('b'), S('c')], X())), X())": ["a", ["b", "c"]],
    "chain(S('0'), chord([chain(S('a'), chord([S('b'), S('c')], X())), S('d')], X()))": [["b", "c"], "d"],
    "chain(S('0'), chord([chain(S('a'), group(S('b'), S('c'))), S('d')], X()))": [["b", "c"], "d"],
    "chain(S('0'), chord([chord([S('a'), S('b')], group(X(), X())), S('d')], X()))": [[["a", "b"], ["a", "b"]], "d"],
}


@each_version()
@pytest.mark.parametrize("canvases", [CHAINS, BODIES, HEADERS], ids=["chains", "bodies", "headers"])
def test_a_canvas_within_a_canvas_returns_what_celery_returns(version, canvases, redis, celery, serve):
    serve()
    client = celery(version)
    client.worker(queues="python")
    code = HELPERS + "".join(f"show(names(end({canvas}).get()))\n" for canvas in canvases)
    assert dict(zip(canvases, client.run(code, timeout=120))) == canvases
    assert not redis.client.exists("unacked", "analysis", "chat", "python")


FAILURES = {
    "chord([S('a'), NO()], chain(X(), S('b')))": ["FAILURE"],
    "chord([S('a'), NO()], group(S('b'), X()))": ["FAILURE", "FAILURE"],
    "chord([S('a'), NO()], chord([X(), S('c')], X()))": ["FAILURE"],
    "chain(NO(), chord([S('a'), S('b')], X()))": ["FAILURE"],
    "chain(NO(), group(S('a'), S('b')))": ["FAILURE", "FAILURE"],
    "chord([chain(NO(), chord([S('a'), S('b')], X())), S('c')], X())": ["FAILURE"],
    "chord([chain(NO(), group(S('a'), S('b'))), S('c')], X())": ["FAILURE"],
    "chain(S('0'), group(chain(NO(), S('a')), S('b')), X())": ["FAILURE"],
}


@each_version()
def test_whoever_waits_for_a_canvas_that_fails_within_is_told(version, celery, serve):
    serve()
    client = celery(version)
    client.worker(queues="python")
    code = HELPERS + """
def states(result): return [one.state for one in getattr(result, "results", [result])]
""" + "".join(f"show(states(end({canvas})))\n" for canvas in FAILURES)
    assert dict(zip(FAILURES, client.run(code, timeout=120))) == FAILURES
