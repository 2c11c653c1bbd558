"""What a role's keys really send: each distinct statement once, as a JSON line of names, for `gk policy learn`.

A record says what a statement does, not what it says: no text, no literal, no parameter. All workers of a gatekeeper
append to one file, one after the other under a lock, each after reading what the others have added. Recording never
stops a request: what can't be recorded is counted, said in the log once, and tried again some seconds later.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import structlog

from contract.implementations import IMPLEMENTATIONS
from contract.messages import SchemaName
from gatekeeper import metrics
from gatekeeper.analysis import Analysis

log = structlog.get_logger()

MOST_RECORDS: Final = 20_000
# After a failure nothing is tried for so long (seconds); as often is it seen that the file was moved away.
PAUSE_S: Final = 5.0
_LOCK_TIMEOUT_S = 0.5
_LOCK_PAUSE_S = 0.001
_START = b'{"asked":'


_Implementation = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(IMPLEMENTATIONS)})\\Z")]


class NoRecords(ValueError):
    """A file that is not one of records; the text names it and the line."""


class Asked(NamedTuple):
    """How a statement was asked for, apart from the statement.

    `database` and `implementation` are those it was judged with and is run with; `names_...`: whether the request named
    it itself.
    """

    role: str
    database: SchemaName | None
    names_database: bool
    implementation: _Implementation
    names_implementation: bool


# An Asked as what it is, and as it is found in a set.
_Way = tuple[str, str | None, bool, str, bool]


class Record(msgspec.Struct, frozen=True):
    """A distinct statement, when it was first asked for, and the rule that had something against it."""

    asked: Asked
    statement: Analysis
    rule: str | None
    time: datetime


class Recorder:
    """Appends to the records at `path`, which have `most_bytes` and `most_records` at most.

    One for each process; safe between threads. The file is opened when there is something to record.
    """

    def __init__(self, path: Path, *, most_bytes: int, most_records: int = MOST_RECORDS) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._most_records = most_records
        self._turn = threading.Lock()
        self._known: set[tuple[_Way, str]] = set()
        self._file = -1
        self._read = 0  # how much of the file is known
        self._look_at = 0.0  # when to look at the path again, on the clock of time.monotonic
        self._rest_until = 0.0
        self._said: str | None = None  # what the log was told last of why nothing is recorded

    def record(self, asked: Asked, statement: Analysis, rule: str | None) -> None:
        """Records the statement, if it is new. Raises nothing that its file could cause."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + PAUSE_S
            self._forget_what_was_moved()
        key = (asked, statement.digest)
        if key in self._known or now < self._rest_until:
            return
        try:
            with self._alone():
                self._append(key, Record(asked, statement, rule, datetime.now(UTC).replace(microsecond=0)))
        except (OSError, NoRecords) as error:
            self._rest(getattr(error, "strerror", None) or str(error))
        else:
            self._said = None

    def close(self) -> None:
        """Closes the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._read = -1, 0
        self._known = set()

    def _rest(self, reason: str) -> None:
        self._rest_until = time.monotonic() + PAUSE_S
        metrics.not_recorded()
        if self._said != reason:
            self._said = reason
            log.error("record_failed", file=self._path.name, reason=reason)

    def _forget_what_was_moved(self) -> None:
        """The statements are recorded anew where the file was moved away or emptied."""
        if self._file >= 0 and not self._is_there() and self._turn.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._turn.release()

    def _is_there(self) -> bool:
        try:
            there = self._path.stat()
        except OSError:
            return False
        mine = os.fstat(self._file)
        return (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev) and there.st_size >= self._read

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Opens the file and keeps other threads and processes out of it. Raises OSError."""
        if not self._turn.acquire(timeout=_LOCK_TIMEOUT_S):
            raise TimeoutError("the records are locked")
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _lock(self._file)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._turn.release()

    def _append(self, key: tuple[Asked, str], record: Record) -> None:
        """Raises NoRecords for a file of something else, or one that is full."""
        self._take_in()
        if key in self._known:
            return
        line = msgspec.json.encode(record, order="deterministic") + b"\n"
        if len(self._known) >= self._most_records or self._read + len(line) > self._most_bytes:
            raise NoRecords("the records are full")
        try:
            written = os.write(self._file, line)
        except OSError:
            os.ftruncate(self._file, self._read)
            raise
        if written < len(line):
            os.ftruncate(self._file, self._read)
            raise OSError(f"{written} of {len(line)} bytes were written: the disk is full")
        self._read += written
        self._known.add(key)

    def _take_in(self) -> None:
        """Reads what others have written. What a crash cut off is removed: its statement will come again."""
        size = os.fstat(self._file).st_size
        if size <= self._read:
            return
        if size > 2 * self._most_bytes:
            raise NoRecords("the records are full")
        added = os.pread(self._file, size - self._read, self._read)
        whole, _, torn = added.rpartition(b"\n")
        keys = {_key(line) for line in whole.splitlines()}
        if torn and torn[: len(_START)] != _START[: len(torn)]:
            raise NoRecords("not a file of records")
        if torn:
            os.ftruncate(self._file, size - len(torn))
        self._known |= keys
        self._read = size - len(torn)


def read(path: Path) -> list[Record]:
    """The records in a file. Raises NoRecords, which names the first line that is none, and OSError."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [_record(line, path, number) for number, line in enumerate(lines, 1)]


def _record(line: bytes, path: Path, number: int) -> Record:
    if not line.endswith(b"\n"):
        raise NoRecords(f"{path.name}, line {number}: the line is cut off; remove it: its statement will come again")
    try:
        return msgspec.json.decode(line, type=Record)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoRecords(f"{path.name}, line {number}: not a record of statements") from None


class _Named(msgspec.Struct, frozen=True):
    digest: str


class _Line(msgspec.Struct, frozen=True):
    """As much of a record as tells it from others; not checked as a Record is, which would take ten times as long."""

    asked: _Way
    statement: _Named


def _key(line: bytes) -> tuple[_Way, str]:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoRecords("not a file of records") from None
    return found.asked, found.statement.digest


def _lock(file: int) -> None:
    """Waits by sleeping, which lets a worker's other requests go on. Raises TimeoutError."""
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError("the records are locked by another process") from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            return
