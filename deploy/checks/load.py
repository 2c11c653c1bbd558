"""Reads and writes through nginx at a steady pace while something happens, and what became of each.

Writes have no key. Each is a row of a table that allows the same row twice, so that one that ran twice is seen.
"""

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

from client import Client
from contract.errors import GatekeeperError, Outcome
from contract.implementations import IMPLEMENTATIONS
from deploy.checks.failed import CheckFailed
from deploy.roles.engine import MachineEngine
from deploy.sample import rental
from deploy.site import Site, on_each

PER_SECOND: Final = 50
_COLUMNS: Final = "id BIGINT AUTO_INCREMENT PRIMARY KEY, number INT NOT NULL"
MAKE_TABLE: Final = (
    f"DROP TABLE IF EXISTS {rental.SCHEMA}.rehearsed; CREATE TABLE {rental.SCHEMA}.rehearsed ({_COLUMNS})"
)
DROP_TABLE: Final = f"DROP TABLE {rental.SCHEMA}.rehearsed"
_READ_BACK: Final = f"SELECT number FROM {rental.SCHEMA}.rehearsed"  # noqa: S608 - our own name
# So that a node answers with all that the others have committed; NDB's have no state of their own.
IN_STEP: Final[Mapping[str, str]] = {"galera": "SET SESSION wsrep_sync_wait = 15; ", "ndb": ""}
_WRITE: Final = "INSERT INTO rehearsed (number) VALUES (?)"
# By key, by a scan of a range, by a join: each meets a node's end in its own way. Each answers the number asked for.
_READS: Final = (
    "SELECT film_id FROM film WHERE film_id = ?",
    "SELECT COUNT(*) FROM film WHERE film_id BETWEEN 1 AND ?",
    "SELECT film_id FROM film JOIN language USING (language_id) WHERE film_id = ?",
)
_FILMS: Final = 500
_SENDERS: Final = 10
_END_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.05


def kept(engine: MachineEngine, site: Site) -> dict[str, list[int]]:
    """The rows that each node sees, by its name, after all that any has committed. Raises HostError."""
    query = IN_STEP[site.cluster.engine] + _READ_BACK
    return on_each(site.nodes, lambda host: sorted(map(int, engine.sql(host, query).split())))


class Sent(msgspec.Struct, frozen=True):
    """A request that has ended. `number`: its own; `began_s`: since the load began; `attempts`: the proxy's.

    `error`: what it was answered instead of its rows, with what is known of its `outcome`.
    """

    kind: Literal["read", "write"]
    number: int
    began_s: float
    seconds: float
    attempts: int = 0
    error: str = ""
    outcome: Outcome | None = None


class Load:
    """The load, for as long as the block lasts; requests that are under way at its end are waited for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(sender,)) for sender in range(_SENDERS)]
        self._began = time.monotonic()
        self.sent: list[Sent] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_END_TIMEOUT_S)

    def answer(self, more: int) -> None:
        """Returns when so many more requests have ended. Raises CheckFailed when that takes too long."""
        goal, end = len(self.sent) + more, time.monotonic() + _END_TIMEOUT_S
        while len(self.sent) < goal:
            if time.monotonic() > end:
                raise CheckFailed(f"{more} requests did not end within {_END_TIMEOUT_S:g} s")
            time.sleep(_POLL_S)

    def _run(self, sender: int) -> None:
        interval_s = _SENDERS / PER_SECOND
        due = time.monotonic() + sender / PER_SECOND
        number = sender
        # One that is so late that it can't keep the pace goes on from now.
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + interval_s, time.monotonic() - 1.0)
            self.sent.append(self._send(number))
            number += _SENDERS

    def _send(self, number: int) -> Sent:
        """Every second request is a write."""
        began = time.monotonic()
        answered = self._write(number) if number % 2 else self._read(number)
        return msgspec.structs.replace(answered, began_s=began - self._began, seconds=time.monotonic() - began)

    def _write(self, number: int) -> Sent:
        return self._ask(Sent("write", number, 0, 0), _WRITE, number, None)

    def _read(self, number: int) -> Sent:
        turn, kind = divmod(number // _SENDERS, len(_READS))
        implementation = tuple(IMPLEMENTATIONS)[turn % len(IMPLEMENTATIONS)]
        return self._ask(Sent("read", number, 0, 0), _READS[kind], number % _FILMS + 1, implementation)

    def _ask(self, sent: Sent, query: str, param: int, implementation: str | None) -> Sent:
        try:
            answer = self._client.query(query, (param,), implementation=implementation, database=rental.SCHEMA)
        except GatekeeperError as error:
            return msgspec.structs.replace(sent, error=f"{error.code}: {error.detail}", outcome=error.outcome)
        wrong = sent.kind == "read" and answer.rows != ((param,),)
        told = f"the rows {answer.rows} instead of {param}" if wrong else ""
        return msgspec.structs.replace(sent, attempts=answer.attempts, error=told)
