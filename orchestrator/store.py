"""The queue as its callers see it: accept, look, list, cancel. Each statement may be run twice.

The tables are deploy/engines/own_schema.py's.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from contract.errors import Conflict, DatabaseRefused, GatekeeperError, NotFound, Problem
from contract.later import MAX_PRIORITY, QueueRequest, RequestStatus, State
from orchestrator.pages import Kept
from orchestrator.statements import Statements, hidden

REQUESTS: Final = "gatekeeper.requests"
RESULTS: Final = "gatekeeper.results"
NOW: Final = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"

# What a caller waits for an answer about the queue.
_WITHIN_S: Final = 10.0
# 1062; and 1022, which NDB may say (proxy/ledger.py).
_DUPLICATE_KEY: Final = frozenset({1022, 1062})
_STATUS: Final = (
    "id, state, turn, attempts, max_attempts, accepted_ms, due_ms, started_ms, ended_ms, claim, answer, problem"
)
_SHORT: Final = _STATUS.replace("answer", "NULL")

Value = TypeVar("Value")


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A request as the table has it: the columns of `_STATUS`."""

    id: str
    state: State
    turn: int
    attempts: int
    max_attempts: int
    accepted_ms: int
    due_ms: int
    started_ms: int | None
    ended_ms: int | None
    claim: str
    answer: str | None
    problem: str | None

    @property
    def kept(self) -> Kept | None:
        """The result with its first page, if there is one."""
        return msgspec.json.decode(self.answer, type=Kept) if self.answer is not None else None

    def status(self) -> RequestStatus:
        """The request as its owner sees it."""
        kept = self.kept
        return RequestStatus(
            id=self.id,
            state=self.state,
            priority=MAX_PRIORITY - self.turn,
            attempts=self.attempts,
            max_attempts=self.max_attempts,
            accepted_at=_time(self.accepted_ms),
            run_at=_time(self.due_ms),
            started_at=_time(self.started_ms) if self.started_ms is not None else None,
            ended_at=_time(self.ended_ms) if self.ended_ms is not None else None,
            result=kept.result if kept else None,
            problem=msgspec.json.decode(self.problem, type=Problem) if self.problem is not None else None,
        )


class Store:
    """The queue. Each method raises GatekeeperError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, message: QueueRequest, request_id: str) -> State:
        """Puts the request into the queue; its state, which is another than `queued` when it was there already.

        Raises Conflict where another one is there under its id.
        """
        body = msgspec.json.encode(message.request).decode()
        known = (message.id, message.owner, message.fingerprint, MAX_PRIORITY - message.priority)
        due = f"GREATEST({NOW}, ?)"
        try:
            self._ask(
                f"INSERT INTO {REQUESTS} (id, owner, fingerprint, state, turn, attempts, max_attempts,"
                f" accepted_ms, due_ms, claim, lease_ms, body)"
                f" VALUES (?, ?, ?, 'queued', ?, 0, ?, {NOW}, {due}, '', 0, ?)",
                (*known, message.max_attempts, message.run_at_ms or 0, body),
                request_id,
            )
        except DatabaseRefused as error:
            if error.mysql_errno not in _DUPLICATE_KEY:
                raise hidden(error) from None
            return self._known(message, request_id)
        return "queued"

    def _known(self, message: QueueRequest, request_id: str) -> State:
        sql = f"SELECT state, fingerprint FROM {REQUESTS} WHERE id = ? AND owner = ?"
        rows = self._shown(lambda: self._ask(sql, (message.id, message.owner), request_id))
        if not rows or rows[0][1] != message.fingerprint:
            raise Conflict("the Idempotency-Key was used before with another request", rule="idempotency_key")
        state: State = rows[0][0]
        return state

    def one(self, id_: str, owner: str, request_id: str) -> Row:
        """The owner's request. Raises NotFound."""
        sql = f"SELECT {_STATUS} FROM {REQUESTS} WHERE id = ? AND owner = ?"
        rows = self._shown(lambda: self._ask(sql, (id_, owner), request_id))
        if not rows:
            raise NotFound("there is no such request, or it ended long ago and was removed")
        return msgspec.convert(rows[0], Row)

    def page(self, row: Row, number: int, request_id: str) -> list[Any]:
        """The rows of a page of the request's result, from the second page on. Raises NotFound."""
        sql = f"SELECT body FROM {RESULTS} WHERE id = ? AND claim = ? AND page = ?"
        rows = self._shown(lambda: self._ask(sql, (row.id, row.claim, number), request_id))
        if not rows:
            raise NotFound("the result has no such page")
        page: list[Any] = msgspec.json.decode(rows[0][0])
        return page

    def listed(
        self, owner: str, state: State | None, before: tuple[int, str] | None, limit: int, request_id: str
    ) -> list[Row]:
        """The owner's requests, the latest first, after the one that was accepted `before` (its time and id)."""
        where, params = "owner = ?", [owner]  # type: tuple[str, list[Any]]
        if state is not None:
            where, params = f"{where} AND state = ?", [*params, state]
        if before is not None:
            accepted_ms, id_ = before
            where = f"{where} AND accepted_ms <= ? AND (accepted_ms < ? OR id < ?)"
            params = [*params, accepted_ms, accepted_ms, id_]
        sql = f"SELECT {_SHORT} FROM {REQUESTS} WHERE {where} ORDER BY accepted_ms DESC, id DESC LIMIT {limit}"
        return msgspec.convert(self._shown(lambda: self._ask(sql, params, request_id)), list[Row])

    def cancel(self, id_: str, owner: str, request_id: str) -> Row:
        """Takes a queued request out of the queue; one that is cancelled stays so. Raises NotFound, Conflict."""
        sql = (
            f"UPDATE {REQUESTS} SET state = 'cancelled', ended_ms = {NOW}, body = ''"
            " WHERE id = ? AND owner = ? AND state = 'queued'"
        )
        self._shown(lambda: self._ask(sql, (id_, owner), request_id))
        row = self.one(id_, owner, request_id)
        if row.state != "cancelled":
            raise Conflict(f"a request that is {row.state} can't be cancelled", rule="state")
        return row

    def check(self, request_id: str, within_s: float) -> None:
        """Asks the queue for nothing, to see that it answers."""
        sql = f"SELECT id FROM {REQUESTS} WHERE id = ''"
        self._shown(lambda: self._statements.ask(sql, request_id=request_id, within_s=within_s).rows)

    def counts(self, request_id: str) -> dict[str, dict[State, int]]:
        """How many requests have not ended, by owner and state."""
        waiting = f"SELECT owner, state FROM {REQUESTS} WHERE state IN ('queued', 'running')"
        sql = f"SELECT owner, state, COUNT(*) FROM ({waiting}) AS waiting GROUP BY owner, state"
        found: dict[str, dict[State, int]] = {}
        for owner, state, count in self._shown(lambda: self._ask(sql, (), request_id)):
            found.setdefault(owner, {})[state] = count
        return found

    def _ask(self, sql: str, params: Sequence[Any], request_id: str) -> list[list[Any]]:
        return self._statements.ask(sql, params, request_id=request_id, within_s=_WITHIN_S).rows

    @staticmethod
    def _shown(ask: Callable[[], Value]) -> Value:
        try:
            return ask()
        except GatekeeperError as error:
            raise hidden(error) from None


def marks(values: Collection[Any]) -> str:
    """A placeholder for each value, for IN."""
    return ", ".join("?" * len(values))


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
