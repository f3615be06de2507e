"""Who may use the HTTP port, and what malformed or endless requests get: nothing."""

import socket
import time
from pathlib import Path

import pytest

from control import assert_error, request, section, send_raw, status_line, status_of
from support import IS_SANITIZED, until


# ---------------------------------------------------------------- who may


def test_with_a_token_nothing_is_told_without_it(redis, worker):
    process = worker(wait_ready=False, HEADGATE_HTTP_TOKEN="open-sesame")
    bearer = {"Authorization": "Bearer open-sesame"}
    until(lambda: process.readiness() in (200, 401), what="an open port")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic b3Blbg=="},
                    {"Authorization": "Bearer open-sesame2"}, {"Authorization": "Bearer "}):
        assert_error(process.get("/model_stats", headers=headers), 401)
        assert_error(process.post("/analyze_section", section("no"), headers=headers), 401)
        assert_error(process.get("/task_status/x", headers=headers), 401)
    assert process.get("/model_stats?token=open-sesame").status == 401
    assert process.get("/model_stats", headers=bearer).status == 200
    assert process.post("/analyze_section", section("yes"), headers=bearer).status == 202
    assert "open-sesame" not in process.log()


@pytest.mark.parametrize("host", [
    "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8080",
    "localhost@evil.example", "", "localhost", "localhost:1", "localhost:65535", "127.0.0.1:080",
    "[::ffff:127.0.0.1]:{port}", "localhost.:{port}", "127.1:{port}", "localhost:{port}0",
])
def test_a_foreign_host_is_refused(house, host):
    answer = house.worker.get("/model_stats", headers={"Host": host.format(port=house.worker.port)})
    assert answer.status in (400, 403, 421)


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "LOCALHOST:{port}"])
def test_the_hosts_own_names_are_served(house, host):
    headers = {"Host": host.format(port=house.worker.port)}
    assert house.worker.get("/model_stats", headers=headers).status == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://localhost.evil.example"}, {"Origin": "http://localhost:{port}.evil.example"},
    {"Origin": "chrome-extension://127.0.0.1:{port}"}, {"Origin": "127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1:1"}, {"Origin": "http://a@127.0.0.1:{port}"}, {"Origin": ""},
    {"Origin": "http://127.0.0.1:{port}/"}, {"Origin": "x://http://127.0.0.1:{port}"},
])
def test_a_browser_on_another_site_cannot_use_it(house, headers):
    headers = {name: text.format(port=house.worker.port) for name, text in headers.items()}
    answer = house.worker.post("/analyze_section", section("cross"), headers=headers)
    assert answer.status in (400, 401, 403)
    assert house.worker.post("/reset_model_cooldowns", headers=headers).status == answer.status


def test_the_own_dashboard_can_use_it(house):
    headers = {"Origin": f"http://127.0.0.1:{house.worker.port}", "Sec-Fetch-Site": "same-origin"}
    assert house.worker.post("/reset_model_cooldowns", headers=headers).status == 200


# ---------------------------------------------------------------- attacks


HIDDEN_BODY = b'{"id":"smuggled","content":"text"}'
HIDDEN = request(
    "POST /analyze_section HTTP/1.1", "Host: HOST", "Content-Type: application/json",
    f"Content-Length: {len(HIDDEN_BODY)}", body=HIDDEN_BODY,
)
TWO = b"{}" + HIDDEN
POST = ("POST /reset_model_cooldowns HTTP/1.1", "Host: HOST", "Content-Type: application/json")

ATTACKS = {
    "two lengths": request(*POST, "Content-Length: 2", f"Content-Length: {len(TWO)}", body=TWO),
    "plus length": request(*POST, "Content-Length: +2", body=TWO),
    "negative length": request(*POST, "Content-Length: -1", body=TWO),
    "hex length": request(*POST, "Content-Length: 0x2", body=TWO),
    "huge length": request(*POST, "Content-Length: 99999999999999999999", body=TWO),
    "blank before colon": request(
        *POST, "Transfer-Encoding : chunked", "Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN
    ),
    "chunked and length": request(
        *POST, "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN
    ),
    "unknown coding": request(*POST, "Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN),
    "no host": request("GET /healthz HTTP/1.1"),
    "two hosts": request("GET /healthz HTTP/1.1", "Host: HOST", "Host: evil.example"),
    "NUL in host": request("GET /healthz HTTP/1.1", "Host: HOST\0.evil.example"),
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: HOST\n\n",
    "control byte in target": request("GET /heal\x01thz HTTP/1.1", "Host: HOST"),
    "NUL in target": request("GET /healthz\0x HTTP/1.1", "Host: HOST"),
    "encoded NUL in target": request("GET /healthz%00x HTTP/1.1", "Host: HOST"),
    "folded header": request("GET /healthz HTTP/1.1", "Host: HOST", "X-A: b", " Content: c"),
    "no version": b"GET /healthz\r\n\r\n",
    "HTTP/9.9": request("GET /healthz HTTP/9.9", "Host: HOST"),
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    "a Redis command": b"*1\r\n$8\r\nFLUSHALL\r\n\r\n\r\n",
    "a request in the body of a GET": request(
        "GET /healthz HTTP/1.1", "Host: evil.example", f"Content-Length: {len(HIDDEN)}", body=HIDDEN
    ),
    "foreign absolute target": request(
        "GET http://evil.example/healthz HTTP/1.1", "Host: HOST"
    ),
}


def test_the_same_requests_in_good_form_are_served(house):
    """Were these refused, the attacks would prove nothing."""
    for good in (
        request("GET /healthz HTTP/1.1", "Host: HOST"),
        request(*POST, "Content-Length: 2", body=b"{}"),
    ):
        assert status_line(send_raw(house.worker, good)) == 200


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_malformed_request_is_refused_and_nothing_hides_behind_it(house, attack):
    answer = send_raw(house.worker, attack)
    status = status_line(answer)
    assert status is None or 400 <= status < 600, answer
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert house.worker.get("/healthz").status == 200
    assert house.redis.result("smuggled") is None
    assert status_of(house.worker, "smuggled")["state"] == "PENDING"


@pytest.mark.parametrize("path", ["/healthz", "/model_stats", "/task_status/unknown"])
def test_a_client_that_shuts_its_sending_half_down_gets_its_answer(house, path):
    """Also one that Redis has to be asked for."""
    data = request(f"GET {path} HTTP/1.1", "Host: HOST")
    assert status_line(send_raw(house.worker, data, is_half_closed=True)) == 200


def test_a_pipelined_second_request_is_not_served(house):
    first = request("GET /healthz HTTP/1.1", "Host: HOST")
    assert send_raw(house.worker, first + HIDDEN).count(b"HTTP/1.1 ") == 1
    assert house.worker.get("/healthz").status == 200
    assert house.redis.result("smuggled") is None


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_request_that_never_ends_is_cut_off(house, part):
    start = b"GET /healthz HTTP/1.1\r\nHost: HOST\r\nX-Slow: "
    if part == "body":
        start = request(*POST, "Content-Length: 1000")
    with socket.create_connection(("127.0.0.1", house.worker.port)) as connection:
        connection.sendall(start.replace(b"HOST", house.worker.host.encode()))
        began = time.monotonic()
        connection.settimeout(0.25)
        while not is_closed(connection):
            assert time.monotonic() - began < 16, "one byte at a time holds it for ever"
            assert house.worker.get("/healthz").status == 200


def is_closed(connection):
    """Sends one more byte, and looks whether the other side is still there."""
    try:
        connection.sendall(b"a")
        return connection.recv(4096) == b""
    except socket.timeout:
        return False
    except OSError:
        return True


def test_many_idle_connections_do_not_shut_others_out(house):
    before_kb = resident_kb(house.worker.pid)
    idle = [socket.create_connection(("127.0.0.1", house.worker.port)) for _ in range(400)]
    try:
        if not IS_SANITIZED:
            assert resident_kb(house.worker.pid) - before_kb < 400 * 16, "they cost memory"
        until(lambda: answers(house.worker), 5, "an answer beside 400 idle connections")
    finally:
        for connection in idle:
            connection.close()
    until(lambda: answers(house.worker), what="an answer afterwards")


def resident_kb(pid):
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def answers(process):
    try:
        return process.get("/healthz", timeout=3).status == 200
    except OSError:
        return False
