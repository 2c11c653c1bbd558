"""Transactions whose statements come one by one: held open between requests, bounded in number and time.

    begun ──> open ──> committed           the row of its end says so (proxy/ending.py)
                └────> rolled back         asked for; a statement failed; too long idle or open; the proxy drains

A statement that fails ends the transaction, whatever the engine would keep of it: NDB keeps nothing after a duplicate
key, InnoDB all that came before. One that is refused before it is sent leaves it open.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import msgspec
import structlog

from contract.errors import BadRequest, Conflict, Forbidden, GatekeeperError, NotFound, Unavailable
from contract.implementations import CUSTOMIZED_HIT
from contract.messages import DEFAULT_TIMEOUT_MS, ProxyRequest
from contract.transactions import ProxyBegin, State, begun_at
from proxy import ending, openings
from proxy.connection import Rows
from proxy.ending import Ending
from proxy.failures import ConnectionLost, NotSent, TemporaryFailure
from proxy.ledger import DUPLICATE_KEY, Undecided
from proxy.placeholders import bind
from proxy.router import Lease, Router, Way
from proxy.settings import Settings
from proxy.transaction import before_commit, changed

log = structlog.get_logger()

_COMMITTED = "it was committed"
_LOOK_AGAIN_S = 0.2
_MOST_ENDED = 1024
# The clocks of two hosts may differ by so much.
_CLOCKS_S = 600

Result = TypeVar("Result")


class Open:
    """A transaction that is held. While it is `busy`, a request has it; `over` says why there will be no other."""

    def __init__(self, message: ProxyBegin, settings: Settings) -> None:
        self.id, self.owner, self.mode = message.id, message.owner, message.mode
        self.implementation = message.implementation
        self.timeout_ms = min(message.timeout_ms or settings.transaction_ms, settings.transaction_ms)
        self.idle_ms = min(message.idle_timeout_ms or settings.transaction_idle_ms, settings.transaction_idle_ms)
        self.ends_at = time.monotonic() + self.timeout_ms / 1000
        self.idle_since = time.monotonic()
        self.changed_rows = 0
        self.busy = True
        self.over: str | None = None
        self.lease: Lease | None = None

    def late(self) -> str | None:
        """Why its time is over, if it is."""
        now = time.monotonic()
        if now >= self.ends_at:
            return f"it was open for {self.timeout_ms} ms"
        if now >= self.idle_since + self.idle_ms / 1000:
            return f"it was idle for {self.idle_ms} ms"
        return None


class Ended(msgspec.Struct, frozen=True):
    """How one ended, whether it had ended before, and the token of the node that shows it (proxy/node.py)."""

    state: State
    before: bool
    token: str | None


class Transactions:
    """The transactions that this proxy holds. What they are asked for raises GatekeeperError."""

    def __init__(self, router: Router, settings: Settings) -> None:
        self._router = router
        self._settings = settings
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Open] = {}  # by owner and id
        self._ended: OrderedDict[tuple[str, str], Open] = OrderedDict()
        self._closing = False
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="transactions", daemon=True)

    def start(self) -> None:
        """Begins to look after those whose time is over."""
        self._watcher.start()

    def close(self) -> None:
        """Takes no more, and rolls back what is open: at once, or when its statement has ended."""
        self._closing = True

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, message: ProxyBegin) -> tuple[Open, str]:
        """Takes a connection for it: the transaction, and on which node."""
        found = self._reserved(message)
        found.over = "it could not be begun"
        try:
            with self._router.admitted():
                wait_ms = min(found.timeout_ms, DEFAULT_TIMEOUT_MS)
                way = Way(message.mode, message.implementation, wait_ms, seeing=message.consistency_token)
                _, found.lease = self._router.reach(way, lambda lease: ending.hold(lease.connection))
            found.over, node = None, found.lease.node.name
        finally:
            self._give_back(found)
        return found, node

    def run(
        self, id_: str, owner: str, request: ProxyRequest, max_bytes: int, grow: Callable[[int], None]
    ) -> tuple[Open, Rows, str]:
        """Runs a statement in it: the transaction, what the statement gave, and on which node."""
        openings.check(request.query or "", request.effect)
        sql = bind(request.query or "", request.params)
        with self._taken(id_, owner) as found, self._router.admitted():
            if request.effect == "write" and found.mode == "read":
                raise BadRequest("the transaction is read only", rule="read_only_transaction")
            left_ms = max(1, min(request.timeout_ms, int((found.ends_at - time.monotonic()) * 1000)))

            def statement(lease: Lease) -> Rows:
                with before_commit():
                    lease.connection.use(request.database, left_ms)
                    return lease.connection.query(sql, request.max_rows, max_bytes, to_the_end=True, grow=grow)

            node = _held(found).node.name
            rows = self._worked(found, statement)
            found.changed_rows += changed(sql, rows)
            if request.max_affected_rows is not None and found.changed_rows > request.max_affected_rows:
                found.over = "it changed too many rows"
                raise Forbidden(
                    f"the transaction changes more than {request.max_affected_rows} rows; it was rolled back",
                    rule="max_affected_rows",
                    outcome="rolled_back",
                )
            return found, rows, node

    def commit(self, id_: str, owner: str, timeout_ms: int) -> Ended:
        """How it ended: asked for again, the answer is the same."""
        row = ending.ending_of(owner, id_, self._settings.idempotency_keep_s)
        found = self._take(id_, owner)
        if found is None:
            ended = self._ended.get((owner, id_))
            if ended and ended.mode == "read" and ended.over == _COMMITTED:  # which leaves no row
                return Ended("committed", before=True, token=None)
            return self._settled(id_, row, timeout_ms, before=True)
        token = _held(found).node.token
        try:
            self._commit(found, row)
        except GatekeeperError as error:
            if error.outcome != "unknown":
                raise
            log.info("commit_unknown", transaction=id_, code=error.code)
            return self._settled(id_, row, timeout_ms, before=False)
        finally:
            self._give_back(found)
        return Ended("committed", before=False, token=token)

    def rollback(self, id_: str, owner: str, timeout_ms: int) -> State:
        """How it ended: rolled back, unless it had been committed before."""
        found = self._take(id_, owner)
        if found is None:
            row = ending.ending_of(owner, id_, self._settings.idempotency_keep_s)
            return self._settled(id_, row, timeout_ms, before=True).state
        try:
            with suppress(GatekeeperError):  # a connection that is lost rolls back, too
                self._worked(found, lambda lease: lease.connection.query("ROLLBACK", 1, 1))
            found.over = "it was rolled back"
        finally:
            self._give_back(found)
        return "rolled_back"

    def _commit(self, found: Open, row: Ending) -> None:
        try:
            if found.mode == "read":
                self._worked(found, lambda lease: lease.connection.query("COMMIT", 1, 1))
            else:
                self._worked(found, lambda lease: ending.commit(lease.connection, row))
        except GatekeeperError as error:
            if error.mysql_errno in DUPLICATE_KEY:
                raise Conflict(
                    "the transaction was rolled back", rule="transaction_ended", outcome="rolled_back"
                ) from None
            raise
        found.over = _COMMITTED

    def _settled(self, id_: str, row: Ending, timeout_ms: int, *, before: bool) -> Ended:
        """How a transaction ended that is not here: with this proxy's last word, or another's."""
        age_s = time.time() - begun_at(id_)
        if not -_CLOCKS_S < age_s < self._settings.idempotency_keep_s / 2:
            raise NotFound("there is no such transaction, or it ended too long ago to be known", outcome="unknown")
        way = Way("write", CUSTOMIZED_HIT, timeout_ms, keyed=True)
        try:
            with self._router.admitted():
                state, lease = self._router.reach(way, lambda lease: ending.settle(lease.connection, row))
        except GatekeeperError as error:
            error.outcome, error.retryable = "unknown", True
            raise
        lease.release()
        return Ended(state, before, lease.node.token)

    def _worked(self, found: Open, work: Callable[[Lease], Result]) -> Result:
        """Does something with its connection; what fails ends it."""
        lease, found.lease = _held(found), None
        reason = found.over = "a statement failed"
        try:
            result = self._router.work_on(lease, work)
        except (NotSent, TemporaryFailure, ConnectionLost, Undecided) as failure:
            error: GatekeeperError = failure.final(found.mode)
        except GatekeeperError as refusal:
            error = refusal
        else:
            found.lease, found.over = lease, None
            return result
        if error.outcome == "not_executed":
            error.outcome = "rolled_back"
        error.retryable, error.retry_after_s = False, None
        log.info("transaction_failed", transaction=found.id, reason=reason, code=error.code, errno=error.mysql_errno)
        raise error

    def _reserved(self, message: ProxyBegin) -> Open:
        found, name = Open(message, self._settings), (message.owner, message.id)
        with self._lock:
            if self._closing:
                raise Unavailable("the proxy is about to end", rule="draining")
            if name in self._open or name in self._ended:
                raise Conflict("there is such a transaction", rule="transaction_id")
            if len(self._open) >= self._settings.max_transactions:
                raise Unavailable("too many transactions are open", rule="max_transactions")
            if sum(owner == message.owner for owner, _ in self._open) >= message.most_open:
                detail = f"{message.most_open} transactions of this key are open already"
                raise Unavailable(detail, rule="role_max_transactions")
            self._open[name] = found
        return found

    @contextmanager
    def _taken(self, id_: str, owner: str) -> Iterator[Open]:
        found = self._take(id_, owner)
        if found is None:
            ended = self._ended.get((owner, id_))
            if ended is None:
                raise NotFound("there is no such transaction, or it has ended", rule="transaction_ended")
            raise Conflict(f"the transaction has ended: {ended.over}", rule="transaction_ended")
        try:
            yield found
        finally:
            self._give_back(found)

    def _take(self, id_: str, owner: str) -> Open | None:
        """The transaction, for one request alone; None where there is none."""
        with self._lock:
            found = self._open.get((owner, id_))
            if found is None:
                return None
            if found.busy:
                raise Conflict("a statement of the transaction is still running", rule="transaction_busy")
            found.busy = True
            return found

    def _give_back(self, found: Open) -> None:
        """Ends it when it is over: a connection that is given back rolls back."""
        found.idle_since = time.monotonic()
        found.over = found.over or self._why_over(found)
        if found.over is None:
            found.busy = False
            return
        lease, found.lease = found.lease, None
        if lease is not None:
            lease.release()
        with self._lock:
            name = found.owner, found.id
            self._open.pop(name, None)
            self._ended[name] = found
            while len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)
        log.info("transaction_ended", transaction=found.id, owner=found.owner, reason=found.over)

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_AGAIN_S):
            for found in list(self._open.values()):
                try:
                    self._end_if_over(found)
                except Exception:  # the others' time would have no end
                    log.exception("transaction_not_ended", transaction=found.id)

    def _end_if_over(self, found: Open) -> None:
        with suppress(Conflict):  # it has something to do just now
            if self._why_over(found) and self._take(found.id, found.owner):
                found.over = self._why_over(found)
                self._give_back(found)

    def _why_over(self, found: Open) -> str | None:
        return found.late() or ("the proxy ended" if self._closing else None)


def _held(found: Open) -> Lease:
    assert found.lease is not None
    return found.lease
