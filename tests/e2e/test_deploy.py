"""The files that put a worker into service say what the worker does."""

import re

import pytest

from headgate import CommandLine, environment
from support import ROOT, until


@pytest.fixture(scope="module")
def deployment():
    yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed")
    return yaml.safe_load((ROOT / "docker/kubernetes.yaml").read_text())


def pod(deployment):
    return deployment["spec"]["template"]["spec"]


def test_a_pod_has_no_rights_it_does_not_need(deployment):
    container = pod(deployment)["containers"][0]
    rights = pod(deployment)["securityContext"] | container["securityContext"]
    assert rights["runAsNonRoot"] and rights["runAsUser"] > 0
    assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(deployment)["automountServiceAccountToken"] is False


def test_a_worker_with_the_pods_settings_passes_its_probes(deployment, redis, sim, worker):
    container = pod(deployment)["containers"][0]
    given = {e["name"]: e["value"] for e in container["env"] if "value" in e}
    secret = {e["name"] for e in container["env"] if "valueFrom" in e}
    assert {"REDIS_URL", "HEADGATE_HTTP_TOKEN", "AWS_SECRET_ACCESS_KEY"} <= secret
    address, _, port = given.pop("HEADGATE_HTTP").rpartition(":")
    assert int(port) == container["ports"][0]["containerPort"]
    assert address == "0.0.0.0", "probes come from outside of the pod"
    settings = CommandLine(environment(redis.url, sim.url, **given))("config", "--json")
    shown = settings.json()
    assert all(shown[name]["from"] == "environment" for name in given), "every name is known"
    process = worker(wait_ready=False, HEADGATE_HTTP_TOKEN="t" * 32, **given)
    for probe in ("livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        until(lambda path=path: asked(process, path) == 200, what=f"a green {path}")
    assert process.get("/queue_stats").status == 401
    seconds = float(shown["HEADGATE_DRAIN_SECONDS"]["value"])
    assert pod(deployment)["terminationGracePeriodSeconds"] > seconds + 6


def asked(process, path):
    try:
        return process.get(path).status
    except ConnectionError:
        return 0


def test_the_unit_gives_a_drain_its_time(cli):
    unit = (ROOT / "docker/headgate.service").read_text()
    seconds = float(cli("config", "--json", HEADGATE_DRAIN_SECONDS="").json()
                    ["HEADGATE_DRAIN_SECONDS"]["value"])
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)[1]) > seconds + 6
    assert re.search(r"^Type=notify$", unit, re.M) and re.search(r"^WatchdogSec=\d+$", unit, re.M)


def test_the_image_is_built_with_the_makefiles_own_list_of_packages():
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    assert "make build-deps" in dockerfile
    assert "-dev" not in dockerfile
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.M), "a number, and not root"
