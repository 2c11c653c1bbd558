"""NDB's nodes by their numbers, and what the cluster itself tells of them, asked on the manager's machine."""

import re
from collections.abc import Iterable
from typing import Final

from deploy.engines import ndb
from deploy.host import Host
from deploy.roles import ndb_tls, ndb_units, tarball
from deploy.roles.engine import wait_for
from deploy.site import Site, on_each

START_TIMEOUT_S: Final = 600
_MANAGEMENT_TIMEOUT_S: Final = 60
# A data node asks for a management server that is back every few seconds.
_SEEN_WITHIN_S: Final = 20
# How a node that has not been told of a group is listed.
_NO_GROUP: Final = re.compile(r"^id=(\d+)\s.*no nodegroup", re.MULTILINE)


def node(host: Host) -> ndb.Node:
    """The machine's; a data node's number is that of its name, so that it stays when others come and go."""
    number = re.search(r"\d+\Z", host.name)
    return ndb.Node(int(number[0]) if host.machine.role == "data" and number else 0, host.machine.private_ip_address)


def nodes(site: Site) -> list[ndb.Node]:
    """All of the cluster's, the manager's first."""
    return [node(host) for host in site.nodes]


def management(site: Site, command: str, *, timeout_s: float = 120.0) -> str:
    """What the management client prints for the command. Raises HostError."""
    return site.of("manager")[0].sudo(_commanding(site, command), timeout_s=timeout_s)


def wait_for_management(site: Site) -> None:
    """Until the management server answers. Raises HostError."""
    asking = f"{_asking(site, 'SHOW')} >/dev/null"
    what = "the management server's answer"
    manager = site.of("manager")[0]
    wait_for(manager, asking, timeout_s=_MANAGEMENT_TIMEOUT_S, what=what, unit=ndb_units.MANAGEMENT)


def is_answering(site: Site) -> bool:
    """Whether the management server answers now."""
    return bool(site.of("manager")[0].look(f"if {_asking(site, 'SHOW')} >/dev/null; then echo y; fi"))


def wait_for_data_node(site: Site, host: Host) -> None:
    """Until the management server tells that the data node has started. Raises HostError."""
    number = node(host).number
    asking = f"{_asking(site, f'{number} STATUS')} | grep -q 'Node {number}: started'"
    what = f"data node {number} ({host.name}) started"
    wait_for(site.of("manager")[0], asking, timeout_s=START_TIMEOUT_S, what=what, unit=ndb_units.MANAGEMENT)


def is_seen(site: Site, host: Host) -> bool:
    """Whether the management server sees the data node, for which it has some seconds: it may have just started."""
    number = node(host).number
    asking = f"{_asking(site, f'{number} STATUS')} | grep -q 'Node {number}: st'"
    looking = f"for _ in $(seq {_SEEN_WITHIN_S // 2}); do if {asking}; then echo y; break; fi; sleep 2; done"
    return bool(site.of("manager")[0].look(looking, timeout_s=_SEEN_WITHIN_S + 30))


def sees(host: Host, asking: str, running: int) -> bool:
    """Whether the SQL node sees so many data nodes that are ready; `asking` gives its counts of them."""
    seen = f"[ \"$({asking} | awk '/ready/ {{print $2}}')\" -ge {running} ]"
    looking = f"for _ in $(seq {_SEEN_WITHIN_S // 2}); do if {seen} 2>/dev/null; then echo y; break; fi; sleep 2; done"
    return bool(host.look(looking, timeout_s=_SEEN_WITHIN_S + 60))


def unknown(site: Site) -> list[Host]:
    """The data nodes that one of those that run has not been told of, since it started before config.ini had them."""
    running = on_each(site.of("data"), lambda host: host.look(f"systemctl is-active {ndb_units.DATA_NODE} || true"))
    told = [_known_by(site, host) for host in site.of("data") if running[host.name].strip() == "active"]
    known = set.intersection(*(numbers for numbers in told if numbers)) if any(told) else None
    return [host for host in site.of("data") if known is not None and node(host).number not in known]


def without_group(site: Site) -> list[int]:
    """The numbers of the data nodes that run and have no node group, so that they hold no data."""
    shown = site.of("manager")[0].look(_commanding(site, "SHOW"))
    return sorted(map(int, _NO_GROUP.findall(shown)))


def _known_by(site: Site, host: Host) -> set[int]:
    """The data nodes in the configuration that a data node runs with; none when it does not answer."""
    told = site.of("manager")[0].look(
        f"if told=$(timeout 20 {tarball.PROGRAMS}/ndb_config {_connection(site)}"
        f' --config-from-node={node(host).number} --type=ndbd --query=nodeid); then echo "$told"; fi'
    )
    return _numbers(told.split())


def _numbers(words: Iterable[str]) -> set[int]:
    return {int(word) for word in words if word.isdigit()}


def _commanding(site: Site, command: str) -> str:
    return f"{tarball.PROGRAMS}/ndb_mgm {_connection(site)} -e '{command}' </dev/null"


def _asking(site: Site, command: str) -> str:
    """A question that may be asked again and again."""
    return f"timeout 20 {tarball.PROGRAMS}/ndb_mgm {_connection(site)} -e '{command}' 2>/dev/null"


def _connection(site: Site) -> str:
    return (
        f"--no-defaults --ndb-connectstring={ndb.connect_string(nodes(site))}"
        f" --ndb-tls-search-path={ndb_tls.DIRECTORY} --ndb-mgm-tls=strict"
    )
