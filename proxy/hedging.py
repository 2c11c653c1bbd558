"""Hedged reads, an option: one that takes longer than nearly all others is asked of a second node.

The first answer counts, and the slower attempt is ended, at its node too. Only what changes nothing is asked twice, and
was answered before: a statement that makes servers crash must not take one node more.
See: Dean and Barroso, The Tail at Scale, Communications of the ACM 56/2 (2013), "hedged requests".
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from contract.errors import DeadlineExceeded
from contract.messages import ProxyRequest
from proxy import metrics
from proxy.router import Lease, Router

# What is known of so many reads decides how long is too long; before there are enough, nothing is asked twice.
_REMEMBERED: Final = 500
_ENOUGH: Final = 50
_QUANTILE: Final = 0.95
_SHORTEST_S: Final = 0.005

Result = TypeVar("Result")
Given_co = TypeVar("Given_co", covariant=True)


class Running(Protocol[Given_co]):
    """A request that is being run; `close` gives back what it took, if nobody is to have what it gave."""

    def work(self, lease: Lease, statements: Sequence[str]) -> Given_co:
        """One attempt."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class Hedging:
    """Runs reads so."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._taken_s: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def delay_s(self) -> float | None:
        """After how long a second node is asked: the 95th percentile of what reads took of late; None: not at all."""
        taken = sorted(self._taken_s)
        return max(_SHORTEST_S, taken[int(len(taken) * _QUANTILE)]) if len(taken) >= _ENOUGH else None

    def run(self, request: ProxyRequest, begin: Callable[[], Running[Result]]) -> tuple[Result, Lease]:
        """What Router.run gives, of the first that answers. The caller releases the lease. Raises GatekeeperError."""
        started = time.monotonic()
        delay_s = self.delay_s if self._router.has_answered(request) else None
        done = _Race(self._router, request, begin).run(delay_s)
        self._taken_s.append(time.monotonic() - started)
        return done


class _Race(Generic[Result]):
    """Two attempts at most, each in a thread of its own. What ends when one has won is given back there."""

    def __init__(self, router: Router, request: ProxyRequest, begin: Callable[[], Running[Result]]) -> None:
        self._router = router
        self._request = request
        self._begin = begin
        self._attempts: list[_Attempt[Result]] = []
        self._changed = threading.Condition()
        self._is_over = False

    def run(self, delay_s: float | None) -> tuple[Result, Lease]:
        self._start(avoid=None)
        with self._changed:
            self._changed.wait_for(self._is_decided, delay_s)
            decided = self._is_decided()
        if not decided:
            metrics.hedged()
            self._start(avoid=self._attempts[0].node)
        with self._changed:
            self._changed.wait_for(self._is_decided)
            self._is_over = True
            winner = min(self._attempts, key=lambda attempt: attempt.rank)
        for attempt in self._attempts:
            if attempt is not winner:
                threading.Thread(target=attempt.give_up, name="hedge", daemon=True).start()
        return winner.result()

    def _is_decided(self) -> bool:
        """One has succeeded, or all have failed."""
        ranks = [attempt.rank for attempt in self._attempts]
        return 0 in ranks or all(rank == 1 for rank in ranks)

    def _start(self, avoid: str | None) -> None:
        attempt = _Attempt(self._begin())
        self._attempts.append(attempt)
        threading.Thread(target=self._run, args=(attempt, avoid), name="read", daemon=True).start()

    def _run(self, attempt: "_Attempt[Result]", avoid: str | None) -> None:
        done, error = None, None
        try:
            done = self._router.run(self._request, attempt.work, avoid=avoid, chosen=attempt.choose)
        except Exception as failure:
            error = failure
        with self._changed:  # together, so that the one that is taken for the winner is not late
            attempt.done, attempt.error = done, error
            is_late = self._is_over
            self._changed.notify_all()
        if is_late:
            attempt.give_up()


class _Attempt(Generic[Result]):
    """One of them. `node`: the one chosen last; `lease`: the connection that it has just now."""

    def __init__(self, running: Running[Result]) -> None:
        self._running = running
        self.node: str | None = None
        self.lease: Lease | None = None
        self.done: tuple[Result, Lease] | None = None
        self.error: Exception | None = None
        self._is_given_up = False
        self._is_closed = False
        self._lock = threading.Lock()

    @property
    def rank(self) -> int:
        """0: it succeeded; 1: it failed; 2: it is not known."""
        return 0 if self.done else 1 if self.error else 2

    def result(self) -> tuple[Result, Lease]:
        """What it gave, with what it took. Raises what it raised."""
        if self.done is None:
            self._running.close()
            assert self.error is not None
            raise self.error
        return self.done

    def choose(self, node: str) -> None:
        """Takes note of the node that it goes to."""
        self.node = node

    def work(self, lease: Lease, statements: Sequence[str]) -> Result:
        """Does the request's work."""
        with self._lock:
            self.lease = lease
        try:
            if self._is_given_up:
                raise DeadlineExceeded("another node was faster", outcome="rolled_back")
            return self._running.work(lease, statements)
        except Exception:
            if self._is_given_up:  # its node is not to blame
                raise DeadlineExceeded("another node was faster", outcome="rolled_back") from None
            raise
        finally:
            with self._lock:
                self.lease = None

    def give_up(self) -> None:
        """Ends it where it still runs, on its node too, or gives back what it took; safe to call twice."""
        self._is_given_up = True
        if self.rank < 2:
            self._close()
            return
        with self._lock:  # while it is this attempt's connection
            lease = self.lease
            if lease is not None:
                thread_id = lease.connection.thread_id
                lease.connection.interrupt()
        if lease is not None:
            lease.node.kill(thread_id, lease.effect)

    def _close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._running.close()
        if self.done is not None:
            self.done[1].release()
