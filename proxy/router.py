"""Runs a request: chooses a node, tries there, and says what may be tried again and where.

What happens after a failure depends on what is known of the statement's effect:

    the connection could not be had, or the statement not be sent     not executed    another node, any statement
    the engine calls the error temporary (proxy/engines.py)           rolled back     again, after a pause
    the connection was lost before COMMIT was sent                    rolled back     another node, once
    the connection was lost before the answer                         unknown         another node, once: reads, and
                                                                                      writes with a key
    a time limit                                                      rolled back or unknown      no more tries
    a call whose procedure committed (proxy/calls.py), DDL in part    unknown         no more tries
    any other error of the database                                   rolled back     no more tries

A write with a key is tried again after an unknown outcome: each attempt begins with the ledger (proxy/ledger.py). Where
that attempt does not tell either, the outcome stays unknown, whatever became of the attempt itself.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import pymysql
import structlog

from contract.errors import DeadlineExceeded, GatekeeperError, Unavailable
from contract.implementations import DIRECT_HIT
from contract.messages import ProxyRequest, Runnable
from proxy import openings, strategies
from proxy.cluster import Cluster
from proxy.connection import Connection
from proxy.failures import ConnectionLost, Failure, NotSent, TemporaryFailure, translated
from proxy.ledger import Undecided
from proxy.node import UNREACHABLE, Node, describe
from proxy.placeholders import bind
from proxy.pool import PoolExhausted
from proxy.settings import Settings

log = structlog.get_logger()

_MOST_ATTEMPTS = 10
# NDB does not wait for a key's first request for longer than 1.2 s at a time: it is asked again until the deadline.
_MOST_KEYED_ATTEMPTS = 200
# A statement that makes a server crash must not be carried from node to node. One that was never answered before waits
# until the others have agreed that the first node is gone (deploy/engines/galera.py, evs.suspect_timeout): two that die
# at the same moment could take the majority with them.
_MOST_LOSSES = 1
_REGROUP_S = 4.0
_MOST_ANSWERED = 4096
# A statement may do so by its values alone, nested or long ones: with more than so many bytes it is another statement.
_SMALL_VALUES_BYTES = 1000
_PAUSE_S = (0.005, 0.5)
# How long a request waits for a node that has failed just now and is being looked at.
_PATIENCE_S = 3.0
# 1045: wrong password, or no such account; 1203 and 1226: its connections are used up.
_ACCOUNT_REFUSED = frozenset({1045, 1203, 1226})

Result = TypeVar("Result")


class Lease(msgspec.Struct):
    """A node's connection while a request has it, for its attempt of that number. `deadline`: monotonic clock."""

    node: Node
    effect: Runnable
    connection: Connection
    deadline: float
    attempt: int = 1

    def release(self) -> None:
        """Gives the connection back; a broken one is closed."""
        self.node.pools[self.effect].release(self.connection)


class Way(msgspec.Struct, frozen=True):
    """What is asked of a node, whatever it is to do: the account of an effect, and its session's schema and time limit.

    `keyed`: what is done there twice takes effect once. `seeing`: the token of a write that must be there.
    """

    effect: Runnable
    implementation: str
    timeout_ms: int
    database: str | None = None
    keyed: bool = False
    seeing: str | None = None


class Course:
    """How the attempts at a request have gone so far."""

    def __init__(self, way: Way, deadline: float) -> None:
        self.deadline = deadline
        self.tried: set[str] = set()
        self.attempt = 1
        self._effect = way.effect
        self._keyed = way.keyed
        self._losses = 0
        self._in_doubt = False  # an attempt may have taken effect

    def failed(self, node: str, failure: Failure, *, answered: bool) -> None:
        """Waits as long as the next attempt should. Raises the error that is final when there is to be none."""
        log.info("attempt_failed", node=node, attempt=self.attempt, reason=str(failure))
        error = failure.final(self._effect)
        lost = isinstance(failure, ConnectionLost)
        self._losses += lost
        self._in_doubt = self._in_doubt or error.outcome == "unknown"
        most = _MOST_KEYED_ATTEMPTS if self._keyed else _MOST_ATTEMPTS
        if not failure.again(keyed=self._keyed) or self.attempt == most or self._losses > _MOST_LOSSES:
            raise error
        self.tried.add(node)
        if lost and not answered:
            _wait(_REGROUP_S, self.deadline, error)
        _pause(failure, self.attempt, self.deadline, error)
        self.attempt += 1

    def told(self, error: GatekeeperError) -> GatekeeperError:
        """The error as the caller is to get it: with a key it may ask again where nothing is known."""
        if self._in_doubt:
            error.outcome = "unknown"
        if self._keyed and (self._in_doubt or isinstance(error, DeadlineExceeded)):
            error.retryable = True
        return error


class Router:
    """Runs requests on a cluster's nodes, at most `max_in_flight` at once."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._admission = threading.BoundedSemaphore(settings.max_in_flight)
        self._answered: set[int] = set()  # hashes of reads that were answered

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Holds one of the places of requests in flight. Raises Unavailable when none is free."""
        self.admit()
        try:
            yield
        finally:
            self.leave()

    def admit(self) -> None:
        """Takes a place. Raises Unavailable when none is free."""
        if not self._admission.acquire(blocking=False):
            raise Unavailable("the proxy is busy", rule="max_in_flight")

    def leave(self) -> None:
        """Gives a place back."""
        self._admission.release()

    def run(
        self,
        request: ProxyRequest,
        work: Callable[[Lease, Sequence[str]], Result],
        *,
        avoid: str | None = None,
        chosen: Callable[[str], None] = lambda _node: None,
    ) -> tuple[Result, Lease]:
        """Does `work` with a connection and the bound statements, again where that is safe.

        `avoid`: a node that is taken only where no other is up; `chosen` is told of each that is taken. The caller
        releases the lease. Raises GatekeeperError.
        """
        statements = request.all_statements()
        for statement in statements:
            openings.check(statement.query, request.effect)
        bound = [bind(statement.query, statement.params) for statement in statements]
        known = _known_as(request)
        way = _way_of(request)
        done = self.reach(
            way,
            lambda lease: work(lease, bound),
            avoid=avoid,
            chosen=chosen,
            answered=lambda: known in self._answered,
        )
        self._remember(request, known)
        return done

    def reach(
        self,
        way: Way,
        work: Callable[[Lease], Result],
        *,
        avoid: str | None = None,
        chosen: Callable[[str], None] = lambda _node: None,
        answered: Callable[[], bool] = lambda: False,
    ) -> tuple[Result, Lease]:
        """Does `work` with a connection, again where that is safe. `answered`: whether it was ever done before.

        The caller releases the lease. Raises GatekeeperError.
        """
        course = Course(way, time.monotonic() + way.timeout_ms / 1000)
        course.tried.update({avoid} if avoid else ())
        try:
            while True:
                node = self._choose(way, course.tried, course.deadline)
                chosen(node.name)
                try:
                    return self._attempt(node, way, course, work)
                except (NotSent, TemporaryFailure, ConnectionLost, Undecided) as failure:
                    course.failed(node.name, failure, answered=answered())
        except GatekeeperError as error:
            raise course.told(error) from None

    def work_on(self, lease: Lease, work: Callable[[Lease], Result]) -> Result:
        """Does `work` with a connection that is held. Whatever it raises, the lease is released then.

        Raises GatekeeperError, or a Failure, which may be tried again.
        """
        try:
            return work(lease)
        except (pymysql.MySQLError, OSError) as error:
            failure = translated(self._cluster.engine, error, lease.effect)
            self._after(failure, lease)
            raise failure from None
        except (GatekeeperError, Undecided):
            lease.release()
            raise
        except BaseException:
            lease.connection.close()
            lease.release()
            raise

    def has_answered(self, request: ProxyRequest) -> bool:
        """Whether the same read, with small values or these, was answered before: it makes no server crash."""
        return _known_as(request) in self._answered

    def _remember(self, request: ProxyRequest, known: int) -> None:
        if request.effect == "read" or request.idempotency:
            if len(self._answered) >= _MOST_ANSWERED:
                self._answered.clear()
            self._answered.add(known)

    def _choose(self, way: Way, tried: set[str], deadline: float) -> Node:
        patience = min(deadline, time.monotonic() + _PATIENCE_S)
        while True:
            nodes = self._candidates(way, tried)
            if nodes:
                to_manager = way.effect != "read" and self._settings.writes == "manager"
                return strategies.choose(DIRECT_HIT if to_manager else way.implementation, nodes)
            if time.monotonic() >= patience or not self._cluster.hopeful():
                raise Unavailable("no healthy node", rule="no_healthy_node")
            time.sleep(0.01)

    def _candidates(self, way: Way, tried: set[str]) -> Sequence[Node]:
        nodes = self._cluster.fit(but=tried) or self._cluster.fit()
        if way.effect != "read" and not self._cluster.engine.several_writers:
            return [node for node in nodes if node.role != "data"]
        return nodes

    def _attempt(self, node: Node, way: Way, course: Course, work: Callable[[Lease], Result]) -> tuple[Result, Lease]:
        lease = _acquire(node, way, course.deadline)
        lease.attempt = course.attempt
        result = self.work_on(lease, work)
        node.worked()
        return result, lease

    def _after(self, failure: Exception, lease: Lease) -> None:
        abandoned = isinstance(failure, DeadlineExceeded) and failure.mysql_errno is None
        thread_id = lease.connection.thread_id
        if abandoned or isinstance(failure, ConnectionLost):
            lease.connection.close()
        lease.release()
        if abandoned:
            threading.Thread(target=lease.node.kill, args=(thread_id, lease.effect), daemon=True).start()
        elif isinstance(failure, ConnectionLost):
            lease.node.failed(str(failure))


def _known_as(request: ProxyRequest) -> int:
    return hash(tuple((statement.query, _large_of(statement.params)) for statement in request.all_statements()))


def _large_of(params: list[Any] | dict[str, Any] | None) -> bytes:
    """The values where they are large; nothing else tells two requests with the same text apart."""
    values = msgspec.json.encode(params) if params else b""
    return values if len(values) > _SMALL_VALUES_BYTES else b""


def _way_of(request: ProxyRequest) -> Way:
    keyed = request.idempotency is not None
    way = (request.effect, request.implementation, request.timeout_ms, request.database)
    return Way(*way, keyed=keyed, seeing=request.consistency_token)


def _acquire(node: Node, way: Way, deadline: float) -> Lease:
    """A connection of the request's account, its schema and time limit set; nothing of the statement is sent yet."""
    setting = node.catching_up(way.seeing)
    try:
        connection = node.pools[way.effect].acquire(deadline - time.monotonic(), new=setting is not None)
    except PoolExhausted:
        raise NotSent("all connections to the node are busy") from None
    except UNREACHABLE as error:
        if time.monotonic() >= deadline:
            # The request was in a hurry; that is no reason to suspect the node.
            raise DeadlineExceeded("the time passed before the statement was sent") from None
        if not _of_the_account(error):
            node.failed(describe(error))
        raise NotSent(describe(error)) from None
    lease = Lease(node, way.effect, connection, deadline)
    left_ms = max(1, int((deadline - time.monotonic()) * 1000 + 0.999))
    try:
        # The full time while it is nearly full: the session's limit is then the one that it has already.
        full = left_ms > way.timeout_ms * 0.98
        connection.use(way.database, way.timeout_ms if full else left_ms, setting)
    except pymysql.MySQLError as error:
        raise _not_set(lease, error) from None
    return lease


def _of_the_account(error: Exception) -> bool:
    """Whether the server refuses this account alone: a node is not suspect for that."""
    return isinstance(error, pymysql.MySQLError) and bool(error.args) and error.args[0] in _ACCOUNT_REFUSED


def _not_set(lease: Lease, error: pymysql.MySQLError) -> Failure | GatekeeperError:
    """What it means that the schema or the limit could not be set: whatever it was, the statement was not sent."""
    failure = translated(None, error, lease.effect)
    if isinstance(failure, GatekeeperError) and failure.mysql_errno is not None:
        lease.release()
        return failure
    lease.connection.close()
    lease.release()
    if isinstance(failure, ConnectionLost):
        lease.node.failed(str(failure))
    return NotSent(str(failure))


def _pause(failure: Failure, attempt: int, deadline: float, error: GatekeeperError) -> None:
    """Waits before the next attempt, longer each time, with jitter. Raises the error when the deadline is nearer."""
    shortest, longest = _PAUSE_S
    pause = 0.0 if isinstance(failure, NotSent | ConnectionLost) and attempt == 1 else shortest * 2**attempt
    _wait(min(longest, pause) * random.uniform(0.5, 1), deadline, error)  # noqa: S311 jitter is no secret


def _wait(pause_s: float, deadline: float, error: GatekeeperError) -> None:
    """Waits. Raises the error when the deadline is nearer."""
    if time.monotonic() + pause_s >= deadline:
        raise error from None
    time.sleep(pause_s)
