"""The form of a log line, the same in every service: one JSON object a line on standard error.

Lines are gathered for a moment and written together: a write for each, to a pipe that another process reads, was a
quarter of the gatekeeper's time (py-spy under 16 clients, 2026-11-23, 2 cores). An error is written at once. What a
process had not written when it was killed with -9 is lost, at most `_PAUSE_S` of it.
"""

import atexit
import logging
import sys
import threading
from typing import BinaryIO

import msgspec
import structlog

_PAUSE_S = 0.1
_MOST_BYTES = 64 << 10


class _Gathering:
    """Writes lines to a file, together: after a pause, when there are many, when one is an error, and at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._size = 0
        self._more = threading.Event()
        threading.Thread(target=self._run, name="log", daemon=True).start()
        atexit.register(self.flush)

    def msg(self, line: bytes) -> None:
        """Takes a line; writes what has gathered when it is much."""
        with self._lock:
            self._waiting.append(line)
            self._size += len(line)
            much = self._size > _MOST_BYTES
        if much:
            self.flush()
        else:
            self._more.set()

    debug = info = warning = msg

    def error(self, line: bytes) -> None:
        """Takes a line and writes all at once."""
        self.msg(line)
        self.flush()

    critical = error

    def flush(self) -> None:
        """Writes what has gathered."""
        with self._lock:
            waiting, self._waiting, self._size = self._waiting, [], 0
            if waiting:
                self._file.write(b"\n".join(waiting) + b"\n")
                self._file.flush()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._more.wait()
            pause.wait(_PAUSE_S)
            self._more.clear()
            self.flush()


def configure(level: str = "INFO") -> None:
    """Sets structlog up for this process: level, ISO 8601 UTC time stamp and the event's key-value pairs, as JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_serialize),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=_Factory(),
        cache_logger_on_first_use=True,
    )


class _Factory:
    """Gives every module the same writer."""

    def __init__(self) -> None:
        self._writer = _Gathering(sys.stderr.buffer)

    def __call__(self, *_names: str) -> _Gathering:
        return self._writer


def _serialize(event: object, **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
