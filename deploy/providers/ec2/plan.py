"""What differs between a cluster on EC2 and the order: pure. `launch` carries out what `plan` tells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from deploy.providers.ec2 import keypair, rules, sizes
from deploy.providers.ec2.groups import Group
from deploy.providers.ec2.instances import Box
from deploy.providers.ec2.rules import Allowed, Present
from deploy.providers.interface import Order, ProviderError, Wanted

Kind = Literal["key", "group", "revoke", "allow", "launch", "regroup", "metadata", "start"]


class Facts(msgspec.Struct, frozen=True):
    """How things are. `key`: the key pair's public key; `volumes`: the GiB of each instance's volume, by its id."""

    key: str | None
    groups: Sequence[Group]
    boxes: Sequence[Box]
    volumes: Mapping[str, int]

    @property
    def boxes_by_name(self) -> Mapping[str, Box]:
        """The machines that exist."""
        return {box.name: box for box in self.boxes if box.is_there}


class Step(msgspec.Struct, frozen=True):
    """One change. `name`: the machine's, or that of what is shared; `text`: what is done to it; the rest: by kind."""

    kind: Kind
    name: str
    text: str
    role: str = ""
    wanted: Wanted | None = None
    allowed: Allowed | None = None
    present: Present | None = None
    group: str = ""


def steps(order: Order, operator: str, facts: Facts) -> tuple[Step, ...]:
    """The changes, in their order: the rules come before the machines that they guard.

    Raises ProviderError for what can't be changed on a machine that is there.
    """
    _check(order, facts)
    return (*_key(order, facts), *_guards(order, operator, facts), *_machines(order, facts))


def _key(order: Order, facts: Facts) -> Iterator[Step]:
    if facts.key is None:
        yield Step("key", "key pair", "import the operator's key")
    elif not keypair.is_same(facts.key, order.operator_key):
        yield Step("key", "key pair", "replace it by the operator's key; machines that are there keep the old one")


def _guards(order: Order, operator: str, facts: Facts) -> Iterator[Step]:
    """All groups first, because rules name groups; then what opens is closed before anything is opened."""
    wanted = rules.wanted(order.rules, operator)
    named = {rule.to for rule in order.rules} | {machine.role for machine in order.machines}
    there = {group.role: group for group in facts.groups}
    sources = {str(rule.source) for rule in order.rules} - {"world", "operator"}
    for role in sorted((named | sources) - there.keys()):
        yield Step("group", f"{role}'s group", "make it", role=role)
    for role in sorted(named & there.keys()):
        differing = rules.difference(wanted.get(role, frozenset()), there[role].rules)
        for each in differing.foreign:
            yield Step("revoke", f"{role}'s group", f"revoke {each.text}", role, present=each, group=there[role].id)
    for role in sorted(named):
        present = there[role].rules if role in there else ()
        for allowed in rules.difference(wanted.get(role, frozenset()), present).missing:
            yield Step("allow", f"{role}'s group", f"allow {allowed.text}", role, allowed=allowed)


def _machines(order: Order, facts: Facts) -> Iterator[Step]:
    groups = {group.role: group.id for group in facts.groups}
    for wanted in order.machines:
        box = facts.boxes_by_name.get(wanted.name)
        if box is None:
            text = f"launch it as {wanted.role}, {sizes.of(wanted)} with {wanted.volume_gib} GiB"
            yield Step("launch", wanted.name, text, wanted.role, wanted=wanted)
        else:
            yield from _changes(box, groups.get(wanted.role))


def _changes(box: Box, group: str | None) -> Iterator[Step]:
    if box.guarded_by != {group}:
        yield Step("regroup", box.name, f"put it into {box.role}'s group alone", box.role)
    if not box.needs_token:
        yield Step("metadata", box.name, "require IMDSv2")
    if box.state in {"stopped", "stopping"}:
        yield Step("start", box.name, "start it")


def _check(order: Order, facts: Facts) -> None:
    boxes = facts.boxes_by_name
    mistakes = [
        mistake
        for wanted in order.machines
        if wanted.name in boxes
        for mistake in _mistakes(wanted, boxes[wanted.name], facts.volumes.get(boxes[wanted.name].id))
    ]
    if mistakes:
        raise ProviderError("; ".join(mistakes) + "; change the description, or remove the machine first")


def _mistakes(wanted: Wanted, box: Box, gib: int | None) -> Iterator[str]:
    """A default type may change from one version to the next: machines that were made without a type may have any."""
    if box.role != wanted.role:
        yield f"{box.name} is there as {box.role}, and can't become {wanted.role}"
    if wanted.size and box.size != wanted.size:
        yield f"{box.name} is there as {box.size}, and can't become {wanted.size}"
    if gib is not None and gib != wanted.volume_gib:
        yield f"{box.name} is there with {gib} GiB, and can't have {wanted.volume_gib}"
