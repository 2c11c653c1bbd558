"""Which requests are plain, and that they are answered as the others are."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from contract import plain
from contract.errors import GatekeeperError, RateLimited, Unauthenticated, UpstreamFailed
from contract.peers import Reply
from gatekeeper import keys
from gatekeeper.app import create_app
from gatekeeper.settings import Settings
from tests.unit.pretended_upstream import PretendedUpstream

POLICY = """
[roles.reader]
kinds = ["select"]
read = ["shop.*"]
default_database = "shop"
"""
QUERY = {"query": "SELECT a FROM t"}
HEAD = {
    "Host": "localhost:8080",
    "Authorization": "Bearer gk_x",
    "Content-Type": "application/json",
    "Content-Length": "17",
}


def raw(line: str = "POST /endpoint HTTP/1.1", **changed: str | None) -> bytes:
    """A request's head, with headers changed, added, or (None) left out."""
    headers = {**HEAD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def test_a_plain_request_is_read_with_its_headers_and_where_its_body_is() -> None:
    begun = raw(Accept="*/*", Connection="Keep-Alive", X_Request_ID="r1", Idempotency_Key="k 1") + b"x" * 20
    head = plain.head_of(begun)
    assert head is not None
    assert begun[head.start : head.end] == b"x" * 17
    assert head.headers["authorization"] == "Bearer gk_x"
    assert head.headers["x-request-id"] == "r1"


NOT_PLAIN = {
    "nothing": b"",
    "half a head": raw()[:-2],
    "another method": raw("GET /endpoint HTTP/1.1"),
    "another path": raw("POST /endpoint/ HTTP/1.1"),
    "a query string": raw("POST /endpoint?a=1 HTTP/1.1"),
    "a whole address": raw("POST http://localhost/endpoint HTTP/1.1"),
    "an older HTTP": raw("POST /endpoint HTTP/1.0"),
    "two spaces in the line": raw("POST  /endpoint HTTP/1.1"),
    "a line before the line": b"\r\n" + raw(),
    "no host": raw(Host=None),
    "no length": raw(Content_Length=None),
    "no body": raw(Content_Length="0"),
    "a length with a sign": raw(Content_Length="+17"),
    "a length with a zero before it": raw(Content_Length="017"),
    "two lengths in one": raw(Content_Length="17, 17"),
    "a length over the limit": raw(Content_Length=str(1 << 20)),
    "a very long length": raw(Content_Length="9" * 30),
    "a body in chunks": raw(Transfer_Encoding="chunked"),
    "a body in chunks, and no length": raw(Transfer_Encoding="chunked", Content_Length=None),
    "a header twice": raw().replace(b"Host: ", b"Host: a\r\nHost: "),
    "a length twice, in other letters": raw().replace(b"Host: ", b"content-length: 3\r\nHost: "),
    "an unknown header": raw(X_Other="1"),
    "another media type": raw(Content_Type="text/plain"),
    "a media type with parameters": raw(Content_Type="application/json; charset=utf-8"),
    "an answer that is a stream": raw(Accept="text/csv"),
    "a connection that ends": raw(Connection="close"),
    "an upgrade": raw(Connection="Upgrade"),
    "an expectation": raw(Expect="100-continue"),
    "no space before the value": raw().replace(b"Host: ", b"Host:"),
    "a space at the value's end": raw().replace(b"localhost:8080", b"localhost:8080 "),
    "a tab": raw().replace(b"Host: ", b"Host:\t"),
    "a space before the colon": raw().replace(b"Host: ", b"Host : "),
    "a folded line": raw().replace(b"localhost:8080", b"localhost\r\n :8080"),
    "a bare line feed": raw().replace(b"\r\nHost", b"\nHost"),
    "a bare carriage return": raw().replace(b"localhost", b"local\rhost"),
    "a null": raw().replace(b"localhost", b"local\0host"),
    "a letter beyond ASCII": raw(Host="localh\xf6st"),
    "an empty value": raw(Host=""),
    "a name with an underscore": raw().replace(b"Content-Type", b"Content_Type"),
    "a head that is too long": raw(User_Agent="x" * 8_190),
}


@pytest.mark.parametrize("begun", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_whatever_differs_is_not_plain(begun: bytes) -> None:
    assert plain.head_of(begun + b"x" * 17) is None


@given(st.integers(0, len(raw()) - 1), st.binary(min_size=1, max_size=2))
def test_a_plain_head_has_the_length_that_it_names_whatever_was_changed(at: int, put: bytes) -> None:
    begun = raw()[:at] + put + raw()[at + 1 :]
    head = plain.head_of(begun)
    if head is not None:
        assert begun[: head.start].count(b"\r\n\r\n") == 1
        assert begun[: head.start].lower().count(b"content-length: ") == 1
        assert b"\r\nContent-Length: %d\r\n" % (head.end - head.start) in begun[: head.start].replace(
            b"content-length", b"Content-Length"
        )


def test_an_answer_in_one_piece_has_its_length_and_one_in_pieces_is_chunked() -> None:
    whole = b"".join(plain.encoded(plain.Answer(200, {"A": "b"}, b"{}"), last=False))
    assert whole.startswith(b"HTTP/1.1 200 OK\r\nA: b\r\nDate: ")
    assert whole.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
    pieces = b"".join(plain.encoded(plain.Answer(503, {}, [b"abc", b"", b"d"]), last=True))
    assert pieces.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert pieces.endswith(b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")


class Upstream(PretendedUpstream):
    """A proxy that answers so."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[], Reply] = lambda: Reply(200, {"Content-Type": "application/json"}, b'{"x":1}')

    def post(self, body: bytes, **_arguments: Any) -> Reply:
        assert body
        return self.answer()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def gatekeeper(tmp_path: Path, upstream: Upstream) -> tuple[Flask, str]:
    (tmp_path / "policy.toml").write_text(POLICY)
    settings = Settings(
        name="gatekeeper1",
        listen="127.0.0.1:1",
        proxies=("http://127.0.0.1:1",),
        policy=str(tmp_path / "policy.toml"),
        keys=str(tmp_path / "keys.json"),
        runtime_directory=str(tmp_path),
        log_level="ERROR",
    )
    key = keys.add(tmp_path / "keys.json", "reader", "reader")
    return create_app(settings, upstream), key


def _raising(error: Exception) -> Callable[[], Reply]:
    def answer() -> Reply:
        raise error

    return answer


ANSWERS: dict[str, Callable[[], Reply]] = {
    "rows": lambda: Reply(200, {"Content-Type": "application/json", "X-Gatekeeper-Node": "data1"}, b'{"rows":[]}'),
    "a problem of the proxy": lambda: Reply(
        503, {"Content-Type": "application/problem+json", "Retry-After": "1"}, b"1"
    ),
    "a proxy that is lost": _raising(UpstreamFailed("lost", outcome="unknown")),
    "too many": _raising(RateLimited("too many", rule="rate", retry_after_s=7)),
    "no key": _raising(Unauthenticated("a key is needed")),
    "a fault of ours": _raising(ValueError("with a secret")),
}
BODIES = {
    "as it should be": json.dumps(QUERY).encode(),
    "refused": b'{"query": "SELECT a FROM other.t"}',
    "not JSON": b"{",
    "another shape": b'{"query": 1}',
    "unparsable": b'{"query": "SELEKT"}',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("known", [True, False], ids=["a known key", "an unknown key"])
def test_a_plain_request_is_answered_as_any_other(
    gatekeeper: tuple[Flask, str], upstream: Upstream, answer: Callable[[], Reply], body: bytes, known: bool
) -> None:
    app, key = gatekeeper
    upstream.answer = answer
    headers = {"Authorization": f"Bearer {key if known else 'gk_unknown'}", "X-Request-ID": "r1"}
    long = app.test_client().post("/endpoint", data=body, headers={**headers, "Content-Type": "application/json"})
    request = plain.Request("r1", {name.lower(): value for name, value in headers.items()}, body, "127.0.0.1", None)
    short = plain.answered(app.extensions["plain"], request)
    assert (short.status, short.body) == (long.status_code, long.data)
    given_headers = {name: value for name, value in long.headers.items() if name != "Content-Length"}
    assert dict(short.headers) == given_headers


def test_a_place_is_kept_until_a_plain_answer_was_sent(gatekeeper: tuple[Flask, str], upstream: Upstream) -> None:
    app, key = gatekeeper
    ended = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"

        def close(self) -> None:
            ended.append(True)

    upstream.answer = lambda: Reply(200, {"Content-Type": "application/json"}, Body())  # type: ignore[arg-type]
    request = plain.Request("r1", {"authorization": f"Bearer {key}"}, json.dumps(QUERY).encode(), "127.0.0.1", None)
    answer = plain.answered(app.extensions["plain"], request)
    assert b"".join(plain.encoded(answer, last=False)).endswith(b"1\r\na\r\n0\r\n\r\n")
    assert not ended
    answer.close()
    assert ended == [True]


def test_an_error_that_is_no_answer_is_a_problem_without_its_text() -> None:
    def broken(_request: plain.Request) -> plain.Answer:
        raise RuntimeError("an invented secret")

    answer = plain.answered(broken, plain.Request("r1", {}, b"{}", "", None))
    assert isinstance(answer.body, bytes)
    problem = json.loads(answer.body)
    assert (answer.status, problem["code"], problem["request_id"]) == (500, "internal_error", "r1")
    assert "invented" not in str(problem)


def test_problems_of_both_ways_are_made_in_one_place() -> None:
    error: GatekeeperError = RateLimited("too many", retry_after_s=3)
    answer = plain.problem(error, "r1")
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers["X-Request-ID"] == "r1"
