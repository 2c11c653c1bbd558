"""nginx in front of the gatekeeper, as deploy/nginx.py configures it: what it lets through, and what it says itself."""

import json
import os
import secrets
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from client import Client
from deploy import nginx
from deploy.nginx import Edge
from tests.live.nginx_fixtures import ADDRESS, LiveNginx, edge, needs_nginx, nginx_before, plain_edge
from tests.live.proxy_fixtures import wait_until
from tests.live.raw_http import exchange, executed, lines_of, statuses
from tests.live.system_fixtures import LiveSystem

__all__ = ["edge", "plain_edge"]

pytestmark = needs_nginx
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /endpoint HTTP/1.1\r\nHost: x\r\n"
QUERY = {"query": "SELECT title FROM film WHERE film_id = ?", "params": [42], "database": "rental"}


def ask(
    live: LiveNginx, system: LiveSystem, method: str = "POST", path: str = "/endpoint", **arguments: Any
) -> requests.Response:
    """An exchange through nginx, with the system's key and, for POST, a good query if nothing else is given."""
    headers = {"Authorization": f"Bearer {system.key}", **arguments.pop("headers", {})}
    if method == "POST":
        arguments.setdefault("json", QUERY)
    return requests.request(method, live.url + path, headers=headers, verify=live.certificate, timeout=60, **arguments)


def assert_problem(response: requests.Response, status: int, code: str) -> None:
    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (problem["code"], problem["outcome"]) == (code, "not_executed")
    assert problem["request_id"] == response.headers["X-Request-ID"]


def test_the_client_asks_through_nginx_over_tls(system: LiveSystem, edge: LiveNginx) -> None:
    with Client(edge.url, system.key, ca=edge.certificate) as client:
        answer = client.query("SELECT title FROM film WHERE film_id = ?", [42], database="rental")
        assert answer.rows == (("DUSTY ORCHARD",),)


def test_plain_http_is_sent_to_tls(edge: LiveNginx) -> None:
    response = requests.get(f"http://{edge.plain_address}/healthz?a=b", allow_redirects=False, timeout=30)
    assert (response.status_code, response.headers["Location"]) == (308, f"{edge.url}/healthz?a=b")


def test_plain_http_is_answered_as_tls_is_where_that_is_asked_for(system: LiveSystem) -> None:
    """And promises no TLS there (RFC 6797, 7.2)."""
    with nginx_before(system.services.gatekeeper.listen, tls=True, plain="serve") as live:
        key = {"Authorization": f"Bearer {system.key}"}
        plain = requests.post(f"http://{live.plain_address}/endpoint", json=QUERY, headers=key, timeout=60)
        secure = ask(live, system)
        assert plain.json()["rows"] == secure.json()["rows"] == [["DUSTY ORCHARD"]]
        assert "Strict-Transport-Security" not in plain.headers
        assert secure.headers["Strict-Transport-Security"] == "max-age=63072000"
        assert requests.get(f"http://{live.plain_address}/metrics", timeout=10).status_code == 404
        wrong = requests.post(f"http://{live.plain_address}/endpoint", json=QUERY, timeout=60)
        assert_problem(wrong, 401, "unauthenticated")
        assert "Strict-Transport-Security" not in wrong.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/nodes"])
def test_what_is_public_is_served(system: LiveSystem, edge: LiveNginx, path: str) -> None:
    response = ask(edge, system, "GET", path)
    assert response.status_code == 200
    assert response.headers["Strict-Transport-Security"] == "max-age=63072000"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Server"] == "nginx"


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/", "//endpoint", "/endpoint/", "/healthz/../metrics", "/problem/400", "/Endpoint", "/endpoint%00"],
)
def test_nothing_else_is(system: LiveSystem, edge: LiveNginx, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    with (
        socket.create_connection((ADDRESS, edge.port), timeout=30) as plain,
        edge.trusting().wrap_socket(plain, server_hostname=ADDRESS) as secure,
    ):
        secure.sendall(request)
        assert secure.recv(65536).split()[1] in {b"404", b"400"}


def test_the_metrics_are_on_no_path_of_nginx(system: LiveSystem, edge: LiveNginx) -> None:
    assert (
        "gatekeeper_requests_total"
        in requests.get(f"http://{system.services.gatekeeper.metrics_listen}", timeout=30).text
    )
    assert_problem(ask(edge, system, "GET", "/metrics"), 404, "not_found")


def test_the_request_id_of_the_caller_goes_through_and_a_bad_one_is_replaced(
    system: LiveSystem, edge: LiveNginx
) -> None:
    given = f"mine-{secrets.token_hex(4)}"
    assert ask(edge, system, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given
    made = ask(edge, system, headers={"X-Request-ID": 'bad"id'}).headers["X-Request-ID"]
    assert (len(made), executed(system, made)) == (32, 1)


def test_a_problem_of_the_gatekeeper_is_passed_on(system: LiveSystem, edge: LiveNginx) -> None:
    response = ask(edge, system, headers={"Authorization": "Bearer wrong"})
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "X-Gatekeeper-Code" not in response.headers


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", 505, "bad_request"),
        (b"nonsense\x01\r\n\r\n", 400, "bad_request"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "too_large"),
        (HEALTHZ + b"A: " + b"a" * 9_000 + b"\r\n\r\n", 431, "too_large"),
        (HEALTHZ + (b"A: " + b"a" * 8_000 + b"\r\n") * 5 + b"\r\n", 431, "too_large"),
        (POST + b"Content-Length: 1048576\r\n\r\n", 413, "too_large"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n100000\r\n" + b"a" * (1 << 20), 413, "too_large"),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"),
    ],
    ids=["version", "line", "long-line", "long-header", "long-headers", "long-body", "long-chunks", "trace"],
)  # fmt: skip
def test_what_nginx_refuses_is_a_problem(plain_edge: LiveNginx, sent: bytes, status: int, code: str) -> None:
    received = exchange(plain_edge.address, sent)
    assert statuses(received) == [status]
    head, _, body = received.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert b"\r\nContent-Type: application/problem+json" in head
    assert (problem["status"], problem["code"], problem["outcome"]) == (status, code, "not_executed")
    assert f"X-Request-ID: {problem['request_id']}".encode() in head


def test_plain_http_where_tls_is_spoken_is_a_bad_request(edge: LiveNginx) -> None:
    assert statuses(exchange(edge.address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) == [400]


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
def test_a_stream_goes_through_whole(system: LiveSystem, edge: LiveNginx, accept: str) -> None:
    body = {"query": "SELECT rental_id FROM rental ORDER BY rental_id", "database": "rental"}
    through = ask(edge, system, json=body, headers={"Accept": accept})
    assert through.headers["Transfer-Encoding"] == "chunked"
    assert (
        through.text.splitlines()[1:100] == system.send(json=body, headers={"Accept": accept}).text.splitlines()[1:100]
    )


def test_a_gatekeeper_that_is_not_there_executed_nothing(system: LiveSystem) -> None:
    with socket.create_server((ADDRESS, 0)) as unused:
        gone = f"{ADDRESS}:{unused.getsockname()[1]}"
    with nginx_before(gone, tls=False) as live:
        response = ask(live, system)
        assert_problem(response, 502, "upstream_failed")
        assert response.json()["retryable"] is True
        assert gone not in response.text + str(response.headers)


def test_of_a_gatekeeper_that_goes_away_in_the_middle_nothing_is_known(system: LiveSystem) -> None:
    with socket.create_server((ADDRESS, 0)) as listener:
        listener.settimeout(20)
        with nginx_before(f"{ADDRESS}:{listener.getsockname()[1]}", tls=False) as live:
            request = b"POST /endpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
            with socket.create_connection((ADDRESS, live.port), timeout=20) as client:
                client.sendall(request)
                upstream, _ = listener.accept()
                upstream.recv(65536)
                upstream.close()
                problem = json.loads(client.recv(65536).partition(b"\r\n\r\n")[2])
    assert (problem["status"], problem["outcome"], problem["retryable"]) == (502, "unknown", False)


def test_the_gatekeeper_is_told_of_the_peer_by_nginx_alone(plain_edge: LiveNginx) -> None:
    with socket.create_server((ADDRESS, 0)) as listener:
        listener.settimeout(20)
        with (
            nginx_before(f"{ADDRESS}:{listener.getsockname()[1]}", tls=False) as live,
            socket.create_connection((ADDRESS, live.port), timeout=20) as client,
        ):
            client.sendall(
                b"GET /healthz HTTP/1.1\r\nHost: evil\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"
                b"X-Real-IP: 1.2.3.4\r\nX_Forwarded_For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nProxy: evil\r\n"
                b"Upgrade: h2c\r\nConnection: Upgrade\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n"
            )
            upstream, _ = listener.accept()
            with upstream:
                seen = upstream.recv(65536).decode().lower()
    names = [line.partition(":")[0] for line in seen.splitlines()[1:] if line]
    assert sorted(names) == ["host", "x-forwarded-for", "x-forwarded-proto", "x-request-id"]
    assert f"x-forwarded-for: {ADDRESS}\r\n" in seen
    assert "x-forwarded-proto: http\r\n" in seen
    assert "evil" not in seen
    assert "1.2.3.4" not in seen


def test_one_address_gets_so_many_requests_at_once_and_no_more(system: LiveSystem) -> None:
    with nginx_before(system.services.gatekeeper.listen, tls=False, connections_per_address=3) as live:
        head = b"POST /endpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        busy = [socket.create_connection((ADDRESS, live.port), timeout=30) for _ in range(3)]
        try:
            for connection in busy:
                connection.sendall(head)
            wait_until(lambda: ask(live, system, "GET", "/healthz").status_code == 503)
            response = ask(live, system, "GET", "/healthz")
            assert_problem(response, 503, "unavailable")
            assert response.headers["Retry-After"] == "1"
        finally:
            for connection in busy:
                connection.close()
        wait_until(lambda: ask(live, system, "GET", "/healthz").status_code == 200)


def test_the_logs_have_neither_query_nor_key_nor_what_was_refused(system: LiveSystem, plain_edge: LiveNginx) -> None:
    marker, own_id = f"marker{secrets.token_hex(6)}", f"log-{secrets.token_hex(4)}"
    query = f"/endpoint?database=rental&query=SELECT+'{marker}'"
    assert ask(plain_edge, system, "GET", query, headers={"X-Request-ID": own_id}).status_code == 200
    for odd in (
        f"GET /{marker} HTTP/1.1",
        f"GET {query} x",
        f"{marker} / HTTP/1.1",
        f"GET / HTTP/1.1\r\n{marker}: a\x00b",
    ):
        exchange(plain_edge.address, f"{odd}\r\nHost: x\r\nAuthorization: Bearer {system.key}\r\n\r\n".encode())
    wait_until(lambda: own_id in plain_edge.logs())
    line = next(line for line in lines_of(plain_edge.access_log) if line["request_id"] == own_id)
    assert (line["method"], line["path"], line["status"], line["peer"]) == ("GET", "/endpoint", 200, ADDRESS)
    assert marker not in plain_edge.logs() + system.logs()
    assert system.key not in plain_edge.logs() + system.logs()


def test_a_server_of_the_distribution_takes_the_configuration(tmp_path: Path, edge: LiveNginx) -> None:
    """With a user, as root starts it; `-t` opens the certificate, the key, the logs and the addresses."""
    for name in ("log", "state"):
        (tmp_path / name).mkdir()
    text = nginx.render(
        Edge(
            server_name="sql.example.org",
            listen=edge.address,
            plain_listen=edge.plain_address,
            gatekeeper="127.0.0.1:8080",
            certificate=edge.edge.certificate,
            user="www-data" if os.geteuid() == 0 else None,
            pid=tmp_path / "nginx.pid",
            logs=tmp_path / "log",
            state=tmp_path / "state",
        )
    )
    path = tmp_path / "nginx.conf"
    path.write_text(text)
    done = subprocess.run(
        ["/usr/sbin/nginx", "-t", "-q", "-c", str(path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
