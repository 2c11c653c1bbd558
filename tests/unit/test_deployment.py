"""`fab deploy` on pretended machines: in which order, what is the same the second time, what each machine gets."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract import inventory
from contract.inventory import Machine
from deploy import deployment as subject
from deploy.cluster import checked
from deploy.deployment import deploy, drained
from deploy.host import Access, Host, HostError
from deploy.site import on_each
from tests.unit.pretended_cluster import CLUSTER, World
from tests.unit.pretended_hosts import Pretended


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def listed(host: Pretended) -> list[Machine]:
    """The inventory on a proxy's machine."""
    return list(inventory.parse(host.written["/etc/gatekeeper/cluster_config.csv"].decode()))


def test_the_order_is_that_of_trust(world: World) -> None:
    deploy(world.deployment)
    order = ["demo files", "machines", "manager tunnel", "engine", "schemas", "proxy service"]
    order += ["orchestrator service", "gatekeeper service"]
    places = [world.log.index(step) for step in order]
    assert places == sorted(places)
    assert world.log.index("gatekeeper service") < world.log.index("gatekeeper nginx")


def test_a_second_run_says_unchanged_throughout_and_writes_nothing(world: World) -> None:
    deploy(world.deployment)
    assert len(world.changed()) > 20
    before = {path: path.read_bytes() for path in world.deployment.directory.rglob("*") if path.is_file()}
    with ExitStack() as untouched:
        for host in world.hosts.values():
            untouched.enter_context(host.unchanged())
        deploy(world.deployment)
    assert world.changed() == []
    assert {path: path.read_bytes() for path in world.deployment.directory.rglob("*") if path.is_file()} == before


SECRETS = ("operator.key", "tunnel.key", "accounts.toml", "api-key", "group-secret", "queue-secret")
GETS = {
    "standalone": set(),
    "manager": set(),
    "data1": set(),
    "proxy": {"tunnel.key", "accounts.toml"},
    "orchestrator": {"queue-secret"},
    "gatekeeper": set(),
}


@pytest.mark.parametrize(("name", "gets"), GETS.items(), ids=GETS.keys())
def test_a_secret_goes_to_the_machines_that_need_it_and_by_standard_input_only(
    world: World, name: str, gets: set[str]
) -> None:
    deploy(world.deployment)
    host = world.hosts[name]
    contents = {secret: (world.deployment.directory / secret).read_bytes().strip() for secret in SECRETS}
    assert {secret for secret, content in contents.items() if any(content in given for given in host.given)} == gets
    for content in contents.values():
        assert not any(content in script.encode() for script in host.scripts)


@pytest.mark.parametrize("name", ["proxy", "orchestrator", "gatekeeper"])
def test_a_services_files_are_its_accounts_alone(world: World, name: str) -> None:
    deploy(world.deployment)
    states = {
        path: state for path, (state, _) in world.hosts[name].files.items() if path.startswith("/etc/gatekeeper/")
    }
    assert len(states) >= 5
    assert set(states.values()) == {f"regular file|0600|gk-{name}:gk-{name}"}


def test_proxies_come_to_servers_as_the_tunnels_account_and_the_operators_inventory_says_the_same(
    world: World,
) -> None:
    deploy(world.deployment)
    users = {machine.name: machine.user_name for machine in listed(world.hosts["proxy"])}
    assert users == {
        **dict.fromkeys(["standalone", "manager", "data1", "data2", "data3"], "gk-tunnel"),
        **dict.fromkeys(["proxy", "orchestrator", "gatekeeper"], "admin"),
    }
    assert list(inventory.load(world.deployment.material.inventory)) == listed(world.hosts["proxy"])


def test_what_is_asked_of_the_provider_is_the_description_with_the_firewalls_rules(world: World) -> None:
    deploy(world.deployment)
    (order,) = world.provider.orders
    assert order.machines == CLUSTER.wanted()
    assert order.operator_key == world.deployment.material.operator_public_key
    assert {rule.to for rule in order.rules} == {"standalone", "manager", "data", "proxy", "orchestrator", "gatekeeper"}


def test_accounts_are_made_on_one_node_of_the_cluster_and_on_the_stand_alone_server(world: World) -> None:
    deploy(world.deployment)
    assert {host for host, script in world.engine.told if "IDENTIFIED BY" in script} == {"standalone", "manager"}


def test_a_host_that_fails_ends_the_deployment_and_the_next_run_goes_on_from_there(world: World) -> None:
    world.hosts["gatekeeper"].answers["apt-get"] = HostError("gatekeeper: no space left")
    with pytest.raises(HostError, match="no space left"):
        deploy(world.deployment)
    assert "gatekeeper service" not in world.log
    assert "proxy service" in world.log
    del world.hosts["gatekeeper"].answers["apt-get"]
    deploy(world.deployment)
    assert "gatekeeper nginx" in world.log


def test_a_new_policy_reaches_gatekeepers_without_a_restart(world: World, tmp_path: Path) -> None:
    deploy(world.deployment)
    gatekeeper = world.hosts["gatekeeper"]
    policy = tmp_path / "policy.toml"
    policy.write_bytes(world.deployment.material.policy() + b"\n# changed\n")
    before = len(gatekeeper.ran("systemctl reload gk-gatekeeper"))
    cluster = msgspec.structs.replace(CLUSTER, policy=str(policy))
    deploy(msgspec.structs.replace(world.deployment, cluster=cluster))
    assert gatekeeper.written["/etc/gatekeeper/policy.toml"].endswith(b"# changed\n")
    assert len(gatekeeper.ran("systemctl reload gk-gatekeeper")) == before


def states(world: World) -> dict[str, str]:
    return {machine.name: machine.state for machine in listed(world.hosts["proxy"])}


@contextmanager
def draining(world: World, name: str) -> Iterator[None]:
    site = world.deployment.site()
    with drained(site, world.engine, site.hosts[name]):
        yield


def test_a_node_that_is_drained_is_stopping_for_proxies_while_the_block_lasts(world: World) -> None:
    with draining(world, "data2"):
        assert {name for name, state in states(world).items() if state != "running"} == {"data2"}
        assert states(world)["data2"] == "stopping"
    assert set(states(world).values()) == {"running"}


def test_a_block_that_fails_leaves_no_node_drained(world: World) -> None:
    with pytest.raises(HostError, match="in the block"), draining(world, "data2"):
        raise HostError("data2: failed in the block")
    assert set(states(world).values()) == {"running"}


def test_the_block_is_entered_when_the_last_connection_of_a_proxy_has_gone(world: World) -> None:
    world.engine.processes = ["1\tgk_reader\tx\n2\troot\tx", "1\tgk_writer\tx", "2\troot\tx\n"]
    with draining(world, "data1"):
        assert world.engine.processes == []
        assert [host for host, script in world.engine.told if "PROCESSLIST" in script] == ["data1"] * 3


def test_connections_that_stay_are_told_and_the_node_is_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_DRAIN_TIMEOUT_S", 0)
    world.engine.processes = ["1\tgk_reader\tx\n2\tgk_reader\ty\n"] * 9
    with pytest.raises(HostError, match=r"^data1: 2 connections of proxies did not end"), draining(world, "data1"):
        raise AssertionError
    assert set(states(world).values()) == {"running"}


def test_a_machine_that_does_not_run_is_not_worked_on(world: World) -> None:
    world.provider.machines[0] = msgspec.structs.replace(world.provider.machines[0], state="stopped")
    assert "standalone" not in world.deployment.site().hosts


def test_with_private_subnets_the_first_gatekeeper_is_the_jump_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"operator": "203.0.113.7/32", "private_subnets": ["subnet-01234567"]}
    cluster = checked({"provider": "ec2", "engine": "galera", "ec2": settings})
    seen: list[Machine | None] = []

    def host(machine: Machine, access: Access) -> Host:
        seen.append(access.jump)
        return Host(machine, access)

    world = World(tmp_path, monkeypatch)
    monkeypatch.setattr(subject, "Host", host)
    made = msgspec.structs.replace(world.deployment, cluster=cluster)
    on_each(made.site().servers, lambda each: each.close())
    assert {jump.name for jump in seen if jump} == {"gatekeeper"}
