"""Security groups of EC2, computed: who may reach what, and how a group differs from that."""

import pytest

from contract.inventory import MachineRole
from deploy import firewall
from deploy.firewall import Rule
from deploy.providers.ec2 import rules
from deploy.providers.ec2.rules import Allowed, Present

OPERATOR = "203.0.113.0/24"
ROLES: frozenset[MachineRole] = frozenset({"standalone", "manager", "data", "proxy", "gatekeeper"})
SSH = Present("sgr-1", "tcp", 22, 22, OPERATOR)


def test_the_world_is_both_of_its_networks_and_a_role_is_itself() -> None:
    found = rules.wanted([Rule("gatekeeper", 443, "world"), Rule("proxy", 8443, "gatekeeper")], OPERATOR)
    assert found == {
        "gatekeeper": {Allowed(443, "0.0.0.0/0"), Allowed(443, "::/0")},
        "proxy": {Allowed(8443, "gatekeeper")},
    }


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_the_world_reaches_the_gatekeepers_web_ports_and_nothing_else(engine: str) -> None:
    found = rules.wanted(firewall.rules(engine, ROLES), OPERATOR)
    to_world = {(role, each.port) for role, allowed in found.items() for each in allowed if each.source in rules.WORLD}
    assert to_world == {("gatekeeper", 80), ("gatekeeper", 443)}


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_nobody_reaches_sql_from_another_machine(engine: str) -> None:
    found = rules.wanted(firewall.rules(engine, ROLES), OPERATOR)
    assert not any(each.port in {3306, 33060} for allowed in found.values() for each in allowed)


def test_an_operators_ipv6_addresses_are_written_as_aws_writes_them() -> None:
    found = rules.wanted([Rule("data", 22, "operator")], "2001:DB8:0:0::/64")
    assert found == {"data": {Allowed(22, "2001:db8::/64")}}


DIFFERENCES = [
    pytest.param([SSH], (), (), id="none"),
    pytest.param([], (Allowed(22, OPERATOR),), (), id="missing"),
    pytest.param([SSH, Present("sgr-2", "tcp", 22, 22, "0.0.0.0/0")], (), ("sgr-2",), id="another source"),
    pytest.param([SSH, Present("sgr-2", "udp", 22, 22, OPERATOR)], (), ("sgr-2",), id="another protocol"),
    pytest.param([Present("sgr-2", "tcp", 22, 23, OPERATOR)], (Allowed(22, OPERATOR),), ("sgr-2",), id="a wider range"),
    pytest.param([Present("sgr-2", "-1", -1, -1, OPERATOR)], (Allowed(22, OPERATOR),), ("sgr-2",), id="everything"),
    pytest.param([Present("sgr-2", "icmp", 8, -1, OPERATOR), SSH], (), ("sgr-2",), id="ping"),
]


@pytest.mark.parametrize(("present", "missing", "foreign"), DIFFERENCES)
def test_only_what_differs_is_changed(
    present: list[Present], missing: tuple[Allowed, ...], foreign: tuple[str, ...]
) -> None:
    found = rules.difference(frozenset({Allowed(22, OPERATOR)}), present)
    assert found.missing == missing
    assert tuple(each.id for each in found.foreign) == foreign


TEXTS = [
    pytest.param(SSH, f"TCP 22 from {OPERATOR}", id="a port"),
    pytest.param(Present("x", "tcp", 1, 9, "sg-1"), "TCP 1 to 9 from sg-1", id="a range"),
    pytest.param(Present("x", "-1", -1, -1, "pl-1"), "all traffic from pl-1", id="everything"),
]


@pytest.mark.parametrize(("present", "text"), TEXTS)
def test_a_rule_is_told_in_words(present: Present, text: str) -> None:
    assert present.text == text
