"""Where DNS may lead a call to a model: not to this host's link, where clouds keep credentials."""

import pytest

from world import needs, private_mounts

pytestmark = needs("mount namespaces")
NAME = "models.example"


@pytest.fixture
def rebound(servers, redis, sim, tmp_path):
    """A worker whose models' name resolves to `address`, as if somebody had changed the DNS."""

    def start(address, host=NAME):
        hosts, order = tmp_path / "hosts", tmp_path / "nsswitch.conf"
        hosts.write_text(f"127.0.0.1 localhost\n{address} {NAME}\n")
        order.write_text("hosts: files\n")
        within = private_mounts(f"mount --bind {hosts} /etc/hosts",
                                f"mount --bind {order} /etc/nsswitch.conf")
        return servers.worker(redis.url, f"http://{host}:{sim.port}", within=within)

    return start


def test_a_name_that_leads_to_an_ordinary_address_is_called(redis, sim, rebound):
    rebound("127.0.0.1")
    redis.push({"id": "fine", "content": "mark-fine"})
    assert redis.wait_result("fine")["state"] == "succeeded"


@pytest.mark.parametrize("address, told", [
    ("0.0.0.0", "unspecified address 0.0.0.0"),  # where Linux would find the simulator
    ("169.254.169.254", "link-local address 169.254.169.254"),
])
def test_a_name_that_leads_to_this_host_or_its_link_is_not_followed(redis, sim, rebound, address,
                                                                    told):
    worker = rebound(address)
    redis.push({"id": "led", "content": "mark-led"})
    worker.wait_for_log(told)
    assert sim.stats()["calls"] == 0
    assert redis.result("led") is None, "the job waits"


def test_an_address_that_was_configured_is_meant(redis, sim, rebound):
    rebound("127.0.0.1", host="0.0.0.0")
    redis.push({"id": "meant", "content": "mark-meant"})
    assert redis.wait_result("meant")["state"] == "succeeded"
