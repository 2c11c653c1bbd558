"""The queue as those who work it off see it: claim, renew, end, put back, remove.

A claim is a compare-and-set under a token of its own, and a lease by the servers' clock, so that orchestrators need not
agree on the time. Whatever a holder writes names its token: one whose lease another has taken over changes nothing.
"""

import secrets
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from contract.errors import Problem, UpstreamFailed
from contract.later import State
from orchestrator.statements import Statements
from orchestrator.store import NOW, REQUESTS, RESULTS, ending, marks

_REQUEST_ID: Final = "queue"
_WITHIN_S: Final = 5.0
# An end that can't be written is done again by whoever takes the lease over; until then it is worth some patience.
_END_WITHIN_S: Final = 30.0
# A longer body is read by itself: an answer of a proxy has its bound.
_SHORT_BODY: Final = 8_192
# Of a problem's detail, in characters: with the names of parameters that do not fit it may be longer than its column.
_MOST_DETAIL: Final = 2_000
# A statement may go on for as long as its time limit after its lease has ended; clocks may differ by minutes.
_MARGIN_S: Final = 3_600
_AT_ONCE: Final = 100
# Of a claim that is still ours; `r` as `ending` has it.
_OURS: Final = "r.id = ? AND r.claim = ? AND r.state = 'running'"


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """A request that this orchestrator is to run; `attempts` counts this one. A long `body` is None."""

    id: str
    owner: str
    claim: str
    attempts: int
    max_attempts: int
    body: str | None


class Claims:
    """The queue's work. Each method raises GatekeeperError."""

    def __init__(self, statements: Statements, lease_ms: int, ledger_keeps_s: int) -> None:
        self._statements = statements
        self._lease_ms = lease_ms
        self._forgotten_ms = f"{NOW} - {(ledger_keeps_s - _MARGIN_S) * 1000}"
        self._forgotten = f"(attempts > 0 AND lease_ms < {self._forgotten_ms})"

    def take(self, most: int, crowding: Collection[str] = ()) -> list[Claim]:
        """Up to so many requests that are due, or whose holder has vanished, now under a lease of ours.

        Of those that are due, the ones of the owners who are `crowding` the others out come last.
        """
        first = self._due(most, crowding) if crowding else []
        return self._lease([*self._vanished(most), *first, *self._due(most)], most)

    def take_one(self, but: Collection[str]) -> list[Claim]:
        """One that is due of another owner than these, if there is one."""
        return self._lease(self._due(1, but), 1)

    def _lease(self, found: Sequence[list[Any]], most: int) -> list[Claim]:
        ids = list(dict.fromkeys(id_ for (id_,) in found))[:most]
        if not ids:
            return []
        token = secrets.token_hex(16)
        self._ask(
            f"UPDATE {REQUESTS} SET state = 'running', claim = ?, lease_ms = {NOW} + ?, started_ms = {NOW},"
            f" attempts = attempts + 1 WHERE id IN ({marks(ids)})"
            f" AND (state = 'queued' OR (state = 'running' AND lease_ms < {NOW})) AND NOT {self._forgotten}",
            (token, self._lease_ms, *ids),
        )
        taken = self._ask(
            f"SELECT id, owner, claim, attempts, max_attempts, IF(LENGTH(body) > {_SHORT_BODY}, NULL, body)"
            f" FROM {REQUESTS} WHERE id IN ({marks(ids)}) AND claim = ? AND state = 'running'",
            (*ids, token),
        )
        return msgspec.convert(taken, list[Claim])

    def body(self, claim: Claim) -> str:
        """The body of a claimed request."""
        if claim.body is not None:
            return claim.body
        text: str = self._ask(f"SELECT body FROM {REQUESTS} WHERE id = ?", (claim.id,))[0][0]
        return text

    def renew(self, claims: Collection[Claim]) -> None:
        """Makes the leases last, as far as they are still ours."""
        ids, tokens = [claim.id for claim in claims], sorted({claim.claim for claim in claims})
        self._ask(
            f"UPDATE {REQUESTS} SET lease_ms = {NOW} + ? WHERE id IN ({marks(ids)})"
            f" AND claim IN ({marks(tokens)}) AND state = 'running'",
            (self._lease_ms, *ids, *tokens),
        )

    def done(self, claim: Claim, answer: bytes, pages: Sequence[bytes]) -> None:
        """Ends the request with its result: the other pages first, then the mark with the first one."""
        for number, page in enumerate(pages, 1):
            self._end(
                f"INSERT INTO {RESULTS} (id, claim, page, body) VALUES (?, ?, ?, ?)"
                " ON DUPLICATE KEY UPDATE page = page",
                (claim.id, claim.claim, number, page.decode()),
            )
        self._end(
            ending("r.state = 'done', r.answer = ?, r.problem = NULL", _OURS),
            (answer.decode(), claim.id, claim.claim),
        )

    def ended(self, claim: Claim, state: State, problem: Problem) -> None:
        """Ends the request without a result."""
        self._end(
            ending("r.state = ?, r.problem = ?", _OURS),
            (state, _text(problem), claim.id, claim.claim),
        )

    def put_back(self, claim: Claim, problem: Problem | None, pause_ms: int, *, counts: bool) -> None:
        """Gives the request back to the queue, to be begun after the pause; `counts`: as an attempt."""
        self._end(
            f"UPDATE {REQUESTS} SET state = 'queued', due_ms = {NOW} + ?, problem = ?, attempts = attempts - ?"
            " WHERE id = ? AND claim = ? AND state = 'running'",
            (pause_ms, _text(problem) if problem else None, int(not counts), claim.id, claim.claim),
        )

    def bury(self) -> None:
        """Ends what was begun so long ago that the ledger may have forgotten it: run again, it could do it twice."""
        problem = UpstreamFailed("it was begun, and no orchestrator could end it in time", outcome="unknown")
        sql = f"SELECT id FROM {REQUESTS} WHERE state IN ('queued', 'running') AND {self._forgotten} LIMIT {_AT_ONCE}"
        if ids := [id_ for (id_,) in self._ask(sql)]:
            self._ask(
                ending(
                    "r.state = 'dead', r.problem = ?",
                    f"r.id IN ({marks(ids)}) AND r.state IN ('queued', 'running') AND r.attempts > 0"
                    f" AND r.lease_ms < {self._forgotten_ms}",
                ),
                (_text(problem.problem(_REQUEST_ID)), *ids),
            )

    def _vanished(self, most: int) -> list[list[Any]]:
        return self._ask(
            f"SELECT id FROM {REQUESTS} WHERE state = 'running' AND lease_ms < {NOW} AND NOT {self._forgotten}"
            f" LIMIT {most}"
        )

    def _due(self, most: int, but: Collection[str] = ()) -> list[list[Any]]:
        others = f" AND owner NOT IN ({marks(but)})" if but else ""
        return self._ask(
            f"SELECT id FROM {REQUESTS} WHERE state = 'queued' AND due_ms <= {NOW} AND NOT {self._forgotten}{others}"
            f" ORDER BY turn, due_ms LIMIT {most}",
            list(but),
        )

    def _ask(self, sql: str, params: Sequence[Any] = ()) -> list[list[Any]]:
        return self._statements.ask(sql, params, request_id=_REQUEST_ID, within_s=_WITHIN_S).rows

    def _end(self, sql: str, params: Sequence[Any]) -> None:
        self._statements.ask(sql, params, request_id=_REQUEST_ID, within_s=_END_WITHIN_S)


def _text(problem: Problem) -> str:
    return msgspec.json.encode(msgspec.structs.replace(problem, detail=problem.detail[:_MOST_DETAIL])).decode()
