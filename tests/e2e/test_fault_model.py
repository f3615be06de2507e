"""Model servers that lie, hang, flood and break off; certificates; credentials; clocks.

test_selection has what an honest server may refuse, and a provider that goes and comes back.
"""

import itertools
import ssl
import subprocess
import threading
from http.server import ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from conftest import Servers
from headgate import SECRET_KEY
from hostile import DEEDS, GOOD, LIES, ODD, HostileServer
from services import PRIMARY, SECOND, Recorder
from support import IS_SANITIZED, peak_memory_mb, stays, until
from world import faked_time, needs, private_mounts

CALL_TIMEOUT = 1
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("hostile"))
    redis, server = servers.redis(), HostileServer("claude-3-5-sonnet")
    servers.started.append(server.down)
    worker = servers.worker(redis.url, server.url, HEADGATE_CALL_TIMEOUT=CALL_TIMEOUT)
    yield SimpleNamespace(redis=redis, server=server, worker=worker)
    servers.end()


def run(scene, **fields):
    name = f"model-{next(numbers)}"
    scene.redis.push({"id": name, "content": "text", **fields})
    return scene.redis.wait_result(name, 20)


@pytest.mark.parametrize(
    "deed", [*LIES.values(), *DEEDS], ids=[*LIES, *(deed.__name__ for deed in DEEDS)]
)
def test_a_hostile_answer_costs_one_call_and_the_next_model_is_asked(scene, deed):
    scene.server.deed = deed
    result = run(scene)
    assert (result["state"], result["model"], result["attempt"]) == ("succeeded", SECOND, 1)
    first, second = result["calls"]
    assert first["outcome"] not in ("ok", "throttled", "auth")
    assert first["ms"] < (CALL_TIMEOUT + 1) * 1000 * (10 if IS_SANITIZED else 3)
    assert second["outcome"] == "ok"
    assert all(path.startswith("/model/") for path in scene.server.paths)
    assert run(scene)["model"] == PRIMARY
    if not IS_SANITIZED:
        assert peak_memory_mb(scene.worker.pid) < 300


def test_an_answer_before_the_request_was_read_is_an_answer_or_a_failed_call(scene):
    """A server that refuses without reading the body; ours is too large to be sent at once."""
    scene.server.is_early = True
    try:
        scene.server.deed = GOOD
        result = run(scene, content="x" * 4_000_000)
    finally:
        scene.server.is_early = False
    assert result["state"] == "succeeded"
    assert run(scene)["model"] == PRIMARY


@pytest.mark.parametrize("deed", ODD.values(), ids=ODD.keys())
def test_an_odd_answer_is_an_answer_or_a_failed_call(scene, deed):
    scene.server.deed = deed
    assert run(scene)["state"] == "succeeded"
    assert run(scene)["model"] == PRIMARY


# ---- certificates ----


class TlsModel:
    """A model over TLS whose certificate can be exchanged while it runs."""

    def __init__(self, certificate):
        self.recorder = Recorder()
        self.certificate = certificate
        handler = self.recorder.server.RequestHandlerClass
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.get_request = self._accept
        self.server.handle_error = lambda *arguments: None
        self.plain_accept = self.server.socket.accept
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self.thread.start()

    def _accept(self):
        connection, address = self.plain_accept()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        connection.settimeout(10)
        return context.wrap_socket(connection, server_side=True), address

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server.server_port}"

    def down(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)
        self.recorder.down()


def make_certificate(directory, name, subject="IP:127.0.0.1", when=None):
    """Signed by itself; a day long, from now or from `when` on."""
    key, path = directory / f"{name}.key", directory / f"{name}.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "1", "-subj", "/CN=model", "-addext", f"subjectAltName={subject}",
        "-keyout", key, "-out", path,
    ]
    env = faked_time(when) if when else {}
    subprocess.run(command, check=True, capture_output=True, env={"PATH": "/usr/bin", **env})
    certificate = path.read_text()
    path.write_text(certificate + key.read_text())
    return path, certificate


@needs("faketime", "mount namespaces")
@pytest.mark.parametrize("flaw", ["expired", "wrong name", "unknown issuer"])
def test_a_certificate_that_is_not_right_gets_nothing_and_burns_no_job(
    servers, redis, worker, tmp_path, flaw
):
    flaws = {
        "expired": {"when": "-400d"},
        "wrong name": {"subject": "DNS:other.example"},
        "unknown issuer": {},
    }
    good, known = make_certificate(tmp_path, "good")
    bad, certificate = make_certificate(tmp_path, "bad", **flaws[flaw])
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(known + (certificate if flaw != "unknown issuer" else ""))
    model = TlsModel(bad)
    servers.started.append(model.down)
    system = "/etc/ssl/certs/ca-certificates.crt"
    process = worker(
        provider_url=model.url, within=private_mounts(f"mount --bind {bundle} {system}")
    )
    redis.push({"id": "tls", "content": "text"})
    until(lambda: process.readiness() == 503, what="a red /readyz")
    assert "certificate" in process.get("/readyz").json()["reason"].lower()
    assert "certificate" in process.log().lower()
    stays(lambda: redis.result("tls") is None, 0.3, "no result")
    assert model.recorder.requests == []

    model.certificate = good
    result = redis.wait_result("tls", 20)
    assert (result["state"], result["attempt"]) == ("succeeded", 1)
    until(process.is_ready, what="a green /readyz")


# ---- credentials and clocks ----


def test_credentials_that_expire_in_the_run_are_read_again(redis, sim, worker, tmp_path):
    shared = tmp_path / "credentials"

    def write(secret):
        text = f"[default]\naws_access_key_id=AKIDEXAMPLE\naws_secret_access_key={secret}\n"
        shared.with_suffix(".new").write_text(text)
        shared.with_suffix(".new").rename(shared)

    write(SECRET_KEY)
    process = worker(
        AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, AWS_SHARED_CREDENTIALS_FILE=shared
    )
    redis.push({"id": "fresh", "content": "text"})
    assert redis.wait_result("fresh")["state"] == "succeeded"
    sim.config(secret_key="rotated")
    redis.push({"id": "stale", "content": "mark-stale"})
    until(lambda: process.readiness() == 503, what="a red /readyz")
    assert redis.result("stale") is None
    write("rotated")
    result = redis.wait_result("stale", 20)
    assert (result["state"], result["attempt"]) == ("succeeded", 1)
    until(process.is_ready, what="a green /readyz")
    assert len(sim.calls("mark-stale")) < 30, "it spins"


@needs("faketime")
@pytest.mark.parametrize("offset", ["+1h", "-1h", "+3y"])
def test_a_wrong_clock_of_the_host_changes_nothing(redis, sim, worker, offset):
    """Leases go by Redis' clock, waits by the monotonic one; signatures by the answers' Date."""
    process = worker(**faked_time(offset))
    for n in range(3):
        redis.push({"id": f"clock-{n}", "content": f"mark-clock-{n}"})
        result = redis.wait_result(f"clock-{n}")
        assert (result["state"], result["attempt"]) == ("succeeded", 1)
    assert sum(call["outcome"] == "auth" for call in sim.calls()) <= 3
    assert process.is_ready()


@needs("faketime")
def test_a_clock_that_jumps_in_the_run_loses_no_lease_and_no_call(redis, sim, worker, tmp_path):
    clock = tmp_path / "clock"
    clock.write_text("+0")
    fake = faked_time(None)
    process = worker(**fake, FAKETIME_TIMESTAMP_FILE=clock, FAKETIME_NO_CACHE=1)
    sim.script({"do": "delay", "ms": 2500})
    redis.push({"id": "jumped", "content": "mark-jumped"})
    sim.wait_open(1)
    for jump in ("+3600", "-3600", "+94608000", "+0"):
        clock.write_text(jump)
        stays(process.is_ready, 0.4, "a green /readyz")
    assert redis.wait_result("jumped")["state"] == "succeeded"
    assert len(sim.calls("mark-jumped")) == 1
    clock.write_text("+86400")
    redis.push({"id": "delayed", "content": "mark-delayed"})
    assert redis.wait_result("delayed")["state"] == "succeeded"
    assert "lease lost" not in process.log()
