"""Who may connect to whom, as a pure function."""

import pytest

from contract.inventory import MachineRole
from deploy.firewall import Rule, rules

ALL: frozenset[MachineRole] = frozenset({"standalone", "manager", "data", "proxy", "orchestrator", "gatekeeper"})


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_the_world_reaches_the_gatekeepers_web_ports_and_nothing_else(engine: str) -> None:
    world = {(rule.to, rule.port) for rule in rules(engine, ALL) if rule.source == "world"}
    assert world == {("gatekeeper", 80), ("gatekeeper", 443)}


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_the_operator_reaches_ssh_of_every_machine_and_nothing_else(engine: str) -> None:
    operator = {(rule.to, rule.port) for rule in rules(engine, ALL) if rule.source == "operator"}
    assert operator == {(role, 22) for role in ALL}


def test_with_a_jump_host_the_operator_reaches_the_gatekeeper_only() -> None:
    found = rules("ndb", ALL, jump_host=True)
    assert [rule for rule in found if rule.source == "operator"] == [Rule("gatekeeper", 22, "operator")]
    assert Rule("data", 22, "gatekeeper") in found


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_a_gatekeeper_reaches_orchestrators_and_proxies_at_one_port_each_and_no_node(engine: str) -> None:
    assert [rule for rule in rules(engine, ALL) if rule.source == "gatekeeper"] == [
        Rule("orchestrator", 8444, "gatekeeper"),
        Rule("proxy", 8443, "gatekeeper"),
    ]


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_an_orchestrator_reaches_proxies_at_one_port_and_nothing_else(engine: str) -> None:
    found = [rule for rule in rules(engine, ALL) if rule.source == "orchestrator"]
    assert found == [Rule("proxy", 8443, "orchestrator")]


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_nobody_reaches_sql_over_the_network(engine: str) -> None:
    assert 3306 not in {rule.port for rule in rules(engine, ALL)}


def test_nodes_reach_each_other_at_their_engines_ports_and_the_stand_alone_server_at_none() -> None:
    nodes = {rule for rule in rules("ndb", ALL) if rule.source in {"manager", "data"}}
    assert nodes == {Rule("manager", 1186, "data"), Rule("data", 11860, "manager"), Rule("data", 11860, "data")}
    assert {rule.source for rule in rules("galera", ALL) if rule.to == "standalone"} == {"operator", "proxy"}


def test_a_role_without_machines_has_no_rules() -> None:
    without = ALL - {"standalone"}
    assert {rule.to for rule in rules("ndb", without)} == without


def test_an_engine_whose_traffic_is_not_known_is_refused() -> None:
    with pytest.raises(KeyError):
        rules("oracle", ALL)
