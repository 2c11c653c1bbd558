"""Turns a request into an answer: collected, or streamed while it is read."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import structlog

from contract.errors import DeadlineExceeded, GatekeeperError, InternalError, Problem, Unavailable
from contract.messages import Answer, ProxyRequest
from contract.web import NDJSON
from proxy import metrics, results
from proxy.calls import call
from proxy.connection import Connection, Rows
from proxy.failures import ConnectionLost, translated
from proxy.router import Done, Router

log = structlog.get_logger()

# Memory is taken from the shared budget in steps of this, so that a small answer takes none.
_STEP_BYTES = 256 << 10
# What a write with RETURNING may give back; it is little, and must not fail for want of memory.
_MOST_RETURNED_BYTES = 1 << 20
# What a procedure may give back; set aside before it runs, since it may have committed by the time that it answers.
_MOST_CALLED_BYTES = 4 << 20


class Memory:
    """What all answers that are being collected may take together, in bytes as the server sends them."""

    def __init__(self, total_bytes: int) -> None:
        self._free = total_bytes
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Takes some. Raises Unavailable when there is not enough."""
        with self._lock:
            if size > self._free:
                raise Unavailable("too much is being answered at once; a stream needs less", rule="answer_memory")
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

    def grow(self, size: int) -> None:
        """Counts so many bytes more. Raises Unavailable."""
        self._used += size
        if self._used > self._taken + _STEP_BYTES:
            self._memory.take(self._used - self._taken)
            self._taken = self._used

    def give_back(self) -> None:
        """Gives all of it back, and begins to count anew."""
        if self._taken:
            self._memory.give_back(self._taken)
        self._taken = self._used = 0


def collected(router: Router, request: ProxyRequest, request_id: str, max_bytes: int, memory: Memory) -> Answer:
    """Runs the request and gives its whole answer. Raises GatekeeperError."""
    started = time.perf_counter()
    share = Share(memory)
    max_bytes = min(max_bytes, request.max_bytes or max_bytes)

    def work(connection: Connection, sql: str) -> Rows:
        share.give_back()  # what an attempt took that failed
        return _run(connection, sql, request, max_bytes, share)

    try:
        with router.admitted():
            rows, done = router.run(request, work)
            done.lease.release()
    finally:
        share.give_back()
    answer = Answer(
        request_id=request_id,
        node=done.lease.node.name,
        implementation=request.implementation,
        attempts=done.attempts,
        elapsed_ms=_milliseconds_since(started),
        columns=rows.columns,
        rows=rows.rows,
        affected_rows=rows.affected_rows,
        last_insert_id=rows.last_insert_id,
        truncated=rows.truncated,
    )
    _record(request, done, request_id, answer.elapsed_ms, row_count=len(rows.rows))
    return answer


def _run(connection: Connection, sql: str, request: ProxyRequest, max_bytes: int, share: Share) -> Rows:
    """Runs the statement as its effect asks for, and collects what it gives."""
    if request.effect == "read":
        return connection.query(sql, request.max_rows, max_bytes, grow=share.grow)
    if request.effect == "call":
        called_bytes = min(max_bytes, _MOST_CALLED_BYTES)
        share.grow(called_bytes)
        return call(connection, sql, request.max_rows, called_bytes, request.max_affected_rows)
    returned_bytes = min(max_bytes, _MOST_RETURNED_BYTES)
    if request.effect == "schema":
        return connection.define(sql, request.max_rows, returned_bytes)
    if request.max_affected_rows is not None:
        return connection.write(sql, request.max_rows, returned_bytes, request.max_affected_rows)
    return connection.query(sql, request.max_rows, returned_bytes, to_the_end=True)


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
            self._answering, self._done = router.run(request, lambda connection, sql: connection.start(sql))
        except BaseException:
            router.leave()
            raise
        self.node = self._done.lease.node.name
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
        self._done.lease.release()
        self._router.leave()
        elapsed_ms = _milliseconds_since(self._started)
        _record(
            self._request,
            self._done,
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
        self._done.lease.connection.close()
        if isinstance(error, GatekeeperError):
            return error
        if isinstance(error, UnicodeDecodeError):
            return InternalError("a value can't be decoded", outcome="rolled_back")
        failure = translated(None, error, "read")
        if isinstance(failure, ConnectionLost):
            self._done.lease.node.failed(str(failure))
        return failure if isinstance(failure, GatekeeperError) else failure.final("read")

    def _head(self) -> results.StreamHead:
        return results.StreamHead(
            self._request_id, self.node, self._request.implementation, self._done.attempts, self._answering.columns
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
    done: Done,
    request_id: str,
    elapsed_ms: float,
    *,
    row_count: int,
    problem: Problem | None = None,
) -> None:
    node = done.lease.node.name
    if problem is None:
        metrics.answered(request.implementation, node, elapsed_ms, done.attempts)
    else:
        metrics.failed(problem.code)
    log.info(
        "answered" if problem is None else "broken_off",
        request_id=request_id,
        node=node,
        implementation=request.implementation,
        effect=request.effect,
        attempts=done.attempts,
        rows=row_count,
        ms=elapsed_ms,
    )


def _milliseconds_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)
