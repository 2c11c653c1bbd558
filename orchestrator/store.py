"""The queue as its callers see it: accept, look, list, cancel. Each statement may be run twice.

The tables are deploy/engines/own_schema.py's.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from contract.errors import Conflict, DatabaseRefused, GatekeeperError, NotFound, Problem
from contract.later import MAX_PRIORITY, QueueRequest, RequestStatus, State, WebhookState, WebhookStatus
from contract.messages import Statement
from orchestrator.pages import Kept
from orchestrator.statements import Statements, hidden

REQUESTS: Final = "gatekeeper.requests"
RESULTS: Final = "gatekeeper.results"
WEBHOOKS: Final = "gatekeeper.webhooks"
NOW: Final = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"

# What a caller waits for an answer about the queue.
_WITHIN_S: Final = 10.0
# 1062; and 1022, which NDB may say (proxy/ledger.py).
_DUPLICATE_KEY: Final = frozenset({1022, 1062})
_STATUS: Final = (
    "r.id, r.state, r.turn, r.attempts, r.max_attempts, r.accepted_ms, r.due_ms, r.started_ms, r.ended_ms, r.claim,"
    " r.answer, r.problem, w.state, w.attempts, w.problem"
)
_SHORT: Final = _STATUS.replace("r.answer", "NULL")
_BOTH: Final = f"{REQUESTS} AS r LEFT JOIN {WEBHOOKS} AS w ON w.id = r.id"

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
    webhook_state: WebhookState | None = None
    webhook_attempts: int | None = None
    webhook_problem: str | None = None

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
            webhook=self._webhook(),
        )

    def _webhook(self) -> WebhookStatus | None:
        if self.webhook_state is None:
            return None
        return WebhookStatus(self.webhook_state, self.webhook_attempts or 0, self.webhook_problem)


class Store:
    """The queue. Each method raises GatekeeperError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, message: QueueRequest, request_id: str) -> State:
        """Puts the request into the queue; its state, which is another than `queued` when it was there already.

        Its webhook is put there with it, or neither. Raises Conflict where another one is there under its id.
        """
        try:
            self._statements.ask_all(_added(message), request_id=request_id, within_s=_WITHIN_S)
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
        sql = f"SELECT {_STATUS} FROM {_BOTH} WHERE r.id = ? AND r.owner = ?"
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
        where, params = "r.owner = ?", [owner]  # type: tuple[str, list[Any]]
        if state is not None:
            where, params = f"{where} AND r.state = ?", [*params, state]
        if before is not None:
            accepted_ms, id_ = before
            where = f"{where} AND r.accepted_ms <= ? AND (r.accepted_ms < ? OR r.id < ?)"
            params = [*params, accepted_ms, accepted_ms, id_]
        sql = f"SELECT {_SHORT} FROM {_BOTH} WHERE {where} ORDER BY r.accepted_ms DESC, r.id DESC LIMIT {limit}"
        return msgspec.convert(self._shown(lambda: self._ask(sql, params, request_id)), list[Row])

    def cancel(self, id_: str, owner: str, request_id: str) -> Row:
        """Takes a queued request out of the queue; one that is cancelled stays so. Raises NotFound, Conflict."""
        sql = ending("r.state = 'cancelled'", "r.id = ? AND r.owner = ? AND r.state = 'queued'")
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


def ending(sets: str, where: str) -> str:
    """The statement that ends requests, after which nobody runs them: so what was asked for is not kept.

    With the same stroke their webhooks are due, so that no end is forgotten whoever dies. `r` is the requests' table.
    """
    return (
        f"UPDATE {_BOTH} SET {sets}, r.ended_ms = {NOW}, r.body = '', w.state = 'due', w.due_ms = {NOW} WHERE {where}"
    )


def _added(message: QueueRequest) -> list[Statement]:
    """What puts the request into the queue, with its webhook."""
    known = (message.id, message.owner, message.fingerprint, MAX_PRIORITY - message.priority, message.max_attempts)
    request = Statement(
        f"INSERT INTO {REQUESTS} (id, owner, fingerprint, state, turn, attempts, max_attempts,"
        f" accepted_ms, due_ms, claim, lease_ms, body)"
        f" VALUES (?, ?, ?, 'queued', ?, 0, ?, {NOW}, GREATEST({NOW}, ?), '', 0, ?)",
        [*known, message.run_at_ms or 0, msgspec.json.encode(message.request).decode()],
    )
    if message.webhook is None:
        return [request]
    webhook = Statement(
        f"INSERT INTO {WEBHOOKS} (id, owner, url, state, attempts, due_ms, claim)"
        " VALUES (?, ?, ?, 'waiting', 0, 0, '')",
        [message.id, message.owner, message.webhook],
    )
    return [request, webhook]


def marks(values: Collection[Any]) -> str:
    """A placeholder for each value, for IN."""
    return ", ".join("?" * len(values))


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
