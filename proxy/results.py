"""How an answer is written: one JSON object, or a stream of NDJSON or CSV with bounded memory. docs/api.md has both."""

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from contract.errors import Problem
from contract.messages import Answer, Column
from contract.web import CSV

# Rows are gathered into chunks of about this size: one write to the client each.
_CHUNK_BYTES = 32 << 10

_encoder = msgspec.json.Encoder()


class StreamHead(msgspec.Struct, frozen=True):
    """The first line of an NDJSON answer."""

    request_id: str
    node: str
    implementation: str
    attempts: int
    columns: list[Column]


class StreamTail(msgspec.Struct, frozen=True):
    """The last line of an NDJSON answer that ended well; one that did not ends with a Problem."""

    row_count: int
    affected_rows: int
    last_insert_id: int | None
    truncated: bool
    elapsed_ms: float


def ndjson(
    head: StreamHead, rows: Iterable[tuple[Any, ...]], end: Callable[[], StreamTail | Problem]
) -> Iterator[bytes]:
    """The lines of an NDJSON answer: head, an array a row, and the tail or the problem that `end` gives."""
    yield _encoder.encode(head) + b"\n"
    yield from _chunks(_encoder.encode(row) + b"\n" for row in rows)
    yield _encoder.encode(end()) + b"\n"


def csv(columns: list[Column], rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    """The lines of a CSV answer (RFC 4180): the labels, then the rows. NULL is empty, an empty string is quoted."""
    yield _csv_line([column.name for column in columns])
    yield from _chunks(map(_csv_line, rows))


def rendered(answer: Answer, media_type: str) -> Iterator[bytes]:
    """A collected answer in the form of a stream."""
    if media_type == CSV:
        return csv(answer.columns, map(tuple, answer.rows))
    head = StreamHead(answer.request_id, answer.node, answer.implementation, answer.attempts, answer.columns)
    tail = StreamTail(
        len(answer.rows), answer.affected_rows, answer.last_insert_id, answer.truncated, answer.elapsed_ms
    )
    return ndjson(head, map(tuple, answer.rows), lambda: tail)


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size >= _CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)


def _csv_line(values: Iterable[Any]) -> bytes:
    return (",".join(map(_csv_field, values)) + "\r\n").encode()


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    text = str(value)
    if not text or any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
