"""Counts what became of the statements that an ORM sends through the gateway, by a connection that listens."""

from collections.abc import Callable, Mapping
from typing import Any

from client import dbapi
from client.gateway import Client
from client.result import Result
from client.values import Params
from contract.errors import Forbidden, StatementUnparsable


class Tally:
    """The statements of one ORM: all, those that the gatekeeper refused and why, those that the database refused."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self.troubles = 0
        self.texts: set[str] = set()
        self.refused: dict[str, str] = {}
        self.failed: list[str] = []
        self.broken: list[str] = []

    @property
    def share(self) -> float:
        """The part of the different texts that the gatekeeper accepted, 0 to 1."""
        return 1 - len(self.refused) / len(self.texts)

    def note(self, operation: str, error: dbapi.Error | None) -> None:
        self.sent += 1
        self.texts.add(operation)
        if error is None:
            return
        self.troubles += 1
        if isinstance(error.__cause__, Forbidden | StatementUnparsable):
            self.refused[operation] = f"{error.rule or 'unparsable'}: {error.args[-1]}: {operation}"
        elif error.mysql_errno is None:  # neither of them refused it: no ORM is to blame
            self.broken.append(f"{error!r}: {operation}")
        else:
            self.failed.append(f"{error!r}: {operation}")

    def run(self, shapes: Mapping[str, Callable[[], object]], errors: tuple[type[Exception], ...]) -> None:
        """Run every shape; the database's and the gatekeeper's refusals are noted, whatever else goes wrong too."""
        for name, shape in shapes.items():
            before = self.troubles
            try:
                shape()
            except errors as error:
                if self.troubles == before:
                    self.broken.append(f"{name}: {error!r}")

    def report(self) -> str:
        head = f"{self.name}: {self.sent} statements, {len(self.texts)} texts, {len(self.refused)} refused"
        return "\n  ".join([f"{head} ({self.share:.2%} accepted)", *self.refused.values(), *self.failed, *self.broken])


class ListeningConnection(dbapi.Connection):
    """A connection of the DB-API that tells a tally what became of each statement."""

    def __init__(self, tally: Tally, client: Client, **members: Any) -> None:
        super().__init__(client, **members)
        self._tally = tally

    def run(self, operation: str, params: Params | None) -> Result:
        try:
            result = super().run(operation, params)
        except dbapi.Error as error:
            self._tally.note(operation, error)
            raise
        self._tally.note(operation, None)
        return result
