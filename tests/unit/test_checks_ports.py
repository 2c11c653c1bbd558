"""What a place may reach, by the rules, and how ports that answer are found."""

import socket

import pytest

from contract.inventory import MachineRole
from deploy.checks import ports, scan
from deploy.checks.ports import Place, allowed, mistaken
from deploy.firewall import Source, rules
from tests.unit.pretended_hosts import machine

ROLES: dict[str, MachineRole] = {
    "manager": "manager",
    "data1": "data",
    "data2": "data",
    "proxy": "proxy",
    "gatekeeper": "gatekeeper",
}
MACHINES = [machine(name, role) for name, role in ROLES.items()]
WEB = {("gatekeeper", 80), ("gatekeeper", 443)}
EVERY_SSH = {(name, 22) for name in ROLES}


@pytest.mark.parametrize(
    ("name", "role", "reached"),
    [
        pytest.param("a stranger", "world", WEB, id="a stranger"),
        pytest.param("the operator", "operator", WEB | EVERY_SSH, id="the operator"),
        pytest.param("gatekeeper", "gatekeeper", {("proxy", 8443)}, id="the gatekeeper"),
        pytest.param("data1", "data", WEB | {("manager", 1186), ("data2", 11860)}, id="a node"),
        pytest.param("proxy", "proxy", WEB | {("manager", 22), ("data1", 22), ("data2", 22)}, id="the proxy"),
    ],
)
def test_a_place_may_reach_what_a_rule_names(name: str, role: Source, reached: set[ports.Target]) -> None:
    place = Place(name, role, lambda _: "")
    assert allowed(place, MACHINES, rules("ndb", frozenset(ROLES.values()))) == reached


def test_what_is_open_and_what_is_closed_but_should_be_otherwise_is_named() -> None:
    assert mistaken("data1", {("manager", 1186)}, {("manager", 3306)}) == [
        "data1 reaches manager 3306",
        "data1 does not reach manager 1186",
    ]


def test_a_port_that_listens_and_one_that_refuses_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        ours, other = listening.getsockname()[1], bound.getsockname()[1]
        scan.main(["5", f"{ours},{other}-{other}", "127.0.0.1"])
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        [f"127.0.0.1 {ours} open", f"127.0.0.1 {other} refused"]
    )


def test_a_port_that_can_not_be_tried_is_no_port_that_answers() -> None:
    with pytest.raises(OSError, match=r"255\.255\.255\.255 port 9"):
        list(scan.scan([("255.255.255.255", 9)], 1.0))
