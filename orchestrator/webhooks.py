"""The webhooks in the queue: who asked for one is told that his request has ended, once or more, whoever dies when.

    waiting --the request ends--> due --sent, 2xx--> sent
                                  |  ^
                                  |  `-- anything else, again after a pause
                                  `----- tried as often as may be, or refused for good --> failed

It is put there with its request, in one transaction, and due by the statement that ends the request (`ending` in
orchestrator/store.py). A due one is claimed by compare-and-set: `due_ms` is then the end of the lease, after which
another orchestrator sends it.
"""

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from contract.later import State
from orchestrator.statements import Statements
from orchestrator.store import NOW, REQUESTS, WEBHOOKS, marks

_REQUEST_ID: Final = "webhooks"
_WITHIN_S: Final = 5.0
# How many are looked at for one that is taken: of an owner who has his share no more are.
_LOOKED_AT: Final = 8
_SHARE: Final = 4
_LONGEST_PAUSE_MS: Final = 3_600_000


class Due(msgspec.Struct, frozen=True, array_like=True):
    """A webhook that this orchestrator is to send, and what it tells; `attempts` counts this one."""

    id: str
    owner: str
    url: str
    claim: str
    attempts: int
    state: State
    ended_ms: int


class Webhooks:
    """Those that are due. `lease_ms`: how long a claim keeps others away. Each method raises GatekeeperError."""

    def __init__(self, statements: Statements, lease_ms: int) -> None:
        self._statements = statements
        self._lease_ms = lease_ms

    def take(self, slots: int, busy: Mapping[str, int]) -> list[Due]:
        """Some that are due, now under a lease of ours. `busy`: how many of the slots each owner has."""
        ids = chosen(self._found(slots, [owner for owner, had in busy.items() if had >= share(slots)]), slots, busy)
        if not ids:
            return []
        token = secrets.token_hex(16)
        self._ask(
            f"UPDATE {WEBHOOKS} SET claim = ?, due_ms = {NOW} + ?, attempts = attempts + 1"
            f" WHERE id IN ({marks(ids)}) AND state = 'due' AND due_ms <= {NOW}",
            (token, self._lease_ms, *ids),
        )
        taken = self._ask(
            f"SELECT w.id, w.owner, w.url, w.claim, w.attempts, r.state, r.ended_ms FROM {WEBHOOKS} AS w"
            f" JOIN {REQUESTS} AS r ON r.id = w.id WHERE w.id IN ({marks(ids)}) AND w.claim = ? AND w.state = 'due'",
            (*ids, token),
        )
        return msgspec.convert(taken, list[Due])

    def sent(self, due: Due) -> None:
        """It was delivered. Where it went is not kept: an address may hold a secret."""
        self._end(due, "sent", None)

    def failed(self, due: Due, problem: str) -> None:
        """It is given up."""
        self._end(due, "failed", problem)

    def put_back(self, due: Due, problem: str, pause_ms: int) -> None:
        """It is tried again after the pause."""
        self._ask(
            f"UPDATE {WEBHOOKS} SET due_ms = {NOW} + ?, problem = ? WHERE id = ? AND claim = ? AND state = 'due'",
            (pause_ms, problem, due.id, due.claim),
        )

    def _found(self, slots: int, full: Collection[str]) -> list[tuple[str, str]]:
        others = f" AND owner NOT IN ({marks(full)})" if full else ""
        sql = (
            f"SELECT id, owner FROM {WEBHOOKS} WHERE state = 'due' AND due_ms <= {NOW}{others}"
            f" ORDER BY due_ms LIMIT {slots * _LOOKED_AT}"
        )
        return [(id_, owner) for id_, owner in self._ask(sql, list(full))]

    def _end(self, due: Due, state: str, problem: str | None) -> None:
        self._ask(
            f"UPDATE {WEBHOOKS} SET state = ?, problem = ?, url = '' WHERE id = ? AND claim = ? AND state = 'due'",
            (state, problem, due.id, due.claim),
        )

    def _ask(self, sql: str, params: Sequence[Any] = ()) -> list[list[Any]]:
        return self._statements.ask(sql, params, request_id=_REQUEST_ID, within_s=_WITHIN_S).rows


class _Ended(msgspec.Struct, frozen=True):
    """A webhook's body: that a request has ended, when and how. Its result is the owner's to fetch."""

    id: str
    state: State
    ended_at: datetime


def body_of(due: Due) -> bytes:
    """What the receiver is told, the same each time; nothing of the statement or its result."""
    return msgspec.json.encode(_Ended(due.id, due.state, datetime.fromtimestamp(due.ended_ms / 1000, UTC)))


def share(slots: int) -> int:
    """How many of the slots one owner may have, so that a slow receiver does not hold up those of others."""
    return max(1, slots // _SHARE)


def chosen(found: Iterable[tuple[str, str]], slots: int, busy: Mapping[str, int]) -> list[str]:
    """The ids of those that are to be sent now, of what was found (ids and owners), in its order."""
    has, ids = Counter(busy), list[str]()
    for id_, owner in found:
        if has.total() < slots and has[owner] < share(slots):
            has[owner] += 1
            ids.append(id_)
    return ids


def pause_ms(attempts: int, first_ms: int, chance: float) -> int:
    """How long to wait after so many attempts: four times as long each time, up to an hour.

    `chance`, from 0 to 1, spreads the pauses.
    """
    longest = min(_LONGEST_PAUSE_MS, first_ms * 4 ** min(attempts - 1, 20))
    return int(longest * (0.5 + chance / 2))


def secret_for(owner: str, shared: bytes) -> bytes:
    """An owner's secret, made of the one that all orchestrators share: there is none to keep, or to lose."""
    return hmac.digest(shared, b"webhook " + owner.encode(), hashlib.sha256)
