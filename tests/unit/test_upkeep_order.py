"""In which order a running cluster is worked on, with pretended machines: what must be done before what."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.messages import NodesAnswer, NodeStatus
from deploy import passwords, upkeep
from deploy.host import Host
from deploy.roles import service
from deploy.upkeep import NotWhole
from tests.unit.pretended_cluster import World

STEPS = ("drain", "restart", "served")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A cluster whose every step is noted down in its log."""
    made = World(tmp_path, monkeypatch)
    made.deployment.material.make("demo")

    def drained(_site: Any, _engine: Any, host: Host) -> AbstractContextManager[None]:
        made.log.append(f"drain {host.name}")
        return nullcontext()

    monkeypatch.setattr(service, "succeed", lambda host, _name: made.log.append(f"succeed {host.name}"))
    monkeypatch.setattr(upkeep, "drained", drained)
    monkeypatch.setattr(upkeep, "wait_until_served", lambda _d, _s, host: made.log.append(f"served {host.name}"))
    monkeypatch.setattr(made.engine, "restart", lambda _site, host: made.log.append(f"restart {host.name}"))
    return made


def steps(world: World, *words: str) -> list[str]:
    return [entry for entry in world.log if entry.startswith(words)]


def test_a_rolling_restart_takes_services_first_and_the_next_node_when_the_one_before_serves(world: World) -> None:
    upkeep.restart(world.deployment)
    nodes = [f"{step} {name}" for name in ("manager", "data1", "data2", "data3") for step in STEPS]
    assert steps(world, "succeed", *STEPS) == ["succeed gatekeeper", "succeed orchestrator", "succeed proxy", *nodes]


def test_nothing_is_restarted_while_a_machine_is_missing(world: World) -> None:
    world.provider.machines = [machine for machine in world.provider.machines if machine.name != "data2"]
    with pytest.raises(NotWhole, match="not running: data2"):
        upkeep.restart(world.deployment)
    assert steps(world, "succeed", *STEPS) == []


def test_nothing_is_restarted_while_a_node_is_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.engine, "state", lambda host: "Joining" if host.name == "data3" else "Synced")
    monkeypatch.setattr(world.engine, "is_ready", lambda state: state == "Synced")
    with pytest.raises(NotWhole, match=r"not in step: data3 \(Joining\)"):
        upkeep.restart(world.deployment)
    assert steps(world, "succeed", *STEPS) == []


def test_old_passwords_are_dropped_only_when_the_new_ones_are_known_and_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = world.engine.sql

    def noted(host: Host, script: str, *, timeout_s: float = 120.0) -> str:
        for word in ("ALTER USER", "COUNT(DISTINCT user)", "DROP USER"):
            if word in script:
                world.log.append(f"sql {host.name} {word}")
        return "5" if "COUNT(DISTINCT user)" in script else sql(host, script, timeout_s=timeout_s)

    monkeypatch.setattr(world.engine, "sql", noted)
    before = world.deployment.material.accounts()
    passwords.rotate(world.deployment)
    made = [f"sql {name} ALTER USER" for name in ("standalone", "manager")]
    known = [f"sql {name} COUNT(DISTINCT user)" for name in ("manager", "data1", "data2", "data3")]
    dropped = [f"sql {name} DROP USER" for name in ("standalone", "manager")]
    assert steps(world, "succeed", "sql") == ["succeed proxy", *made, *known, "succeed proxy", *dropped]
    after = world.deployment.material.accounts()
    assert passwords.users_of(after) == [f"{user}_b" for user in passwords.users_of(before)]
    assert after.reader_password.encode() in world.hosts["proxy"].written["/etc/gatekeeper/accounts.toml"]


def test_certificates_among_nodes_are_rotated_after_those_of_services_and_only_in_a_whole_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep.rotate_certificates(world.deployment, with_edge=False)
    services = [f"succeed {name}" for name in ("gatekeeper", "orchestrator", "proxy")]
    assert steps(world, "succeed", "engine's") == [*services, "engine's certificates"]
    monkeypatch.setattr(world.engine, "is_ready", lambda _state: False)
    with pytest.raises(NotWhole, match="not in step"):
        upkeep.rotate_certificates(world.deployment, with_edge=False)
    assert len(steps(world, "engine's")) == 1


def knows(proxy: str, **states: str) -> NodesAnswer:
    nodes = [
        msgspec.convert(
            {
                "name": name,
                "role": "data",
                "state": state,
                "engine_state": "Synced",
                "ping_ms": 1.0,
                "in_flight": 0,
                "requests": 0,
                "failures": 0,
                "tunnel_restarts": 0,
            },
            NodeStatus,
        )
        for name, state in states.items()
    ]
    return NodesAnswer(proxy, "galera", "openssh", None, nodes)


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ([knows("proxy1", data1="up"), knows("proxy2", data1="up")], []),
        ([knows("proxy1", data1="up"), knows("proxy2", data1="suspect")], ["proxy2"]),
        ([knows("proxy1", data1="up"), knows("proxy2", data2="up")], ["proxy2"]),
        ([knows("proxy2", data1="up")], ["proxy1"]),
        ([], ["proxy1", "proxy2"]),
    ],
    ids=["all use it", "one suspects it", "one does not know it", "one does not answer", "none answers"],
)
def test_a_node_serves_again_when_every_proxy_says_so(answers: list[NodesAnswer], left: list[str]) -> None:
    assert upkeep.without("data1", ["proxy1", "proxy2"], answers) == left
