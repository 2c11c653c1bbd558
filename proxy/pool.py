"""A bounded pool of connections to one node with one account."""

import threading
import time
from collections import deque
from collections.abc import Callable

import pymysql

from proxy.connection import Connection


class PoolExhausted(Exception):
    """All connections stayed in use for as long as the request could wait."""


class Pool:
    """At most `size` connections, the one used last given out first. `connect` makes a new one, in so many seconds."""

    def __init__(self, connect: Callable[[float], Connection], size: int) -> None:
        self._connect = connect
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: deque[Connection] = deque()
        self._generation = 0
        self.in_use = 0

    def acquire(self, timeout_s: float, *, new: bool = False) -> Connection:
        """A connection with a fresh session; `new`: one that never was reset, in the place of an idle one.

        Raises PoolExhausted, pymysql.MySQLError, OSError, TunnelError.
        """
        deadline = time.monotonic() + timeout_s
        if not self._slots.acquire(timeout=max(0.0, timeout_s)):
            raise PoolExhausted
        try:
            if new:
                self._close_one()
            connection = (None if new else self._take()) or self._new(deadline - time.monotonic())
        except BaseException:
            self._slots.release()
            raise
        with self._lock:
            self.in_use += 1
        return connection

    def release(self, connection: Connection) -> None:
        """Takes a connection back, unless it is broken or of a time before `clear`."""
        keep = not connection.broken and connection.generation == self._generation
        if keep:
            try:
                connection.begin_reset()
            except pymysql.MySQLError:
                keep = False
        if not keep:
            connection.close()
        with self._lock:
            self.in_use -= 1
            if keep:
                self._idle.append(connection)
        self._slots.release()

    def clear(self) -> None:
        """Closes the idle connections now, and those in use when they come back."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close()

    def _close_one(self) -> None:
        with self._lock:
            idle = self._idle.popleft() if self._idle else None
        if idle is not None:
            idle.close()

    def _new(self, timeout_s: float) -> Connection:
        generation = self._generation
        connection = self._connect(timeout_s)
        connection.generation = generation
        return connection

    def _take(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            try:
                connection.finish_reset()
            except (pymysql.MySQLError, OSError, ValueError):
                connection.close()
            else:
                return connection
