"""What differs between a cluster's machines and those wanted: pure. `launch` carries out what `plan` tells."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from deploy.providers.fleet import cgroups, guard
from deploy.providers.fleet.network import Network
from deploy.providers.fleet.state import Record, State
from deploy.providers.interface import Order

Kind = Literal["image", "network", "guard", "resize", "make", "start"]


class Known(msgspec.Struct, frozen=True):
    """How a machine is. `guarded_as`: the rules in force; `size`: as the machine's tags have it."""

    runs: bool
    guarded_as: str
    size: str


class Facts(msgspec.Struct, frozen=True):
    """How things are. `machines`: those that have been made, by name."""

    has_image: bool
    has_network: bool
    machines: Mapping[str, Known]


class Step(msgspec.Struct, frozen=True):
    """One change. `name`: the machine's, or that of what all share; `text`: what is done to it."""

    kind: Kind
    name: str
    text: str


def steps(order: Order, state: State, network: Network | None, facts: Facts) -> tuple[Step, ...]:
    """The changes, in their order. `state`: with the order's machines; `network`: the cluster's, if it has one.

    The rules come before new machines: an address may have been another machine's.
    """
    wanted = [record for record in state.machines if record.name in {machine.name for machine in order.machines}]
    known = [(record, facts.machines[record.name]) for record in wanted if record.name in facts.machines]
    new = [record for record in wanted if record.name not in facts.machines]
    found: list[Step] = []
    if new and not facts.has_image:
        found.append(Step("image", "image", "make it, which takes minutes"))
    if wanted and not facts.has_network:
        found.append(Step("network", "network", "make it"))
    for record, machine in known:
        found += _changes(record, machine, _is_guarded(order, state, record, machine, network))
    found += [Step("make", record.name, f"make it as {record.role} with {_size(record.size)}") for record in new]
    return tuple(found)


def rules_of(order: Order, state: State, record: Record, network: Network) -> str:
    """The text of the rules for that machine."""
    addresses: dict[str, tuple[str, ...]] = {}
    for machine in sorted(state.machines, key=lambda each: each.host):
        addresses[machine.role] = (*addresses.get(machine.role, ()), network.address(machine.host))
    return guard.table(order.rules, record.role, network.operator, addresses)


def _is_guarded(order: Order, state: State, record: Record, machine: Known, network: Network | None) -> bool:
    return network is not None and machine.guarded_as == rules_of(order, state, record, network)


def _changes(record: Record, machine: Known, guarded: bool) -> Iterator[Step]:
    if not guarded:
        yield Step("guard", record.name, "set its firewall rules")
    if machine.size != record.size:
        yield Step("resize", record.name, f"give it {_size(record.size)}")
    if not machine.runs:
        yield Step("start", record.name, "start it")


def _size(text: str) -> str:
    return str(cgroups.parse_size(text))
