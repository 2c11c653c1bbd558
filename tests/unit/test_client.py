"""The client against a real HTTP server on loopback that answers as the test says."""

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from client import Client
from contract.errors import (
    BY_CODE,
    BadRequest,
    DatabaseRefused,
    DeadlineExceeded,
    Forbidden,
    GatekeeperError,
    RateLimited,
    TooLarge,
    Unavailable,
    UpstreamFailed,
)
from contract.messages import MAX_BODY_BYTES, Answer, Column, NodesAnswer, NodeStatus

KEY = "gk_test-key"
REQUEST_ID = "4f6e7a"

ANSWER = Answer(
    request_id=REQUEST_ID,
    node="data2",
    implementation="customized_hit",
    attempts=1,
    elapsed_ms=1.8,
    columns=[Column("title", "VARCHAR"), Column("rental_rate", "DECIMAL"), Column("picture", "BLOB")],
    rows=[["FROZEN MERIDIAN", "2.90", "AP8="], ['A, "B"', None, None]],
    affected_rows=0,
    last_insert_id=None,
    truncated=False,
)
NODES = NodesAnswer(
    proxy="proxy1",
    engine="galera",
    tunnel="openssh",
    inventory_problem=None,
    nodes=[
        NodeStatus("data1", "data", "up", "Synced", 0.42, 1, 10, 2, 3),
        NodeStatus("data2", "data", "down", "", None, 0, 0, 0, 0),
    ],
)


class Request(msgspec.Struct, frozen=True):
    """What the gateway was asked."""

    path: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps what was asked and lets the gateway's `reply` answer it."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: else Nagle and the delayed acknowledgement cost 40 ms an answer
    server: "Gateway"

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Request(self.path, dict(self.headers), body, self.client_address))
        self.server.reply(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Nothing: what failed is in the test."""

    def respond(self, status: int, media_type: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Gateway(http.server.ThreadingHTTPServer):
    """A gatekeeper that answers what the test sets as `reply`, on a port that the system chose."""

    daemon_threads = True  # a handler that waits for the next request of a connection must not hold up the end

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.seen: list[Request] = []
        self.released = threading.Event()
        self.scheme = "https" if tls else "http"
        self.answers(ANSWER)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that goes away is what some tests are about."""

    def answers(self, message: Any, *, status: int = 200, media_type: str = "application/json", **headers: str) -> None:
        body = message if isinstance(message, bytes) else msgspec.json.encode(message)
        self.reply: Callable[[Handler], None] = lambda handler: handler.respond(status, media_type, body, **headers)

    def refuses(self, error: GatekeeperError, **headers: str) -> None:
        problem = error.problem(REQUEST_ID)
        self.answers(problem, status=problem.status, media_type="application/problem+json; charset=utf-8", **headers)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.seen]


@contextmanager
def serving(gateway: Gateway) -> Iterator[None]:
    """The gateway answers inside of this."""
    thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        gateway.released.set()
        gateway.shutdown()
        thread.join(timeout=60)


@pytest.fixture(name="gateway")
def _gateway() -> Iterator[Gateway]:
    with Gateway() as gateway, serving(gateway):
        yield gateway


@pytest.fixture(name="client")
def _client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway.url, KEY, timeout_ms=3000) as client:
        yield client


def test_a_statement_is_asked_and_its_rows_come_back_as_python_values(gateway: Gateway, client: Client) -> None:
    result = client.query("SELECT 1")
    assert list(result) == [("FROZEN MERIDIAN", Decimal("2.90"), b"\x00\xff"), ('A, "B"', None, None)]
    assert (len(result), result.node, result.implementation, result.request_id) == (
        2,
        "data2",
        "customized_hit",
        REQUEST_ID,
    )
    assert result.dicts()[1] == {"title": 'A, "B"', "rental_rate": None, "picture": None}
    assert gateway.seen[0].path == "/endpoint"
    assert gateway.seen[0].headers["Authorization"] == f"Bearer {KEY}"
    assert gateway.seen[0].headers["Content-Type"] == "application/json"


def test_a_request_holds_what_was_asked_for_and_nothing_else(gateway: Gateway, client: Client) -> None:
    client.query("SELECT ?", [b"a"], implementation="ping", database="rental", timeout_ms=700)
    client.query("SELECT :id", {"id": 2**60})
    assert gateway.bodies() == [
        {
            "query": "SELECT ?",
            "params": [{"$bytes": "YQ=="}],
            "implementation": "ping",
            "database": "rental",
            "timeout_ms": 700,
        },
        {"query": "SELECT :id", "params": {"id": 2**60}, "timeout_ms": 3000},
    ]


def test_one_connection_serves_many_requests(gateway: Gateway, client: Client) -> None:
    for _ in range(5):
        client.query("SELECT 1")
    assert len({request.peer for request in gateway.seen}) == 1


def test_each_request_has_an_id_of_its_own(gateway: Gateway, client: Client) -> None:
    client.query("SELECT 1")
    client.query("SELECT 1")
    assert len({request.headers["X-Request-ID"] for request in gateway.seen}) == 2


def test_the_nodes_are_asked_for(gateway: Gateway, client: Client) -> None:
    gateway.answers({"proxies": [NODES]})
    assert client.nodes() == [NODES]
    assert gateway.seen[0].path == "/nodes"


@pytest.mark.parametrize("code", BY_CODE)
def test_a_problem_becomes_the_error_that_it_stands_for(gateway: Gateway, client: Client, code: str) -> None:
    gateway.refuses(BY_CODE[code]("no", outcome="rolled_back", retryable=True))
    with pytest.raises(GatekeeperError, match="no") as caught:
        client.query("SELECT 1")
    assert type(caught.value) is BY_CODE[code]
    assert (caught.value.outcome, caught.value.retryable) == ("rolled_back", True)
    assert caught.value.request_id == REQUEST_ID


def test_the_databases_own_words_are_kept(gateway: Gateway, client: Client) -> None:
    gateway.refuses(DatabaseRefused("Table 'rental.nope' doesn't exist", mysql_errno=1146, sqlstate="42S02"))
    with pytest.raises(DatabaseRefused, match="nope") as caught:
        client.query("SELECT * FROM nope")
    assert (caught.value.mysql_errno, caught.value.sqlstate) == (1146, "42S02")


def test_retry_after_is_kept_in_seconds(gateway: Gateway, client: Client) -> None:
    gateway.refuses(RateLimited("slower", retryable=True), Retry_After="7")
    with pytest.raises(RateLimited) as caught:
        client.query("SELECT 1")
    assert caught.value.retry_after_s == 7


def test_a_retry_after_that_is_a_date_is_left_out(gateway: Gateway, client: Client) -> None:
    gateway.refuses(RateLimited("slower"), Retry_After="Fri, 31 Dec 2027 23:59:59 GMT")
    with pytest.raises(RateLimited) as caught:
        client.query("SELECT 1")
    assert caught.value.retry_after_s is None


def _answer_with_row(*values: Any) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(ANSWER, rows=[list(values)]))


FOREIGN: dict[str, dict[str, Any]] = {
    "an error page": {"status": 502, "media_type": "text/html", "message": b"<h1>Bad Gateway</h1>"},
    "a redirect": {"status": 302, "message": b"", "Location": "http://127.0.0.1:1/"},
    "a page with status 200": {"media_type": "text/html", "message": b"<h1>Welcome</h1>"},
    "another object": {"message": b'{"rows": []}'},
    "nothing": {"message": b""},
    "a broken problem": {"status": 500, "media_type": "application/problem+json", "message": b"{"},
    "a problem without outcome": {
        "status": 500,
        "media_type": "application/problem+json",
        "message": b'{"type": "about:blank"}',
    },
    "a row that is too short": {"message": _answer_with_row("x")},
    "a decimal that is none": {"message": _answer_with_row("x", "y", "")},
}


@pytest.mark.parametrize("answer", FOREIGN.values(), ids=FOREIGN)
def test_an_answer_that_was_not_agreed_on_leaves_the_outcome_unknown(
    gateway: Gateway, client: Client, answer: dict[str, Any]
) -> None:
    gateway.answers(**answer)
    with pytest.raises(UpstreamFailed) as caught:
        client.query("SELECT 1")
    assert caught.value.outcome == "unknown"
    assert len(gateway.seen) == 1


def test_a_gatekeeper_that_is_not_there_has_executed_nothing() -> None:
    with socket.socket() as bound:  # bound but not listening: nobody else can have the port, and nobody answers
        bound.bind(("127.0.0.1", 0))
        with Client(f"http://127.0.0.1:{bound.getsockname()[1]}", KEY) as client, pytest.raises(Unavailable) as caught:
            client.query("DELETE FROM film")
    assert caught.value.outcome == "not_executed"
    assert "refused" in caught.value.detail
    assert caught.value.request_id


def test_a_name_that_leads_nowhere_has_executed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with Client("http://gatekeeper.example", KEY) as client, pytest.raises(Unavailable) as caught:
        client.query("SELECT 1")
    assert caught.value.outcome == "not_executed"
    assert "Name or service not known" in caught.value.detail


def _hang_up(handler: Handler) -> None:
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def _hang_up_within_the_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"request_id"')
    _hang_up(handler)


@pytest.mark.parametrize("reply", [_hang_up, _hang_up_within_the_body], ids=["no answer", "half an answer"])
def test_a_connection_lost_after_the_request_leaves_the_outcome_unknown(
    gateway: Gateway, client: Client, reply: Callable[[Handler], None]
) -> None:
    gateway.reply = reply
    with pytest.raises(UpstreamFailed) as caught:
        client.query("DELETE FROM film")
    assert caught.value.outcome == "unknown"
    assert len(gateway.seen) == 1


def _until_released(handler: Handler) -> None:
    handler.server.released.wait(20)


def test_an_answer_that_does_not_come_is_not_waited_for_much_longer_than_the_deadline(
    gateway: Gateway, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.transport.GRACE_S", 0.1)
    gateway.reply = _until_released
    with pytest.raises(DeadlineExceeded) as caught:
        client.query("SELECT 1", timeout_ms=100)
    assert caught.value.outcome == "unknown"


def test_the_environments_proxy_and_netrc_are_not_used(
    gateway: Gateway, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    client.query("SELECT 1")
    assert gateway.seen[0].headers["Authorization"] == f"Bearer {KEY}"


def test_a_body_over_the_limit_is_refused_before_it_is_sent(gateway: Gateway, client: Client) -> None:
    with pytest.raises(TooLarge) as caught:
        client.query("SELECT ?", ["x" * MAX_BODY_BYTES])
    assert caught.value.outcome == "not_executed"
    assert not gateway.seen


def test_half_a_surrogate_pair_is_refused_before_it_is_sent(gateway: Gateway, client: Client) -> None:
    with pytest.raises(BadRequest, match="surrogate"):
        client.query("SELECT '\ud800'")
    assert not gateway.seen


@pytest.mark.parametrize("timeout_ms", [0, -1, 600_001])
def test_a_timeout_outside_the_limits_is_refused(client: Client, timeout_ms: int) -> None:
    with pytest.raises(BadRequest, match="timeout_ms"):
        client.query("SELECT 1", timeout_ms=timeout_ms)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "https://",
        "http://host:99999",
        "http://a..b",
        "http://host?key=1",
        "http://u:secret@host",
    ],
)
def test_a_url_that_is_none_is_refused_without_repeating_what_it_holds(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort|label|host") as caught:
        Client(url, KEY)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"], ids=["empty", "blank", "line", "letter"])
def test_a_key_that_is_none_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="the key is not one") as caught:
        Client("http://127.0.0.1:1", key)
    assert not key or key not in str(caught.value)


def test_a_clients_representation_shows_no_key() -> None:
    with Client("http://127.0.0.1:1/", KEY) as client:
        assert repr(client) == "Client('http://127.0.0.1:1')"


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "not PEM"])
def test_a_ca_file_that_holds_no_certificate_is_noticed_at_once(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(ValueError, match="no CA certificates"):
        Client("https://127.0.0.1:1", KEY, ca=str(tmp_path / "ca.pem"))


def test_the_error_of_a_refusal_names_its_rule(gateway: Gateway, client: Client) -> None:
    gateway.refuses(Forbidden("staff.password may not be read", rule="column"))
    with pytest.raises(Forbidden) as caught:
        client.query("SELECT password FROM staff")
    assert caught.value.rule == "column"
