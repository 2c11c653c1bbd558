"""Turns a request into an answer: collected for JSON, streamed for NDJSON and CSV."""

import time
from collections.abc import Iterator
from typing import Any

import pymysql
import structlog

from contract.errors import GatekeeperError, InternalError, Problem
from contract.messages import Answer, ProxyRequest
from proxy import metrics, results
from proxy.failures import ConnectionLost, translated
from proxy.router import Done, Router

log = structlog.get_logger()


def collected(router: Router, request: ProxyRequest, request_id: str, max_bytes: int) -> Answer:
    """Runs the request and gives its whole answer. Raises GatekeeperError."""
    started = time.perf_counter()
    with router.admitted():
        rows, done = router.run(request, lambda connection, sql: connection.query(sql, request.max_rows, max_bytes))
        done.lease.release()
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
    _record(request, done, request_id, answer.elapsed_ms, len(rows.rows))
    return answer


class Streamed:
    """An answer whose rows are sent while they are read. Iterate it to its end, or `close` it."""

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
            if media_type == results.NDJSON:
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
        _record(self._request, self._done, self._request_id, _milliseconds_since(self._started), self._row_count)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        try:
            for row, _ in self._answering.rows():
                if self._row_count == self._request.max_rows:
                    self._truncated = True
                    return
                self._row_count += 1
                yield row
        except (pymysql.MySQLError, OSError) as error:
            self._problem = _failed(error, self._done).problem(self._request_id)

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


def _failed(error: Exception, done: Done) -> GatekeeperError:
    """The error of a stream that broke off: it can't be tried again, since rows have been sent."""
    failure = translated(None, error, "read")
    if isinstance(failure, ConnectionLost):
        done.lease.node.failed(str(failure))
    return failure if isinstance(failure, GatekeeperError) else failure.final("read")


def _record(request: ProxyRequest, done: Done, request_id: str, elapsed_ms: float, row_count: int) -> None:
    metrics.answered(request.implementation, done.lease.node.name, elapsed_ms, done.attempts)
    log.info(
        "answered",
        request_id=request_id,
        node=done.lease.node.name,
        implementation=request.implementation,
        effect=request.effect,
        attempts=done.attempts,
        rows=row_count,
        ms=elapsed_ms,
    )


def _milliseconds_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)
