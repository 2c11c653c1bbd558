"""How a connection waits for its next request: idle for a time, and not for long once the peer has begun to send."""

import select
import time
from typing import Any

import gevent
import gevent.monkey

_READ = 1  # libev's EV_READ


class _TooSlow(BaseException):
    """Thrown into the greenlet whose peer took too long; not for an `except Exception` to catch."""


class Wait:
    """A connection's wait for its next request, a member of `waits` meanwhile.

    Ends its block, without an error, when the connection has been idle for `idle_s`, or `head_s` after the peer began
    to send; `begun` says that it has already.
    """

    def __init__(self, client: Any, idle_s: float, head_s: float, waits: "set[Wait]", *, begun: bool = False) -> None:
        self._client = client
        self._has_begun = begun
        self._idle_s = idle_s
        self._head_s = head_s
        self._waits = waits
        self._loop = gevent.get_hub().loop
        self._readable = self._loop.io(client.fileno(), _READ)
        self._timer: Any = None
        self._began = False

    def __enter__(self) -> None:
        self._waiting = gevent.getcurrent()
        self._since = time.monotonic()
        self._waits.add(self)
        if self._has_begun or has_bytes(self._client):  # which will be read without a turn of the loop
            self._begin()
        else:
            self._readable.start(self._begin)
            self.limit(self._idle_s)

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        self._waits.discard(self)
        self._readable.stop()
        self._readable.close()
        self._end_timer()
        return isinstance(error, _TooSlow)

    def limit(self, idle_s: float) -> None:
        """Ends the wait when the connection has been idle for so long, unless the peer has begun to send."""
        if not self._began:
            self._time(max(0.0, self._since + idle_s - time.monotonic()))

    def _begin(self) -> None:
        self._began = True
        self._readable.stop()
        self._time(self._head_s)

    def _over(self) -> None:
        if not self._began and has_bytes(self._client):
            self._begin()  # in the last moment
        else:
            self._waiting.throw(_TooSlow)

    def _time(self, seconds: float) -> None:
        self._end_timer()
        self._timer = self._loop.timer(seconds)
        self._timer.start(self._over)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()


class Idle:
    """The connections that wait for the first bytes of a request, which may take long and costs nothing meanwhile.

    There is no timer for each: `end` is called every now and then.
    """

    def __init__(self) -> None:
        self._since: dict[Any, tuple[float, Any]] = {}

    def receive(self, client: Any, size: int) -> bytes:
        """The next bytes that come; none when the peer has closed, or was idle for too long. Raises OSError."""
        waiting = gevent.getcurrent()
        self._since[waiting] = time.monotonic(), client
        try:
            received: bytes = client.recv(size)
        except _TooSlow:
            return b""
        finally:
            del self._since[waiting]
        return received

    def end(self, idle_s: float) -> None:
        """Ends the wait of those that have been idle for so long, unless they have begun to send."""
        now = time.monotonic()
        for waiting, entry in tuple(self._since.items()):
            if now - entry[0] >= idle_s:
                # By the loop: only there may one greenlet be thrown into without another being left behind.
                gevent.get_hub().loop.run_callback(self._end, waiting, entry)

    def _end(self, waiting: Any, entry: tuple[float, Any]) -> None:
        if self._since.get(waiting) is entry and not has_bytes(entry[1]):
            waiting.throw(_TooSlow)


def has_bytes(client: Any) -> bool:
    """Whether there is something to be read on the socket, an end as well, without a turn of the loop."""
    poll = gevent.monkey.get_original("select", "poll")()  # gevent's own would take turns of the loop
    poll.register(client.fileno(), select.POLLIN)
    return bool(poll.poll(0))
