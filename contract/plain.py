"""Requests in their plainest form, which is nearly every one, and answers to them: without a framework in between.

A plain request is a POST to /endpoint whose head, as it came, is one match of a strict expression, with known headers
only, each once, and a body of a given length behind it. It can be read in one way only. Whatever differs, even by a
space, is no plain request, and gunicorn and Flask read it from its first byte: what they refuse is refused as ever.

It is here for speed: docs/benchmarks.md has what the other way costs.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from contract.errors import PROBLEM_MEDIA_TYPE, GatekeeperError, InternalError
from contract.messages import MAX_BODY_BYTES

log = structlog.get_logger()

JSON: Final = "application/json"
CODE_HEADER: Final = "X-Gatekeeper-Code"  # of a problem; between the services only

MOST_HEAD_BYTES: Final = 8_190
# Of a body that is put behind its head, so that both are sent at once.
_MOST_JOINED_BYTES: Final = 65_536
_HEAD = re.compile(rb"POST /endpoint HTTP/1\.1\r\n((?:[A-Za-z-]+: [\x21-\x7e][\x20-\x7e]*\r\n)+)\r\n")
_LENGTH = re.compile(r"[1-9][0-9]{0,6}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What may stand in such a head. Of these, the ones that say how a request is to be read have one value each.
_NAMES = frozenset(
    {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "idempotency-key",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-request-id",
    }
)


class Request(msgspec.Struct, frozen=True):
    """A plain request: its headers, by their names in small letters, its body, and whom it came from.

    `request_id`: the caller's where it is well formed; `peer`: the address; `socket`: the connection's, whose
    certificate tells the peer's roles.
    """

    request_id: str
    headers: Mapping[str, str]
    body: bytes
    peer: str
    socket: Any


class Answer(msgspec.Struct, frozen=True):
    """An answer to any request. `close` is called when the body was sent, or can't be."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes]
    close: Callable[[], None] = lambda: None


Handler = Callable[[Request], Answer]


class Head(msgspec.Struct, frozen=True):
    """A plain request's headers, and where its body begins and ends in what was received."""

    headers: Mapping[str, str]
    start: int
    end: int


def head_of(begun: bytes) -> Head | None:
    """The head of a plain request at the beginning of these bytes; None where there is none."""
    match = _HEAD.match(begun, 0, MOST_HEAD_BYTES)
    if match is None:
        return None
    lines = match[1].decode("ascii").split("\r\n")
    lines.pop()
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    length = headers.get("content-length", "")
    if len(headers) < len(lines) or not _is_plain(headers) or not _LENGTH.fullmatch(length):
        return None
    return Head(headers, match.end(), match.end() + int(length)) if int(length) < MAX_BODY_BYTES else None


def _is_plain(headers: Mapping[str, str]) -> bool:
    return (
        headers.keys() <= _NAMES
        and "host" in headers
        and headers.get("content-type") == JSON
        and headers.get("accept", JSON) in {JSON, "*/*"}
        and headers.get("connection", "keep-alive").lower() == "keep-alive"
        and not any(value[-1] == " " for value in headers.values())
    )


def request_id_of(given: str | None) -> str:
    """The caller's X-Request-ID where it is well formed, else a new one."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def answered(handler: Handler, request: Request) -> Answer:
    """What the handler answers; an error as a problem."""
    try:
        return handler(request)
    except GatekeeperError as error:
        return problem(error, request.request_id)
    except Exception as error:
        return unexpected(error, request.request_id)


def problem(error: GatekeeperError, request_id: str) -> Answer:
    """The error as application/problem+json (RFC 9457), with Retry-After where the error has one."""
    headers = {"Content-Type": PROBLEM_MEDIA_TYPE, CODE_HEADER: error.code}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    headers["X-Request-ID"] = request_id
    return Answer(error.status, headers, msgspec.json.encode(error.problem(request_id)))


def unexpected(error: Exception, request_id: str) -> Answer:
    """A fault of ours as a problem without its text, which the log has."""
    log.error("unhandled", request_id=request_id, exc_info=error)
    fault = InternalError("an internal error; the log has it under the request id", outcome="unknown")
    return problem(fault, request_id)


def encoded(answer: Answer, *, last: bool) -> Iterator[bytes]:
    """The answer's bytes. `last`: the connection is closed after it. A body in pieces is sent in chunks."""
    lines = [_status_line(answer.status), *(f"{name}: {value}" for name, value in answer.headers.items())]
    lines.append(_date(int(time.time())))
    if last:
        lines.append("Connection: close")
    if isinstance(answer.body, bytes):
        lines.append(f"Content-Length: {len(answer.body)}\r\n\r\n")
        head = "\r\n".join(lines).encode("latin-1")
        if len(answer.body) > _MOST_JOINED_BYTES:  # which would be there twice
            yield head
            yield answer.body
        else:
            yield head + answer.body
        return
    lines.append("Transfer-Encoding: chunked\r\n\r\n")
    yield "\r\n".join(lines).encode("latin-1")
    for piece in answer.body:
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"


@lru_cache(maxsize=2)
def _date(now_s: int) -> str:
    return f"Date: {formatdate(now_s, usegmt=True)}"
