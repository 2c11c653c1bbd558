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
    to send.
    """

    def __init__(self, client: Any, idle_s: float, head_s: float, waits: "set[Wait]") -> None:
        self._client = client
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
        if _has_bytes(self._client):  # which will be read without a turn of the loop
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
        if not self._began and _has_bytes(self._client):
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


def _has_bytes(client: Any) -> bool:
    poll = gevent.monkey.get_original("select", "poll")()  # gevent's own would take turns of the loop
    poll.register(client.fileno(), select.POLLIN)
    return bool(poll.poll(0))
