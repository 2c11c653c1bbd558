"""One MariaDB server: what a cluster is compared with."""

from collections.abc import Mapping, Sequence

import msgspec

from contract.inventory import MachineRole
from deploy.engines import mariadb
from deploy.engines.interface import Health, Position, Server


class Standalone(msgspec.Struct, frozen=True):
    """The engine `standalone`."""

    name: str = "standalone"
    packages: tuple[str, ...] = ("mariadb-server", "openssh-client", "openssh-server")
    layout: tuple[tuple[str, MachineRole], ...] = (("standalone", "standalone"),)
    status_statement: str = "SHOW GLOBAL STATUS LIKE 'Uptime'"
    regroup_statement: str | None = None
    state_file: str | None = None
    leave_out: tuple[str, ...] = ()

    def configuration(self, server: Server, peers: Sequence[Server], group: str) -> str:  # noqa: ARG002 (interface)
        """The text of the server's option file; it has no peers."""
        return mariadb.option_file(server)

    def start_arguments(self, *, first: bool, position: Position | None) -> tuple[str, ...]:  # noqa: ARG002 (interface)
        """None: it starts the same way always."""
        return ()

    def health(self, status: Mapping[str, str]) -> Health:
        """A server that answers is ready."""
        answers = "Uptime" in status
        return Health(ready=answers, state="Running" if answers else "Unknown", size=1)

    def recovery_arguments(self) -> tuple[str, ...]:
        """None: the server recovers by itself."""
        return ()

    def recovered_position(self, printed: str) -> Position | None:  # noqa: ARG002 (interface)
        """None: there is no one to compare positions with."""
        return None

    def may_start_cluster(self, state: str) -> str:
        """Unchanged: it always may."""
        return state
