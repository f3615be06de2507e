"""The simulator itself: the other tests lean on it, so it must hold what its README says.

The signatures here come from a signer of their own, written from the AWS documentation, so that a
mistake in common/aws_sign.c cannot hide behind itself.
"""

import datetime
import hashlib
import hmac
import json
import socket
import struct
import time
import urllib.parse

import pytest

from services import PRIMARY, SECOND
from support import PATIENCE, http_call, raw_http, until

ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-v1:0"


@pytest.fixture(name="free_sim")
def open_to_everybody(servers):
    return servers.sim(verify=False)


def ask(text="mark-1 Hello", **more):
    return {"messages": [{"role": "user", "content": [{"text": text}]}], **more}


def path_of(model):
    return f"/model/{urllib.parse.quote(model, safe='')}/converse"


def hmac_of(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(port, path, body, access=ACCESS, secret=SECRET, region="us-east-1", service="bedrock",
           age_s=0):
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age_s)
    stamp, names = now.strftime("%Y%m%dT%H%M%SZ"), "content-type;host;x-amz-date"
    canonical = "\n".join([
        "POST", urllib.parse.quote(path, safe="/-_.~"), "", "content-type:application/json",
        f"host:127.0.0.1:{port}", f"x-amz-date:{stamp}", "", names,
        hashlib.sha256(body).hexdigest(),
    ])
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac_of(key, part)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac_of(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    return {
        "Content-Type": "application/json", "X-Amz-Date": stamp,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, "
                         f"Signature={signature}",
    }


def call_signed(sim, model=PRIMARY, **how):
    body = json.dumps(ask()).encode()
    path = path_of(model)
    return http_call(sim.port, "POST", path, body, signed(sim.port, path, body, **how))


def call(sim, body=None, model=PRIMARY, headers=None, timeout=15):
    return http_call(sim.port, "POST", path_of(model), ask() if body is None else body, headers,
                     timeout)


def text_of(answer):
    return "".join(block["text"] for block in answer.json()["output"]["message"]["content"])


def raw_call():
    body = json.dumps(ask()).encode()
    head = f"POST {path_of(PRIMARY)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def send(sim):
    """A connection with a call on its way."""
    connection = socket.create_connection(("127.0.0.1", sim.port))
    connection.sendall(raw_call())
    return connection


def assert_error(answer, status, code, message=""):
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (status, code), answer
    assert message in answer.json()["message"]


@pytest.mark.parametrize("model", [PRIMARY, "anthropic.claude-opus-4-7", ARN])
def test_a_right_signature_gets_an_answer(sim, model):
    answer = call_signed(sim, model)
    assert answer.status == 200, answer
    document = answer.json()
    assert document["stopReason"] == "end_turn"
    assert document["usage"]["totalTokens"] == sum(
        document["usage"][name] for name in ["inputTokens", "outputTokens"])
    assert len(answer.headers["x-amzn-requestid"]) == 36
    assert sim.stats_of(model)["ok"] == 1


@pytest.mark.parametrize("how, code, message", [
    ({"secret": "wrong"}, "InvalidSignatureException", "does not match"),
    ({"access": "wrong"}, "UnrecognizedClientException", "token included in the request is invalid"),
    ({"region": "eu-west-1"}, "InvalidSignatureException", "valid region"),
    ({"service": "bedrock-runtime"}, "InvalidSignatureException", "correct service"),
    ({"age_s": 400}, "InvalidSignatureException", "Signature expired"),
    ({"age_s": -400}, "InvalidSignatureException", "Signature not yet current"),
])
def test_a_wrong_signature_is_refused_as_aws_does(sim, how, code, message):
    assert_error(call_signed(sim, **how), 403, code, message)
    assert sim.stats_of(PRIMARY)["auth_failed"] == 1
    assert sim.calls()[0]["outcome"] == "auth"


def test_a_request_without_or_with_half_a_signature_is_refused(sim):
    assert_error(call(sim), 403, "MissingAuthenticationTokenException")
    half = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request"}
    assert_error(call(sim, headers=half), 403, "IncompleteSignatureException", "'SignedHeaders'")


def test_the_clock_of_the_simulator_can_be_wrong(sim):
    sim.config(clock_offset_s=3600)
    answer = call_signed(sim)
    assert_error(answer, 403, "InvalidSignatureException", "Signature expired")
    shown = datetime.datetime.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S GMT")
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    assert abs((shown - now).total_seconds() - 3600) < 60
    assert call_signed(sim, age_s=-3600).status == 200


def test_an_api_key_stands_for_a_signature(sim):
    sim.config(bearer_token="key-1")
    assert call(sim, headers={"Authorization": "Bearer key-1"}).status == 200
    assert_error(call(sim, headers={"Authorization": "Bearer key-2"}), 403, "AccessDeniedException")


@pytest.mark.parametrize("body, message", [
    (b"{", "Malformed input request"),
    ({}, "#/messages: expected type: JSONArray"),
    ({"messages": []}, "must start with a user message"),
    ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "start with a user message"),
    ({"messages": [{"role": "user", "content": []}]}, "messages.0 is empty"),
    (ask(" \n"), "messages.0.content.0 is blank"),
    (ask(system=[{"text": ""}]), "system.0 is blank"),
    (ask(inferenceConfig={"temperature": 1.5}), "inferenceConfig.temperature"),
    (ask(inferenceConfig={"maxTokens": 0}), "inferenceConfig.maxTokens"),
    (ask(inferenceConfig={"maxTokens": "9"}), "expected type: Number, found: String"),
    (ask(inferenceConfig={"stopSequences": [1]}), "stopSequences"),
])
def test_a_body_that_bedrock_would_refuse_is_refused(free_sim, body, message):
    assert_error(call(free_sim, body), 400, "ValidationException", message)
    assert free_sim.calls()[0]["outcome"] == "invalid"


def test_an_unknown_model_is_refused_when_only_known_ones_count(free_sim):
    free_sim.config(known_only=True, models={PRIMARY: {}})
    assert call(free_sim).status == 200
    assert_error(call(free_sim, model=SECOND), 400, "ValidationException", "identifier is invalid")
    assert http_call(free_sim.port, "GET", path_of(PRIMARY)).status == 404


def test_feedback_quotes_the_section_and_repeats_with_the_seed(free_sim):
    section = "The disk of db-2 was full at 10:04 and nobody had been told about it before."
    body = ask(f"Answer with feedback_items.\n<section>\n{section}\n</section>")
    text = text_of(call(free_sim, body))
    items = json.loads(text.strip("`").removeprefix("json"))["feedback_items"]
    assert 2 <= len(items) <= 5 and items[0]["confidence"] >= 0.8
    assert all(item["example"] and item["example"] in section for item in items)
    assert text_of(call(free_sim, body)) == text


def test_a_reply_can_be_given_word_by_word(free_sim):
    free_sim.config(models={PRIMARY: {"reply": {"text": 'a "b" é'}, "stop_reason": "tool_use"}})
    answer = call(free_sim)
    assert (text_of(answer), answer.json()["stopReason"]) == ('a "b" é', "tool_use")


def test_a_bucket_throttles_above_its_burst_and_says_when_to_come_again(free_sim):
    free_sim.config(default={"rpm": {"kind": "bucket", "per_minute": 1, "burst": 2},
                             "retry_after_s": 7})
    answers = [call(free_sim) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert_error(answers[2], 429, "ThrottlingException", "Too many requests")
    assert answers[2].headers["retry-after"] == "7"
    assert call(free_sim, model=SECOND).status == 200  # a quota of its own
    free_sim.reset()
    assert call(free_sim).status == 200


def test_tokens_are_reserved_with_max_tokens_and_given_back(free_sim):
    free_sim.config(default={"tpm": {"per_minute": 1000, "burst": 1000}, "latency_ms": 0,
                             "reply": {"text": "short"}})
    assert_error(call(free_sim), 429, "ThrottlingException", "Too many tokens")  # 64000 reserved
    for _ in range(3):
        assert call(free_sim, ask(inferenceConfig={"maxTokens": 700})).status == 200


def test_the_share_of_errors_is_kept(free_sim):
    free_sim.config(default={"error_rate": 0.5})
    statuses = [call(free_sim).status for _ in range(60)]
    assert set(statuses) == {200, 500} and 10 < statuses.count(500) < 50


def test_latencies_are_kept(free_sim):
    free_sim.config(default={"latency_ms": 300}, models={SECOND: {"reject_latency_ms": 200}})
    free_sim.script({"do": "throttle"}, model=SECOND)
    for model, least in [(PRIMARY, 0.3), (SECOND, 0.2)]:
        started = time.monotonic()
        call(free_sim, model=model)
        assert least <= time.monotonic() - started < least + 0.3 * PATIENCE


@pytest.mark.parametrize("fault, status, code", [
    ({"do": "throttle", "retry_after": 3}, 429, "ThrottlingException"),
    ({"do": "status"}, 500, "InternalServerException"),
    ({"do": "status", "status": 408, "code": "ModelTimeoutException"}, 408, "ModelTimeoutException"),
    ({"do": "status", "status": 503, "code": None, "headers": {"X-Odd": "1"}}, 503, None),
    ({"do": "redirect", "location": "http://127.0.0.1:1/"}, 307, None),
])
def test_scripted_refusals(free_sim, fault, status, code):
    free_sim.script(fault)
    answer = call(free_sim)
    assert (answer.status, answer.headers.get("x-amzn-errortype")) == (status, code)
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)
    assert answer.headers.get("location") == fault.get("location")
    assert answer.headers.get("x-odd") == ("1" if "headers" in fault else None)
    logged = free_sim.calls()[0]
    assert (logged["outcome"], logged["status"]) == (f"fault:{fault['do']}", status)
    assert call(free_sim).status == 200


@pytest.mark.parametrize("fault, stop, text", [
    ({"do": "empty"}, "end_turn", ""),
    ({"do": "text", "text": "T"}, "end_turn", "T"),
    ({"do": "guardrail"}, "guardrail_intervened", "Sorry, blocked."),
    ({"do": "cut_off"}, "max_tokens", "12345"),
])
def test_scripted_answers(free_sim, fault, stop, text):
    free_sim.config(default={"reply": {"text": "1234567890"}})
    free_sim.script(fault)
    answer = call(free_sim)
    assert (answer.status, answer.json()["stopReason"], text_of(answer)) == (200, stop, text)


def test_scripted_bodies(free_sim):
    free_sim.script({"do": "html"}, {"do": "body", "status": 200, "body": "{"})
    html, body = call(free_sim), call(free_sim)
    assert html.headers["content-type"] == "text/html" and b"<html>" in html.body
    assert (body.status, body.body) == (200, b"{")


def test_connections_that_end_badly(free_sim):
    free_sim.script({"do": "close"}, {"do": "garbage"}, {"do": "cut"})
    assert raw_http(free_sim.port, raw_call()) == b""
    assert b"not HTTP" in raw_http(free_sim.port, raw_call())
    head, _, body = raw_http(free_sim.port, raw_call()).partition(b"\r\n\r\n")
    announced = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
    assert len(body) == announced // 2 > 0
    free_sim.script({"do": "reset"})
    with pytest.raises(ConnectionResetError):
        call(free_sim)
    assert [one["status"] for one in free_sim.calls()] == [0, 0, 200, 0]


def test_a_hang_lasts_until_the_client_goes(free_sim):
    free_sim.script({"do": "hang"})
    with pytest.raises(TimeoutError):
        call(free_sim, timeout=0.3)
    until(lambda: free_sim.stats()["open"] == 0)
    assert free_sim.stats_of(PRIMARY)["aborted"] == 1
    logged = free_sim.calls("mark-1")[0]
    assert (logged["outcome"], logged["fault"], logged["status"]) == ("aborted", "hang", 0)


def test_a_drip_comes_whole_but_late(free_sim):
    free_sim.config(default={"reply": {"text": "d"}})
    free_sim.script({"do": "drip", "byte_ms": 1})
    started = time.monotonic()
    assert text_of(call(free_sim)) == "d"
    assert time.monotonic() - started > 0.3


@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_answer_is_valid_but_large(free_sim, chunked):
    free_sim.script({"do": "oversized", "bytes": 3_000_000, "chunked": chunked})
    answer = call(free_sim)
    assert len(answer.body) == 3_000_000 and text_of(answer)
    assert ("content-length" in answer.headers) != chunked
    assert call(free_sim).status == 200


def test_scripts_are_queues_and_a_models_own_comes_first(free_sim):
    free_sim.script({"do": "status", "status": 500, "times": 2}, {"do": "status", "status": 503})
    free_sim.script({"do": "throttle"}, model=SECOND)
    assert [call(free_sim, model=SECOND).status for _ in range(2)] == [429, 500]
    assert [call(free_sim).status for _ in range(3)] == [500, 503, 200]


def test_a_wrong_configuration_or_script_changes_nothing(free_sim):
    for path, body in [
        ("/sim/config", {"region": "x", "default": {"latency_ms": "fast"}}),
        ("/sim/config", {"models": {PRIMARY: {"rpm": {"kind": "odd", "per_minute": 1}}}}),
        ("/sim/script", {"model": "*", "faults": [{"do": "throttle"}, {"do": "odd"}]}),
        ("/sim/script", {"model": "*", "faults": [{"do": "status", "headers": {"a": "b\r\nc"}}]}),
    ]:
        answer = http_call(free_sim.port, "POST", path, body)
        assert (answer.status, list(answer.json())) == (400, ["error"])
    assert call(free_sim).status == 200


def test_the_log_is_read_from_where_one_left_off(free_sim):
    call(free_sim, ask("mark-a_1\" benchmark-2", inferenceConfig={"maxTokens": 9}))
    log = http_call(free_sim.port, "GET", "/sim/log").json()
    assert [(one["marker"], one["max_tokens"]) for one in log["calls"]] == [("mark-a_1", 9)]
    call(free_sim, ask("no marker"))
    log = http_call(free_sim.port, "GET", f"/sim/log?from={log['next']}").json()
    assert [(one["n"], one["marker"], one["outcome"]) for one in log["calls"]] == [(1, None, "ok")]
    assert log["next"] == 2


def test_many_calls_are_open_at_once(free_sim):
    free_sim.config(default={"latency_ms": 700 * PATIENCE})
    connections = [send(free_sim) for _ in range(400)]
    free_sim.wait_open(400)
    for connection in connections[:100]:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    for connection in connections[100:]:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()
    until(lambda: free_sim.stats()["open"] == 0)
    tally = free_sim.stats_of(PRIMARY)
    assert (tally["ok"], tally["aborted"], free_sim.stats()["max_open"]) == (300, 100, 400)


def test_requests_that_are_no_http_are_refused(free_sim):
    for request, status in [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\n", b"400"),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", b"400"),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 25000001\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 70 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70000, b"431"),
    ]:
        assert raw_http(free_sim.port, request).split(b" ")[1] == status, request[:60]


def test_sigterm_ends_it_at_once_even_with_open_calls(free_sim):
    free_sim.script({"do": "hang"})
    with send(free_sim) as connection:
        free_sim.wait_open(1)
        free_sim.term()
        assert free_sim.wait() == 0
        assert connection.recv(1) == b""
