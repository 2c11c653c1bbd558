"""The chain of the audit log's lines: how a line is linked to the one before, and whether all of them still are."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

# The longest line names three times 200 tables (scopes.MAX_SOURCES), each by two names of 64 characters of 4 bytes.
MOST_LINE_BYTES = 512 << 10
_FIRST_LOOK = 8192
_HASH = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n\Z')
_HASH_BYTES = len(b',"hash":""}\n') + 64


_START = b'{"seq":'


class Link(msgspec.Struct, frozen=True):
    """Where a chain stands: the number of its last line, and that line's hash."""

    seq: int
    hash: str


BEGINNING = Link(0, "0" * 64)


class Verified(msgspec.Struct, frozen=True):
    """A sound chain: how many lines in how many files, where it begins and where it ends."""

    files: int
    lines: int
    first: int
    last: int
    hash: str


class BrokenChain(ValueError):
    """The first line that does not follow from those before it."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path.name}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class _Numbered(msgspec.Struct, frozen=True):
    seq: int
    previous: str | None = None


def linked(before: Link, time: str, content: bytes) -> tuple[bytes, Link]:
    """The line that a JSON object with members becomes after the one before, and its link. `time` is ISO 8601 UTC."""
    seq = before.seq + 1
    body = b'%b%d,"time":"%b",%b' % (_START, seq, time.encode(), content[1:])
    hashed = _hashed(before, body)
    return b'%b,"hash":"%b"}\n' % (body[:-1], hashed.encode()), Link(seq, hashed)


def last_link(file: int, size: int) -> tuple[Link | None, bytes]:
    """The link of a file's last whole line, None where it has none, and the torn line after it.

    Looks at the file's end, and further back only where a line is long.
    """
    window = _FIRST_LOOK
    while True:
        start = max(0, size - window)
        lines = os.pread(file, size - start, start).splitlines(keepends=True)
        torn = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(lines) > 1 or start == 0 or window > 2 * MOST_LINE_BYTES:
            return (_link_of(lines[-1]) if lines else None), torn
        window *= 4


def begins_a_line(torn: bytes) -> bool:
    """Whether these bytes are the beginning of an audit log's line, not of something else."""
    return torn[: len(_START)] == _START[: len(torn)]


def rotated_files(path: Path) -> list[Path]:
    """The full files that belong to the audit log at `path`, the oldest first."""
    found = [other for other in path.parent.iterdir() if re.fullmatch(re.escape(path.name) + r"\.\d{12,}", other.name)]
    return sorted(found, key=lambda other: int(other.suffix[1:]))


def verify(paths: Sequence[Path]) -> Verified:
    """Checks the chain through the files, which are put in order by their first line. Raises BrokenChain, OSError."""
    ordered = sorted(paths, key=lambda path: first.seq if (first := _first_of(path)) else 0)
    link: Link | None = None
    first = lines = 0
    for path in ordered:
        for number, line in _numbered_lines(path):
            link = _following(link, line, path, number, opens=number == 1)
            first = first or link.seq
            lines += 1
    if link is None:
        raise BrokenChain(ordered[0], 1, "there is no line")
    return Verified(len(ordered), lines, first, link.seq, link.hash)


def _following(link: Link | None, line: bytes, path: Path, number: int, *, opens: bool) -> Link:
    """The link of a line that follows `link`, or that begins a chain where that is None. Raises BrokenChain."""
    told, found = _link_of(line), _numbered(line)
    if told is None or found is None:
        raise BrokenChain(path, number, "not a line of an audit log")
    if opens and found.previous is None:
        raise BrokenChain(path, number, "the file's first line is missing")
    before = link or Link(found.seq - 1, found.previous or "")
    if found.seq != before.seq + 1:
        raise BrokenChain(path, number, f"it is number {found.seq}, and {before.seq + 1} was expected")
    if opens and found.previous != before.hash:
        raise BrokenChain(path, number, "it does not go on where the file before it ended")
    if _hashed(before, _body(line)) != told.hash:
        raise BrokenChain(path, number, "its hash does not fit: it was changed")
    return told


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(2 * MOST_LINE_BYTES):
            number += 1
            yield number, line


def _first_of(path: Path) -> _Numbered | None:
    return next((_numbered(line) for _, line in _numbered_lines(path)), None)


def _numbered(line: bytes) -> _Numbered | None:
    try:
        return msgspec.json.decode(line, type=_Numbered)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _link_of(line: bytes) -> Link | None:
    told, found = _HASH.search(line), _numbered(line)
    return Link(found.seq, told[1].decode()) if told and found else None


def _hashed(before: Link, body: bytes) -> str:
    return hashlib.sha256(before.hash.encode() + body).hexdigest()


def _body(line: bytes) -> bytes:
    """The object as it was hashed: without the member that carries the hash."""
    return line[:-_HASH_BYTES] + b"}"
