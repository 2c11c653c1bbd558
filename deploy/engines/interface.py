"""What an engine is: the values it works on, and the questions it answers.

All of it is text and values. The provider or the task that uses an engine does what touches machines.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from contract.inventory import MachineRole

OPTION_FILE = "my.cnf"


class Server(msgspec.Struct, frozen=True):
    """One SQL server as its configuration needs it. `directory` is on the server's own machine; all ports are TCP.

    `group_port`, `transfer_port` and `snapshot_port` are for the traffic between the engine's nodes: the group, the
    incremental and the full state transfer.
    """

    name: str
    role: MachineRole
    address: str
    directory: str
    mysql_port: int = 3306
    group_port: int = 4567
    transfer_port: int = 4568
    snapshot_port: int = 4444

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that the server may listen on."""
        return self.mysql_port, self.group_port, self.transfer_port, self.snapshot_port

    @property
    def configuration_file(self) -> str:
        """Where the server's options stand."""
        return f"{self.directory}/{OPTION_FILE}"

    @property
    def data(self) -> str:
        """The data directory."""
        return f"{self.directory}/data"

    @property
    def socket(self) -> str:
        """The Unix socket, through which the administrator connects."""
        return f"{self.directory}/sql.sock"

    @property
    def error_log(self) -> str:
        """Where the server writes its messages."""
        return f"{self.directory}/error.log"


class Health(msgspec.Struct, frozen=True):
    """How a server sees itself: may it be used, the engine's own word for its state, how many nodes it sees."""

    ready: bool
    state: str
    size: int


class Position(msgspec.Struct, frozen=True):
    """How far a stopped server's data got: a transaction's number within a history."""

    history: str
    number: int


class Engine(Protocol):
    """What deploy needs to know of an engine."""

    @property
    def name(self) -> str:
        """The name that it registers by."""

    @property
    def packages(self) -> tuple[str, ...]:
        """The Debian packages that a node needs."""

    @property
    def layout(self) -> tuple[tuple[str, MachineRole], ...]:
        """The names and roles of a local cluster's nodes; the first is the one that starts the cluster."""

    @property
    def status_statement(self) -> str:
        """A statement that gives rows of a name and a value, of which `health` makes sense."""

    @property
    def regroup_statement(self) -> str | None:
        """Run on a live server when no majority is left and the others are known to be dead; None: not needed."""

    @property
    def state_file(self) -> str | None:
        """The file in the data directory in which the engine notes who may start the cluster; None: there is none."""

    @property
    def leave_out(self) -> tuple[str, ...]:
        """Files of the data directory that belong to one server's life, and are left out of a copy."""

    def configuration(self, server: Server, peers: Sequence[Server], group: str) -> str:
        """The text of the server's option file. `peers`: all servers of the cluster; `group`: the cluster's name."""

    def start_arguments(self, *, first: bool, position: Position | None) -> tuple[str, ...]:
        """The arguments besides the option file. `first`: nobody else runs, so this one starts the cluster."""

    def health(self, status: Mapping[str, str]) -> Health:
        """How the server is, from what the status statement gave."""

    def recovery_arguments(self) -> tuple[str, ...]:
        """The arguments that make a stopped server print its position and end; none: positions don't matter."""

    def recovered_position(self, printed: str) -> Position | None:
        """The position in what a recovery printed; None when the data can't be continued from."""

    def may_start_cluster(self, state: str) -> str:
        """The text of the state file, changed so that its server may start the cluster."""


def most_advanced(positions: Mapping[str, Position | None]) -> str:
    """The name of the stopped server to start a cluster from: the one that got furthest, the first among equals.

    Raises ValueError when the servers' histories differ: then either choice would lose transactions.
    """
    histories = {position.history for position in positions.values() if position}
    if len(histories) > 1:
        raise ValueError("the nodes have different histories; keep one, remove the others' data, and start again")
    return max(positions, key=lambda name: position.number if (position := positions[name]) else -1)
