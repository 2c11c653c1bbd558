"""A value that follows its file: a change is checked whole and taken up, or refused while the last good one stays.

The file is looked at (one stat, about 4 us) whenever the value is asked for. Where that is with each request, a change
counts for the next one of every worker, without a thread, and without a word between the workers.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

Value = TypeVar("Value")

# A file that an editor is still writing may be sound as far as it goes, and lack what comes last.
SETTLED_S = 0.3


class Watched(Generic[Value]):
    """What `read` makes of the file at `path`; the first reading's error, a ValueError, is raised.

    Later ones are logged as NAME_refused, with the reason; a change that is taken up as NAME_read. `problem` is that
    reason while the last good value stays, None when all is well. `settled_s`: how many seconds the file must have been
    left alone; 0 where it is only ever replaced whole.
    """

    def __init__(self, name: str, path: Path, read: Callable[[Path], Value], *, settled_s: float = 0.0) -> None:
        self._name = name
        self._path = path
        self._read = read
        self._settled_s = settled_s
        self._lock = threading.Lock()
        self.problem: str | None = None
        self._signature = self._look()
        self._value = read(path)

    def current(self) -> Value:
        """The value of the file as it is, or of its last good state."""
        if self._look() != self._signature and self._lock.acquire(blocking=False):
            try:
                self._take_up()
            finally:
                self._lock.release()
        return self._value

    def _take_up(self) -> None:
        # Looked at before it is read: a change during the reading is seen the next time.
        signature = self._look()
        if signature is not None and 0 <= time.time() - signature[0] / 1e9 < self._settled_s:
            return
        self._signature = signature
        try:
            self._value = self._read(self._path)
        except ValueError as error:
            self.problem = str(error)
            log.error(f"{self._name}_refused", reason=self.problem)
        else:
            self.problem = None
            log.info(f"{self._name}_read")

    def _look(self) -> tuple[int, int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode
