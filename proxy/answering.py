"""Turns a request into an answer: collected, or streamed while it is read."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pymysql
import structlog

from contract.console import QUEUE_TRAFFIC
from contract.errors import DeadlineExceeded, GatekeeperError, InternalError, Outcome, Problem, Unavailable
from contract.messages import Answer, ProxyRequest, StatementResult
from contract.web import NDJSON
from proxy import metrics, results
from proxy.calls import call
from proxy.connection import Connection, Rows
from proxy.failures import ConnectionLost, translated
from proxy.hedging import Hedging
from proxy.ledger import Claim, Known
from proxy.router import Lease, Router
from proxy.transaction import Bounds, transact, transact_once

log = structlog.get_logger()

# Memory is taken from the shared budget in steps of this, so that a small answer takes none.
_STEP_BYTES = 256 << 10
# What a write with RETURNING may give back; it is little, and must not fail for want of memory.
_MOST_RETURNED_BYTES = 1 << 20
# What a procedure may give back; set aside before it runs, since it may have committed by the time that it answers.
_MOST_CALLED_BYTES = 4 << 20


class Memory:
    """What all answers that are being collected or sent may take together: bytes, as they come and as they go."""

    def __init__(self, total_bytes: int) -> None:
        self._free = total_bytes
        self._lock = threading.Lock()

    def take(self, size: int, outcome: Outcome = "not_executed") -> None:
        """Takes some. Raises Unavailable, with that outcome, when there is not enough."""
        with self._lock:
            if size > self._free:
                detail = "too much is being answered at once; a stream needs less"
                raise Unavailable(detail, rule="answer_memory", outcome=outcome)
            self._free -= size

    def owe(self, size: int) -> None:
        """Takes some whether or not it is there; others wait for it then."""
        with self._lock:
            self._free -= size

    def give_back(self, size: int) -> None:
        """Gives some back."""
        with self._lock:
            self._free += size


class Share:
    """One answer's part of the memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._taken = 0
        self._used = 0

    def grow(self, size: int, outcome: Outcome = "rolled_back") -> None:
        """Counts so many bytes more. Raises Unavailable; the statement that is being answered has no effect then."""
        self._used += size
        if self._used > self._taken + _STEP_BYTES:
            self._memory.take(self._used - self._taken, outcome)
            self._taken = self._used

    def hold(self, size: int, *, read: bool) -> None:
        """Counts a body of so many bytes, until it was sent, in the place of what it was made of.

        Raises Unavailable for a read; what has changed something is answered all the same.
        """
        more = (size if size > _STEP_BYTES else 0) - self._taken
        if more > 0 and read:
            self._memory.take(more, "rolled_back")
        elif more > 0:
            self._memory.owe(more)
        elif more < 0:
            self._memory.give_back(-more)
        self._taken += more

    def give_back(self) -> None:
        """Gives all of it back, and begins to count anew."""
        if self._taken:
            self._memory.give_back(self._taken)
        self._taken = self._used = 0


class Found(msgspec.Struct, frozen=True):
    """A request's answer, and the memory that it holds until it was sent.

    `replayed`: it is the one that the first request with the key got.
    """

    answer: Answer
    share: Share
    replayed: bool = False


def collected(
    router: Router,
    request: ProxyRequest,
    request_id: str,
    max_bytes: int,
    memory: Memory,
    *,
    claim: Claim | None = None,
    hedging: Hedging | None = None,
) -> Found:
    """Runs the request and gives its whole answer; a read by `hedging`, where that is given. Raises GatekeeperError.

    The caller gives the answer's share back.
    """
    started = time.perf_counter()

    def begin() -> _Running:
        return _Running(request, request_id, min(max_bytes, request.max_bytes or max_bytes), Share(memory), claim)

    with router.admitted():
        if hedging and request.effect == "read":
            found, lease = hedging.run(request, begin)
        else:
            running = begin()
            try:
                found, lease = router.run(request, running.work)
            except BaseException:
                running.close()
                raise
        lease.release()
    elapsed_ms = _milliseconds_since(started)
    answer = found.answer
    row_count = len(answer.rows) if answer.results is msgspec.UNSET else sum(len(each.rows) for each in answer.results)
    _record(request, lease, request_id, elapsed_ms, row_count=row_count, replayed=found.replayed)
    if found.replayed:
        return msgspec.structs.replace(found, answer=msgspec.structs.replace(answer, request_id=request_id))
    return msgspec.structs.replace(found, answer=msgspec.structs.replace(answer, elapsed_ms=elapsed_ms))


class _Running:
    """A request that is being run, as its effect and its form ask for."""

    def __init__(
        self, request: ProxyRequest, request_id: str, max_bytes: int, share: Share, claim: Claim | None
    ) -> None:
        self._request, self._request_id = request, request_id
        self._max_bytes = max_bytes
        self._share = share
        self._claim = claim
        self._started = time.perf_counter()

    def close(self) -> None:
        """Gives back the memory that it took."""
        self._share.give_back()

    def work(self, lease: Lease, statements: Sequence[str]) -> Found:
        """One attempt."""
        self._share.give_back()  # what an attempt took that failed
        connection = lease.connection
        if self._claim:
            return self._once(lease, self._claim, statements)
        if self._request.statements is not None or self._is_bounded_write():
            return self._found(self._answer(lease, transact(connection, statements, self._bounds(lease))))
        return self._found(self._answer(lease, [self._alone(connection, statements[0])]))

    def _found(self, answer: Answer, *, replayed: bool = False) -> Found:
        return Found(answer, self._share, replayed)

    def _once(self, lease: Lease, claim: Claim, statements: Sequence[str]) -> Found:
        answers: list[Answer] = []

        def keeping(results: list[Rows]) -> str:
            answers.append(self._answer(lease, results))
            return claim.keeping(answers[0])

        try:
            transact_once(lease.connection, claim, statements, self._bounds(lease), keeping)
        except Known as known:
            return self._found(known.answer, replayed=True)
        return self._found(answers[0])

    def _is_bounded_write(self) -> bool:
        return self._request.effect == "write" and self._request.max_affected_rows is not None

    def _bounds(self, lease: Lease) -> Bounds:
        """A write alone takes no shared memory for the little that it returns: it must not fail for want of it."""
        request, alone = self._request, self._request.statements is None
        max_bytes = min(self._max_bytes, _MOST_RETURNED_BYTES) if alone else self._max_bytes
        grow = (lambda _size: None) if alone else self._share.grow
        return Bounds(request.max_rows, max_bytes, request.max_affected_rows, lease.deadline, grow)

    def _alone(self, connection: Connection, sql: str) -> Rows:
        request = self._request
        if request.effect == "read":
            return connection.query(sql, request.max_rows, self._max_bytes, grow=self._share.grow)
        if request.effect == "call":
            called_bytes = min(self._max_bytes, _MOST_CALLED_BYTES)
            self._share.grow(called_bytes, "not_executed")
            return call(connection, sql, request.max_rows, called_bytes, request.max_affected_rows)
        returned_bytes = min(self._max_bytes, _MOST_RETURNED_BYTES)
        if request.effect == "schema":
            return connection.define(sql, request.max_rows, returned_bytes)
        return connection.query(sql, request.max_rows, returned_bytes, to_the_end=True)

    def _answer(self, lease: Lease, results: Sequence[Rows]) -> Answer:
        last, several = results[-1], self._request.statements is not None
        return Answer(
            request_id=self._request_id,
            node=lease.node.name,
            implementation=self._request.implementation,
            attempts=lease.attempt,
            elapsed_ms=_milliseconds_since(self._started),
            columns=[] if several else last.columns,
            rows=[] if several else last.rows,
            affected_rows=sum(each.affected_rows for each in results),
            last_insert_id=last.last_insert_id,
            truncated=any(each.truncated for each in results),
            results=[_result(each) for each in results] if several else msgspec.UNSET,
            consistency_token=(lease.node.token or msgspec.UNSET) if lease.effect != "read" else msgspec.UNSET,
        )


def _result(rows: Rows) -> StatementResult:
    return StatementResult(rows.columns, rows.rows, rows.affected_rows, rows.last_insert_id, rows.truncated)


class Streamed:
    """A read whose rows are sent while they are read. Iterate it to its end, or `close` it.

    A write is never streamed: a client that leaves would roll it back.
    """

    def __init__(self, router: Router, request: ProxyRequest, request_id: str) -> None:
        self._router, self._request, self._request_id = router, request, request_id
        self._started = time.perf_counter()
        self._open = True
        router.admit()
        try:
            self._answering, self._lease = router.run(request, lambda lease, sql: lease.connection.start(sql[0]))
        except BaseException:
            router.leave()
            raise
        self.node = self._lease.node.name
        self._row_count = 0
        self._truncated = False
        self._problem: Problem | None = None

    def lines(self, media_type: str) -> Iterator[bytes]:
        """The body, in chunks. A CSV body whose rows can't be read to the end is cut off with an exception."""
        try:
            if media_type == NDJSON:
                yield from results.ndjson(self._head(), self._rows(), self._tail)
            else:
                yield from results.csv(self._answering.columns, self._rows())
                if self._problem is not None:
                    raise InternalError(self._problem.detail)
        finally:
            self.close()

    def close(self) -> None:
        """Gives the connection and the place back; safe to call twice."""
        if not self._open:
            return
        self._open = False
        self._lease.release()
        self._router.leave()
        elapsed_ms = _milliseconds_since(self._started)
        _record(
            self._request,
            self._lease,
            self._request_id,
            elapsed_ms,
            row_count=self._row_count,
            problem=self._problem,
        )

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        deadline = self._started + self._request.timeout_ms / 1000
        try:
            size = 0
            for row, row_bytes in self._answering.rows():
                size += row_bytes
                if self._row_count == self._request.max_rows or size > (self._request.max_bytes or size):
                    self._truncated = True
                    return
                if time.perf_counter() > deadline:
                    raise DeadlineExceeded("the time passed before the last row was sent", outcome="rolled_back")
                self._row_count += 1
                yield row
        except (GatekeeperError, pymysql.MySQLError, OSError, ValueError) as error:
            self._problem = self._failed(error).problem(self._request_id)

    def _failed(self, error: Exception) -> GatekeeperError:
        """The error of a stream that broke off: it can't be tried again, since rows have been sent."""
        self._lease.connection.close()
        if isinstance(error, GatekeeperError):
            return error
        if isinstance(error, UnicodeDecodeError):
            return InternalError("a value can't be decoded", outcome="rolled_back")
        failure = translated(None, error, "read")
        if isinstance(failure, ConnectionLost):
            self._lease.node.failed(str(failure))
        return failure if isinstance(failure, GatekeeperError) else failure.final("read")

    def _head(self) -> results.StreamHead:
        return results.StreamHead(
            self._request_id, self.node, self._request.implementation, self._lease.attempt, self._answering.columns
        )

    def _tail(self) -> results.StreamTail | Problem:
        if self._problem is not None:
            return self._problem
        return results.StreamTail(
            row_count=self._row_count,
            affected_rows=self._answering.affected_rows,
            last_insert_id=self._answering.last_insert_id,
            truncated=self._truncated,
            elapsed_ms=_milliseconds_since(self._started),
        )


def _record(
    request: ProxyRequest,
    lease: Lease,
    request_id: str,
    elapsed_ms: float,
    *,
    row_count: int,
    problem: Problem | None = None,
    replayed: bool = False,
) -> None:
    node = lease.node.name
    if problem is None:
        # The orchestrators' own statements, some every second, are no answers to clients.
        counted_as = QUEUE_TRAFFIC if request.effect == "queue" else request.implementation
        metrics.answered(counted_as, node, elapsed_ms, lease.attempt)
    else:
        metrics.failed(problem.code)
    log.info(
        "answered" if problem is None else "broken_off",
        request_id=request_id,
        node=node,
        implementation=request.implementation,
        effect=request.effect,
        attempts=lease.attempt,
        rows=row_count,
        ms=elapsed_ms,
        **({"replayed": True} if replayed else {}),
    )


def _milliseconds_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)
