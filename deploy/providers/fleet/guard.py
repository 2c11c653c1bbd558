"""A machine's security group: nftables in its network namespace, set from outside. See nft(8).

The text is what `nft list` prints, to the letter: whether the rules are those wanted is seen by comparing the two.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from contract.inventory import MachineRole
from deploy.firewall import Rule
from deploy.providers.fleet import commands

_TABLE: Final = "inet gatekeeper_fleet"
_PARTITION: Final = "inet gatekeeper_partition"


def table(rules: Iterable[Rule], role: MachineRole, operator: str, addresses: Mapping[str, tuple[str, ...]]) -> str:
    """The table for a machine of that role. `addresses`: those of the cluster's machines, by role."""
    known = {**addresses, "operator": (operator,)}
    lines = [
        "type filter hook input priority filter; policy drop;",
        "ct state established,related accept",
        'iif "lo" accept',
        f"ip saddr {operator} icmp type echo-request accept",
    ]
    for rule in sorted(rule for rule in rules if rule.to == role):
        if rule.source == "world":
            lines.append(f"tcp dport {rule.port} accept")
        lines += [f"ip saddr {address} tcp dport {rule.port} accept" for address in known.get(rule.source, ())]
    chain = "".join(f"\t\t{line}\n" for line in lines)
    return f"table {_TABLE} {{\n\tchain input {{\n{chain}\t}}\n}}\n"


def listed(namespace: str) -> str:
    """The table as the kernel has it; empty when there is none."""
    return _nft(namespace, "list", "table", *_TABLE.split()) if _has(namespace, _TABLE) else ""


def apply(namespace: str, text: str) -> None:
    """Put the table in the place of the one that is there, in one step."""
    _put(namespace, _TABLE, text)


def part(namespace: str, others: Iterable[str]) -> None:
    """Drop every packet from and to these addresses."""
    chains = "".join(
        f"chain {hook} {{ type filter hook {hook} priority -200; "
        + " ".join(f"ip {side} {address} drop;" for address in others)
        + " }\n"
        for hook, side in (("input", "saddr"), ("output", "daddr"))
    )
    _put(namespace, _PARTITION, f"table {_PARTITION} {{\n{chains}}}\n")


def join(namespace: str) -> None:
    """Take back every `part`."""
    if _has(namespace, _PARTITION):
        _nft(namespace, "delete", "table", *_PARTITION.split())


def _put(namespace: str, name: str, text: str) -> None:
    # The first line makes sure that there is something to delete; the file is carried out whole or not at all.
    _nft(namespace, "-f", "-", given=f"table {name} {{}}\ndelete table {name}\n{text}")


def _has(namespace: str, name: str) -> bool:
    return f"table {name}" in _nft(namespace, "list", "tables").splitlines()


def _nft(namespace: str, *words: str, given: str = "") -> str:
    return commands.run(["ip", "netns", "exec", namespace, "nft", *words], given=given)
