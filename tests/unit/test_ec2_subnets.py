"""Where machines are put, computed: zones in turn or all in one."""

import pytest

from contract.inventory import MachineRole
from deploy.providers.ec2 import subnets
from deploy.providers.ec2.subnets import Ground, Subnet
from deploy.providers.interface import ProviderError, Wanted

A, B, C = (Subnet(zone, f"subnet-{zone}", "vpc") for zone in "abc")
ALL = {"r6i.large": frozenset("abc"), "t3.small": frozenset("abc")}


def machines(data: int = 3) -> list[Wanted]:
    roles: list[tuple[str, MachineRole]] = [("standalone", "standalone"), ("manager", "manager")]
    roles += [(f"data{number}", "data") for number in range(1, data + 1)]
    roles += [("proxy1", "proxy"), ("proxy2", "proxy"), ("gatekeeper", "gatekeeper")]
    return [Wanted(name, role) for name, role in roles]


def zones(found: dict[str, Subnet], *names: str) -> str:
    return "".join(found[name].zone for name in names)


def place(wanted: list[Wanted], ground: Ground, *, spread: bool, home: str | None = None) -> dict[str, Subnet]:
    return dict(subnets.place(wanted, ground, ALL, home=home, spread=spread))


def test_data_nodes_take_the_zones_in_turn() -> None:
    found = place(machines(4), Ground((A, B, C)), spread=True)
    assert zones(found, "data1", "data2", "data3", "data4") == "abca"


@pytest.mark.parametrize(("data", "manager"), [(2, "c"), (3, "a"), (4, "b")])
def test_the_manager_takes_the_zone_after_the_last_data_nodes(data: int, manager: str) -> None:
    """With two data nodes in three zones none of them shares the arbitrator's."""
    assert zones(place(machines(data), Ground((A, B, C)), spread=True), "manager") == manager


def test_proxies_are_spread_too() -> None:
    assert zones(place(machines(), Ground((A, B, C)), spread=True), "proxy1", "proxy2", "gatekeeper") == "aba"


def test_without_spread_all_are_in_the_first_zone_that_offers_all_types() -> None:
    offered = {"r6i.large": frozenset("bc"), "t3.small": frozenset("abc")}
    found = subnets.place(machines(), Ground((A, B, C)), offered, home=None, spread=False)
    assert {subnet.zone for subnet in found.values()} == {"b"}


def test_without_spread_a_cluster_stays_in_its_zone() -> None:
    assert {each.zone for each in place(machines(), Ground((A, B, C)), spread=False, home="c").values()} == {"c"}


def test_where_no_zone_offers_all_types_each_machine_is_where_it_can_be() -> None:
    offered = {"r6i.large": frozenset("b"), "t3.small": frozenset("a")}
    found = dict(subnets.place(machines(), Ground((A, B)), offered, home=None, spread=False))
    assert zones(found, "data1", "proxy1") == "ba"


def test_a_type_that_no_zone_offers_is_named_with_the_machine_and_the_zones() -> None:
    offered = {"r6i.large": frozenset("x"), "t3.small": frozenset("ab")}
    with pytest.raises(ProviderError, match=r"standalone: the instance type r6i\.large is not offered in a, b"):
        subnets.place(machines(), Ground((A, B)), offered, home=None, spread=False)


def test_with_private_subnets_gatekeepers_alone_are_in_public_ones() -> None:
    private = Subnet("a", "subnet-private", "vpc")
    ground = Ground((A,), (private,))
    found = place(machines(), ground, spread=False)
    assert {name for name, subnet in found.items() if subnet == A} == {"gatekeeper"}
    assert ground.is_public("gatekeeper")
    assert not ground.is_public("proxy")


def test_two_subnets_of_a_zone_count_once_when_machines_are_spread() -> None:
    second = Subnet("a", "subnet-second", "vpc")
    found = place(machines(2), Ground((A, second, B)), spread=True)
    assert zones(found, "data1", "data2") == "ab"
