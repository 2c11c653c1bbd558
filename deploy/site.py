"""One cluster as a task works on it: what it shall be, its machines, the connections to them, and the operator's files.

Files lie in the cluster's directory on the operator's machine (0700): keys, certificates, passwords, the inventory.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from contract.inventory import SQL_ROLES, Machine
from deploy.cluster import Cluster
from deploy.host import Host
from deploy.providers.interface import Say

Result = TypeVar("Result")

# A machine is mostly waited for; more at once would only make the operator's machine slow.
_MOST_AT_ONCE = 16


class Site(msgspec.Struct, frozen=True):
    """A cluster and the connections to its machines, by name in the order of the inventory.

    `root`: the project's directory; `cache`: what may be kept between clusters.
    """

    name: str
    cluster: Cluster
    root: Path
    directory: Path
    cache: Path
    hosts: Mapping[str, Host]
    say: Say

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines, in order."""
        return tuple(host.machine for host in self.hosts.values())

    def of(self, *roles: str) -> list[Host]:
        """The hosts of these roles, in order."""
        return [host for host in self.hosts.values() if host.machine.role in roles]

    @property
    def nodes(self) -> list[Host]:
        """The cluster's own nodes, the manager first."""
        return sorted(self.of("manager", "data"), key=lambda host: host.machine.role != "manager")

    @property
    def servers(self) -> list[Host]:
        """Every machine with an SQL server, the stand-alone one too."""
        return self.of(*SQL_ROLES)

    def report(self, host: Host, step: str, changed: Iterable[str] | bool) -> bool:
        """Says what a step did on a host: what it changed, or "unchanged". Returns whether it changed anything."""
        what = changed if isinstance(changed, bool) else ", ".join(changed)
        self.say(host.name, f"{step}: {'changed' if what is True else what or 'unchanged'}")
        return bool(what)


def on_each(hosts: Iterable[Host], work: Callable[[Host], Result]) -> dict[str, Result]:
    """Does the work on all hosts at once; what each gave, by name.

    One that fails stops no other; when all have ended, the first failure in the hosts' order is raised.
    """
    listed = list(hosts)
    with ThreadPoolExecutor(max_workers=_MOST_AT_ONCE, thread_name_prefix="host") as threads:
        futures = {host.name: threads.submit(work, host) for host in listed}
    return {name: future.result() for name, future in futures.items()}


def printing() -> Say:
    """Prints `[host] text`, whole lines also from several threads."""
    turn = threading.Lock()

    def say(host: str, text: str) -> None:
        with turn:
            print(f"[{host}] {text}", flush=True)  # noqa: T201 this is what tasks print with

    return say
