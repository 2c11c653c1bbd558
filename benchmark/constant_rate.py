"""The load that does not hide a queue: requests at a constant rate, each timed from the moment it was due.

A closed loop asks again only when it was answered: while a target stands still, it sends nothing, and what would have
waited is not counted (Gil Tene calls that coordinated omission). Here requests become due whatever the target does; one
that finds no idle connection waits for it, and its wait is part of its latency, as in wrk2. wrk from Debian has no such
mode, hey's rate is that of a client which waits for its answers, autocannon adds latencies that it made up afterwards,
and wrk2, vegeta and oha are not in Debian, PyPI or npm. So this is our own, and a test holds it against a server that
stands still.
"""

import contextlib
import random
import select
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from benchmark.errors import LoadFailed
from benchmark.exchanges import Exchange
from benchmark.measurement import WARM_UP_S, Sample
from benchmark.raw_http import AnswerReader, Channel
from benchmark.shapes import SEED, Keys

CONNECTIONS = 64
# How long is waited for answers after the last request was due; what is then missing is an error.
GRACE_S = 5.0
_RECEIVED_BYTES = 64 << 10


class Arrived(msgspec.Struct, frozen=True):
    """What a stream of requests met. `late_p99_ms`: how late this generator was when a connection was idle."""

    sample: Sample
    late_p99_ms: float


def measure(address: str, exchanges: Sequence[Exchange], rate: float, seconds: float) -> Arrived:
    """Sends `rate` requests a second, on up to CONNECTIONS connections. Raises LoadFailed."""
    with contextlib.ExitStack() as stack:
        return _Stream(lambda: stack.enter_context(Channel(address)), exchanges, rate, seconds).run()


class _Pending:
    """A request that was sent and is not answered yet."""

    def __init__(self, due: float, expected: bytes) -> None:
        self.due = due
        self.expected = expected
        self.answer = AnswerReader()


class _Stream:
    def __init__(
        self, connect: Callable[[], Channel], exchanges: Sequence[Exchange], rate: float, seconds: float
    ) -> None:
        self._connect = connect
        self._exchanges = exchanges
        self._interval_s = 1 / rate
        self._total = int(rate * seconds)
        self._idle: list[Channel | None] = [None] * CONNECTIONS  # None: not connected yet; the last used comes first
        self._busy: dict[Channel, _Pending] = {}
        self._waiting: deque[float] = deque()
        self._made = 0
        self._dice = random.Random(SEED)
        self._keys = Keys(0)
        self._latencies: Counter[int] = Counter()
        self._late: Counter[int] = Counter()
        self._errors = 0

    def run(self) -> Arrived:
        self._begin = time.perf_counter()
        end = self._due(self._total) + GRACE_S
        while self._made < self._total or self._waiting or self._busy:
            now = time.perf_counter()
            if now >= end:
                self._errors += self._total - self._made + len(self._waiting) + len(self._busy)
                break
            self._take_due(now)
            self._send_waiting()
            self._receive(end)
        counted = self._total * self._interval_s - WARM_UP_S
        return Arrived(Sample(counted, dict(self._latencies), self._errors), _percentile_ms(self._late, 99))

    def _due(self, number: int) -> float:
        return self._begin + number * self._interval_s

    def _take_due(self, now: float) -> None:
        while self._made < self._total and self._due(self._made) <= now:
            if len(self._idle) > len(self._waiting):
                self._late[int((now - self._due(self._made)) * 1e6)] += 1
            self._waiting.append(self._due(self._made))
            self._made += 1

    def _send_waiting(self) -> None:
        while self._waiting and self._idle:
            exchange = self._dice.choice(self._exchanges)
            pending = _Pending(self._waiting.popleft(), exchange.expected)
            channel = self._idle.pop()
            try:
                channel = channel if channel and not _is_readable(channel) else self._connect()
                channel.socket.sendall(self._keys.put_into(exchange.request))
            except OSError:
                self._lose()
            else:
                self._busy[channel] = pending

    def _lose(self) -> None:
        """Counts an exchange that failed; its connection is made anew when one is needed."""
        self._errors += 1
        self._idle.append(None)

    def _receive(self, end: float) -> None:
        """Waits for answers until the next request is due. `select`, since the others wait in whole milliseconds."""
        next_due = self._due(self._made) if self._made < self._total else end
        wait_s = max(0.0, min(next_due, end) - time.perf_counter())
        sockets = {channel.socket: channel for channel in self._busy}
        for ready in select.select(list(sockets), (), (), wait_s)[0]:
            self._take_piece(sockets[ready])

    def _take_piece(self, channel: Channel) -> None:
        pending = self._busy[channel]
        try:
            piece = channel.socket.recv(_RECEIVED_BYTES)
            if piece and not pending.answer.take(piece):
                return
        except (OSError, LoadFailed):
            piece = b""
        del self._busy[channel]
        if not piece:
            self._lose()
            return
        self._idle.append(channel)
        self._count(pending, time.perf_counter())

    def _count(self, pending: _Pending, received: float) -> None:
        if pending.answer.status != 200 or pending.expected not in pending.answer.body:
            self._errors += 1
        elif pending.due - self._begin >= WARM_UP_S:
            self._latencies[int((received - pending.due) * 1e6)] += 1


def _is_readable(channel: Channel) -> bool:
    """Whether an idle connection has something to say, which can only be its end."""
    return bool(select.select([channel.socket], (), (), 0)[0])


def _percentile_ms(latencies: Counter[int], percent: float) -> float:
    return Sample(1.0, latencies).percentile_ms(percent) if latencies else 0.0
