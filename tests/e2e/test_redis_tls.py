"""rediss://: who the server is gets verified, and every refusal says what to do."""

import socket
import subprocess

import pytest

from services import RedisServer
from support import free_port, until

ANALYZE = {"content": "mark-tls"}


class Authority:
    """A certificate authority of its own, made with openssl."""

    def __init__(self, directory, name="ca"):
        self.directory = directory
        self.file = directory / f"{name}.pem"
        self.key = directory / f"{name}.key"
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                  "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file)

    def certificate(self, name, subject="DNS:localhost,IP:127.0.0.1", days=2):
        """Files of a certificate and its key, signed by this authority."""
        cert, key, request, extra = (
            self.directory / f"{name}.{kind}" for kind in ("crt", "key", "csr", "ext")
        )
        extra.write_text(f"subjectAltName={subject}\n")
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", key, "-out", request)
        self._run("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key,
                  "-CAcreateserial", "-days", days, "-extfile", extra, "-out", cert)
        return cert, key

    @staticmethod
    def _run(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def tls_redis(servers, authority):
    """A factory: a Redis that speaks TLS on .tls_port with the given certificate."""

    def start(certificate=None, wants_clients="no"):
        cert, key = certificate or authority.certificate("server")
        port = free_port()
        server = RedisServer(servers._directory("redis"), arguments=(
            "--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key),
            "--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", wants_clients,
        ))
        server.tls_port = port
        server.tls_url = f"rediss://localhost:{port}/0"
        servers.started.append(server.kill)
        return server.up()

    return start


def test_jobs_go_through_tls_and_survive_a_restart_of_redis(tls_redis, authority, sim, worker):
    redis = tls_redis()
    process = worker(redis_url=redis.tls_url, HEADGATE_REDIS_CA=authority.file)
    redis.push({"id": "small", **ANALYZE})
    redis.push({"id": "large", "content": "x" * 4_000_000})
    for name in ("small", "large"):
        assert redis.wait_result(name)["state"] == "succeeded"
    redis.kill()
    until(lambda: process.readiness() == 503, what="a red /readyz")
    redis.up()
    redis.push({"id": "again", **ANALYZE})
    assert redis.wait_result("again")["state"] == "succeeded"


def test_a_client_certificate_is_shown_when_redis_wants_one(tls_redis, authority, sim, worker):
    redis = tls_redis(wants_clients="yes")
    cert, key = authority.certificate("client")
    worker(redis_url=redis.tls_url, HEADGATE_REDIS_CA=authority.file, HEADGATE_REDIS_CERT=cert,
           HEADGATE_REDIS_KEY=key)
    redis.push({"id": "known", **ANALYZE})
    assert redis.wait_result("known")["state"] == "succeeded"


def test_the_files_may_stand_in_the_url(tls_redis, authority, cli):
    redis = tls_redis()
    done = cli("stats", REDIS_URL=f"{redis.tls_url}?ssl_cert_reqs=required"
                                  f"&ssl_ca_certs={authority.file}")
    assert done.code == 0, done.err


def refused(cli, url, **settings):
    done = cli("stats", REDIS_URL=url, **settings)
    assert done.code == 4, done.err
    return done.err


def test_an_unknown_authority_is_refused(tls_redis, authority, cli, tmp_path):
    redis = tls_redis()
    other = Authority(tmp_path, "other")
    for settings in ({}, {"HEADGATE_REDIS_CA": other.file}):
        assert "HEADGATE_REDIS_CA" in refused(cli, redis.tls_url, **settings)


def test_a_certificate_for_another_name_is_refused_unless_that_is_the_name(
    tls_redis, authority, cli
):
    redis = tls_redis(authority.certificate("elsewhere", "DNS:redis.example"))
    for host in ("localhost", "127.0.0.1"):
        url = redis.tls_url.replace("localhost", host)
        assert "HEADGATE_REDIS_SERVER_NAME" in refused(cli, url, HEADGATE_REDIS_CA=authority.file)
    done = cli("stats", REDIS_URL=redis.tls_url, HEADGATE_REDIS_CA=authority.file,
               HEADGATE_REDIS_SERVER_NAME="redis.example")
    assert done.code == 0, done.err


def test_an_expired_certificate_is_refused(tls_redis, authority, cli):
    redis = tls_redis(authority.certificate("old", days=-1))
    assert "expired" in refused(cli, redis.tls_url, HEADGATE_REDIS_CA=authority.file)


def test_a_missing_client_certificate_is_named(tls_redis, authority, cli):
    redis = tls_redis(wants_clients="yes")
    words = refused(cli, redis.tls_url, HEADGATE_REDIS_CA=authority.file)
    assert "HEADGATE_REDIS_CERT" in words


def test_a_port_without_tls_is_named(redis, cli):
    assert "is this its TLS port" in refused(cli, f"rediss://127.0.0.1:{redis.port}")


def test_a_server_that_never_shakes_hands_is_given_up(cli):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = refused(cli, f"rediss://127.0.0.1:{silent.getsockname()[1]}")
    assert "TLS handshake" in words


@pytest.mark.parametrize("name", ["HEADGATE_REDIS_CA", "HEADGATE_REDIS_CERT"])
def test_a_file_that_cannot_be_used_is_told_at_the_start(cli, tmp_path, name):
    for file in (tmp_path / "missing.pem", tmp_path):
        done = cli("worker", REDIS_URL="rediss://localhost", **{name: file})
        assert done.code == 2
        assert str(file) in done.err


def test_a_result_larger_than_redis_takes_is_a_clear_failure_over_tls_too(
    tls_redis, authority, sim, worker
):
    """What Redis says before it hangs up may be lost; the job ends all the same."""
    redis = tls_redis()
    redis.client.config_set("proto-max-bulk-len", 1024 * 1024)
    sim.config(default={"reply": {"text": "y" * 3_000_000}})
    worker(redis_url=redis.tls_url, HEADGATE_REDIS_CA=authority.file)
    redis.push({"id": "long", "type": "chat", "query": "mark-long"})
    result = redis.wait_result("long", 60)
    assert "more than Redis takes" in result["error"]["message"]
    assert len(sim.calls("mark-long")) == 1
