"""The rules of a cluster's security groups, one group for each role, and how a group differs from them: pure."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from deploy.firewall import Rule

# Where the gatekeeper has an IPv6 address, the world is there too.
WORLD: Final = ("0.0.0.0/0", "::/0")


class Allowed(msgspec.Struct, frozen=True, order=True):
    """TCP to a port. `source`: a network in CIDR form, or the role whose machines may connect."""

    port: int
    source: str

    @property
    def text(self) -> str:
        """As it is told to the operator."""
        return f"TCP {self.port} from {self.source}"


class Present(msgspec.Struct, frozen=True):
    """A rule as it is in a group. `source`: as Allowed's, or another group's or prefix list's id. -1: every port."""

    id: str
    protocol: str
    first: int
    last: int
    source: str

    @property
    def allowed(self) -> Allowed | None:
        """The rule, if one of this provider could be so."""
        return Allowed(self.first, self.source) if self.protocol == "tcp" and self.first == self.last else None

    @property
    def text(self) -> str:
        """As it is told to the operator."""
        protocol = "all traffic" if self.protocol == "-1" else self.protocol.upper()
        ports = "" if self.first == -1 else f" {self.first}" + (f" to {self.last}" if self.last != self.first else "")
        return f"{protocol}{ports} from {self.source}"


class Difference(msgspec.Struct, frozen=True):
    """What has to be added to a group and what taken away."""

    missing: tuple[Allowed, ...]
    foreign: tuple[Present, ...]


def wanted(rules: Iterable[Rule], operator: str) -> Mapping[str, frozenset[Allowed]]:
    """What may reach the machines of each role that rules name. `operator`: the operator's addresses, in CIDR form."""
    found: dict[str, set[Allowed]] = {}
    for rule in rules:
        sources = _sources(rule.source, str(ipaddress.ip_network(operator)))
        found.setdefault(rule.to, set()).update(Allowed(rule.port, source) for source in sources)
    return {role: frozenset(allowed) for role, allowed in found.items()}


def difference(allowed: frozenset[Allowed], present: Iterable[Present]) -> Difference:
    """What differs between a group's rules as they should be and as they are."""
    there = tuple(present)
    missing = allowed - {each.allowed for each in there}
    return Difference(tuple(sorted(missing)), tuple(each for each in there if each.allowed not in allowed))


def _sources(source: str, operator: str) -> tuple[str, ...]:
    return {"world": WORLD, "operator": (operator,)}.get(source, (source,))
