"""The audit log: one JSON line for each request with a known key, written before its statement is forwarded.

The lines are a chain: each ends with `hash`, the SHA-256 of the hash before it (64 hex digits) and of the line's own
text without the member `hash`. So a line that was changed, removed, moved or put in breaks the chain there
(gatekeeper/audit_chain.py checks it). All workers of a gatekeeper write one file, one after the other under a lock;
each finds the last hash at the file's end. A full file is renamed to NAME.000000001234, the number of its last line,
and a new one begins with the hash at which it ended. Files are never removed here: that is the operator's to do.

A line is in the kernel's hands when `write` returns, so it outlives a killed process; it is not synced to the disk.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from contract.errors import Unavailable
from gatekeeper.audit_chain import (
    BEGINNING,
    MOST_LINE_BYTES,
    Link,
    begins_a_line,
    last_link,
    linked,
    rotated_files,
)

log = structlog.get_logger()

# A busy machine may stop a process that has the lock for seconds; then requests wait rather than fail.
_LOCK_TIMEOUT_S = 5.0
_LOCK_PAUSE_S = 0.001


class AuditError(ValueError):
    """The audit log can't be opened, or does not end as an audit log does."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a request: who asked, what it was and what was decided. Never the key, never parameters.

    `digest` names the statement without its literals; `reads`, `writes` and `defines` are its tables, as
    schema.table. `code` and `rule` are those of the refusal; of what is only reported, `rule` and `detail` say what the
    policy has against it. `queued`: the id of the request for later that is asked for, looked at or cancelled;
    `transaction`: that of the transaction of several requests that is ended, or that a statement is run in.
    """

    request_id: str
    key: str
    role: str
    verdict: Literal["allowed", "refused", "reported"]
    kind: str | None = None
    effect: str | None = None
    digest: str | None = None
    database: str | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    code: str | None = None
    rule: str | None = None
    detail: str | None = None
    queued: str | None = None
    transaction: str | None = None


class _Opening(msgspec.Struct, frozen=True):
    """The line that opens a file: it says where the chain goes on."""

    opened_by: str
    previous: str


class AuditLog:
    """Writes the audit log at `path`, which has `most_bytes` at most. One for each process; safe between threads.

    Raises AuditError when the file can't be opened.
    """

    def __init__(self, path: Path, *, name: str, most_bytes: int) -> None:
        self._path = path
        self._name = name
        self._most_bytes = most_bytes
        self._turn = threading.Lock()
        self._file = -1
        self._known = (-1, BEGINNING)  # the file's size after the last line that this process wrote, and its link
        try:
            self._lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with self._alone():
                self._opened()
        except OSError as error:
            raise AuditError(f"{path.name} can't be opened: {error.strerror}") from None

    def write(self, entry: Entry) -> None:
        """Adds a line. Raises Unavailable when that can't be done: then nothing may be executed."""
        try:
            with self._alone():
                self._append(self._opened(), entry)
        except (OSError, AuditError) as error:
            log.error("audit_failed", reason=str(error))
            raise Unavailable("the audit log can't be written, so nothing is executed", rule="audit") from None

    def close(self) -> None:
        """Closes the files."""
        os.close(self._lock)
        if self._file >= 0:
            os.close(self._file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps the threads of this process out, then the other processes. Raises TimeoutError."""
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        if not self._turn.acquire(timeout=_LOCK_TIMEOUT_S):
            raise TimeoutError("the audit log is locked")
        try:
            while not _locked(self._lock):
                if time.monotonic() >= deadline:
                    raise TimeoutError("the audit log is locked by another process")
                time.sleep(_LOCK_PAUSE_S)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        finally:
            self._turn.release()

    def _opened(self) -> Link:
        """Sees to it that the open file is the one at the path and has room and a first line; returns its end."""
        if not self._is_open():
            self._open()
        size = os.fstat(self._file).st_size
        if size == 0:
            return self._begin()
        link = self._end(size)
        if size <= self._most_bytes:
            return link
        self._put_aside(link)
        return self._begin()

    def _is_open(self) -> bool:
        if self._file < 0:
            return False
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._file)
        return (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev)

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._known = (-1, BEGINNING)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _put_aside(self, link: Link) -> None:
        os.fsync(self._file)
        self._path.rename(self._path.with_name(f"{self._path.name}.{link.seq:012}"))
        self._open()

    def _begin(self) -> Link:
        earlier = rotated_files(self._path)
        before = _link_at_end(earlier[-1]) if earlier else BEGINNING
        return self._append(before, _Opening(self._name, before.hash))

    def _end(self, size: int) -> Link:
        """The last line's link. A line that was cut off, by a crash or a full disk, was never answered: it goes."""
        if size == self._known[0]:
            return self._known[1]
        link, torn = last_link(self._file, size)
        if torn and begins_a_line(torn):
            log.warning("audit_torn_line_removed", bytes=len(torn))
            os.ftruncate(self._file, size - len(torn))
            if len(torn) == size:
                return self._begin()
        elif torn:
            link = None
        if link is None:
            raise AuditError(f"{self._path.name} does not end with a line of an audit log")
        return link

    def _append(self, link: Link, content: Entry | _Opening) -> Link:
        size = os.fstat(self._file).st_size
        line, end = linked(link, _now(), msgspec.json.encode(content))
        if len(line) > MOST_LINE_BYTES:  # its end would not be found again
            raise AuditError(f"a line of {len(line)} bytes is too long")
        try:
            written = os.write(self._file, line)
        except OSError:
            os.ftruncate(self._file, size)
            raise
        if written < len(line):
            os.ftruncate(self._file, size)
            raise OSError(f"{written} of {len(line)} bytes were written: the disk is full")
        self._known = (size + written, end)
        return end


def _link_at_end(path: Path) -> Link:
    with path.open("rb") as file:
        link, _ = last_link(file.fileno(), path.stat().st_size)
    if link is None:
        raise AuditError(f"{path.name} does not end with a line of an audit log")
    return link


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
