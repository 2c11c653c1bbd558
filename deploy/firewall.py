"""Who may open a connection to which port of which machine: pure, the same for every provider.

What no rule names is closed. The rules are about who connects; answers, and what machines ask for outside (packages),
are open.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from contract.inventory import SQL_ROLES, MachineRole

Source = Literal["world", "operator"] | MachineRole

SSH_PORT: Final = 22
PROXY_PORT: Final = 8443
ORCHESTRATOR_PORT: Final = 8444
HTTP_PORT: Final = 80
HTTPS_PORT: Final = 443


class Rule(msgspec.Struct, frozen=True, order=True):
    """TCP to `port` of the machines of the role `to`, from the machines of the role `source`.

    `operator` is the address that the operator works from; `world` is everybody.
    """

    to: MachineRole
    port: int
    source: Source


_ASKS_PROXIES: Final[tuple[MachineRole, ...]] = ("gatekeeper", "orchestrator")
# Between the engines' nodes: (role that is connected to, role that connects, TCP ports).
_NODE_TRAFFIC: Final[Mapping[str, tuple[tuple[MachineRole, MachineRole, tuple[int, ...]], ...]]] = {
    # Group, incremental transfer, full transfer:
    # https://galeracluster.com/library/documentation/firewall-settings.html
    "galera": (
        ("manager", "data", (4567, 4568, 4444)),
        ("data", "manager", (4567, 4568, 4444)),
        ("data", "data", (4567, 4568, 4444)),
    ),
    # Every node connects to the management server's port and to the data nodes' ServerPort (config.ini gives both):
    # https://dev.mysql.com/doc/mysql-cluster-excerpt/8.4/en/mysql-cluster-security-networking-issues.html
    "ndb": (
        ("manager", "data", (1186,)),
        ("data", "manager", (11860,)),
        ("data", "data", (11860,)),
    ),
}


def rules(engine: str, roles: frozenset[MachineRole], *, jump_host: bool = False) -> tuple[Rule, ...]:
    """The rules for a cluster of that engine whose machines have these roles, sorted.

    `jump_host`: the operator reaches the gatekeeper's SSH alone, and the others' from there. Raises KeyError for an
    engine whose traffic is not known.
    """
    found = {Rule("gatekeeper", port, "world") for port in (HTTP_PORT, HTTPS_PORT)}
    found |= {
        Rule(role, SSH_PORT, "operator" if not jump_host or role == "gatekeeper" else "gatekeeper") for role in roles
    }
    found |= {Rule(role, SSH_PORT, "proxy") for role in roles & SQL_ROLES}
    found |= {Rule("proxy", PROXY_PORT, source) for source in _ASKS_PROXIES}
    found.add(Rule("orchestrator", ORCHESTRATOR_PORT, "gatekeeper"))
    found |= {Rule(to, port, source) for to, source, ports in _NODE_TRAFFIC[engine] for port in ports}
    return tuple(sorted(rule for rule in found if {rule.to, rule.source} <= roles | {"world", "operator"}))
