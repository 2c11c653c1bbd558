"""The check of ports (deploy/checks/ports.py) on real machines: it is content with the rules, and finds a hole."""

import re
from collections.abc import Iterator

import pytest

from contract.inventory import MachineRole
from deploy.checks import ports
from deploy.checks.failed import CheckFailed
from deploy.cluster import checked
from deploy.deployment import ROOT
from deploy.providers.fleet import guard
from deploy.providers.fleet.outside import outside
from deploy.site import Site
from tests.fleet.hosts import Machines, machines

SQL = 3306
ROLES: dict[str, MachineRole] = {"manager": "manager", "data1": "data", "gate": "gatekeeper"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Three machines, two of which have a server that listens for SQL on loopback."""
    with machines(tmp_path_factory.mktemp("ports"), ROLES) as site:
        for name in ("manager", "data1"):
            site.cluster.listen(name, SQL, address="127.0.0.1")
        yield site


@pytest.fixture
def site(made: Machines) -> Iterator[Site]:
    directory = made.access.known_hosts.parent
    hosts = {name: made.host(name) for name in ROLES}
    cluster = checked({"provider": "fleet", "engine": "galera"})
    yield Site("ports", cluster, ROOT, directory, directory, hosts, lambda *_: None)
    for host in hosts.values():
        host.close()


def checked_ports(made: Machines, site: Site) -> None:
    with outside() as stranger:
        ports.check(site, made.cluster.order.rules, stranger, lambda *_: None)


def test_what_the_rules_allow_is_reached_and_nothing_else(made: Machines, site: Site) -> None:
    checked_ports(made, site)


def test_a_machine_without_its_firewall_is_found_from_everywhere(made: Machines, site: Site) -> None:
    box = made.cluster.fleet.boxes(["data1"])[0]
    guard.apply(box.namespace, guard.listed(box.namespace).replace("policy drop", "policy accept"))
    try:
        with pytest.raises(CheckFailed) as failure:
            checked_ports(made, site)
    finally:
        made.cluster.launch()
    for place in ("a stranger", "the operator", "manager", "gate"):
        assert re.search(rf"{place} reaches data1 1 2 3 .* and \d{{4}} more", str(failure.value))


def test_sql_that_is_listened_for_on_a_network_is_found_behind_the_firewall(made: Machines, site: Site) -> None:
    made.cluster.run("data1", f"systemctl stop listen-{SQL}")
    made.cluster.listen("data1", SQL)
    with pytest.raises(CheckFailed, match=r"^data1 listens for SQL on \['00000000'\], not on loopback"):
        checked_ports(made, site)
