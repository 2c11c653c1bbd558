"""The border between gatekeeper and proxy: who is let in by certificate, and what SQL's own port lets in."""

import contextlib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from contract.errors import Unavailable
from contract.roles import dns_name
from contract.settings import Tls
from deploy import certificates, local
from gatekeeper.settings import Settings
from gatekeeper.upstream import Proxies
from tests.live.proxy_fixtures import wait_until
from tests.live.raw_http import exchange, statuses
from tests.live.system_fixtures import LiveSystem
from tests.live.test_faults import answers

SELECT = b'{"query": "SELECT 1", "effect": "read"}'


def handshake(system: LiveSystem, role: str | None, name: str = dns_name("proxy")) -> bytes:
    """What the proxy answers to a request on a connection with the certificate of that role, or without one."""
    directory = system.files.directory / "certificates"
    context = ssl.create_default_context(cafile=str(system.services.credentials(system.services.proxies[0]).authority))
    if role is not None:
        issued = certificates.issue(directory, role, f"test-{role}")  # type: ignore[arg-type]
        context.load_cert_chain(str(issued.certificate), str(issued.key))
    host, _, port = system.services.proxies[0].listen.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        secure.sendall(
            b"POST /endpoint HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(SELECT), SELECT)
        )
        answer = b""
        while chunk := secure.recv(65536):
            answer += chunk
        return answer


def test_a_gatekeepers_certificate_is_let_in(system: LiveSystem) -> None:
    assert b"200 OK" in handshake(system, "gatekeeper")


def test_an_operators_certificate_is_not(system: LiveSystem) -> None:
    answer = handshake(system, "operator")
    assert b"403" in answer.splitlines()[0]
    assert b"peer_role" in answer


@pytest.mark.parametrize("role", [None, "proxy"])
def test_neither_no_certificate_nor_a_servers_gets_through_the_handshake(system: LiveSystem, role: str | None) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(system, role)


def test_the_proxy_does_not_pass_for_another_role(system: LiveSystem) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(system, "gatekeeper", dns_name("gatekeeper"))


def test_plain_http_gets_nothing_from_a_proxy(system: LiveSystem) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{system.services.proxies[0].listen}/nodes", timeout=30)


def test_peers_that_do_not_shake_hands_keep_nobody_out_for_long(system: LiveSystem) -> None:
    host, _, port = system.services.proxies[0].listen.rpartition(":")
    with contextlib.ExitStack() as idle:
        for _ in range(1_050):
            idle.enter_context(socket.create_connection((host, int(port)), timeout=30))
        wait_until(lambda: b"200 OK" in handshake(system, "gatekeeper"), 20)
    assert "Traceback" not in system.logs()


def test_a_gatekeeper_sends_nothing_to_what_is_no_proxy(system: LiveSystem, tmp_path: Path) -> None:
    """Another service of the deployment, with a valid certificate, stands where the proxy should."""
    other = certificates.issue(system.files.directory / "certificates", "orchestrator", "test-other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(other.certificate), str(other.key))
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)
        received = pool.submit(received_by, listener, context)
        proxies = Proxies(settings_for(system, listener.getsockname()[1], tmp_path))
        with pytest.raises(Unavailable) as failure:
            proxies.post(SELECT, request_id="r", accept="*/*", timeout_ms=3000, is_read=False)
        assert failure.value.outcome == "not_executed"
        assert received.result(timeout=60) == b""


def received_by(listener: socket.socket, context: ssl.SSLContext) -> bytes:
    """What comes through the first connection, after the handshake if there is one."""
    plain, _ = listener.accept()
    with plain:
        try:
            with context.wrap_socket(plain, server_side=True) as secure:
                return secure.recv(100)
        except (ssl.SSLError, ConnectionError):
            return b""


def settings_for(system: LiveSystem, port: int, directory: Path) -> Settings:
    own = system.services.credentials(system.services.gatekeeper)
    return Settings(
        name="gatekeeper1",
        listen="127.0.0.1:1",
        proxies=(f"https://127.0.0.1:{port}",),
        policy="",
        keys="",
        runtime_directory=str(directory),
        tls=Tls(str(own.certificate), str(own.key), str(own.authority)),
    )


HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /endpoint HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer KEY\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
COMPLETE = b'{"query":"SELECT 1"}'


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", [414]),
        (b"GET /" + b"a" * 9_000_000, [414]),
        (HEALTHZ + b"A: " + b"a" * 9_000 + b"\r\n\r\n", [431]),
        (HEALTHZ + b"A: a\r\n" * 70 + b"\r\n", [431]),
        (HEALTHZ + b"A: " + b"a" * 900_000, [431]),
        (POST + b"Content-Length: 1048576\r\n\r\n", [413]),
        (CHUNKED + b"100000\r\n" + b"a" * (1 << 20) + b"\r\n0\r\n\r\n", [413]),
        (CHUNKED + b"100000\r\n" + COMPLETE.ljust(1 << 20) + b"\r\n1\r\nx\r\n0\r\n\r\n", [413]),
        (CHUNKED + b"100000;" + b"a" * 9_000 + b"\r\n", [400]),
    ],
    ids=[
        "line",
        "line-without-end",
        "header",
        "headers",
        "header-without-end",
        "length",
        "chunks",
        "complete-at-the-limit",
        "chunk-extension",
    ],
)
def test_what_is_too_large_is_refused_by_gunicorn_alone(system: LiveSystem, sent: bytes, expected: list[int]) -> None:
    received = exchange(system.services.gatekeeper.listen, sent.replace(b"KEY", system.key.encode()))
    assert statuses(received) == expected
    assert b"application/problem+json" in received
    assert b'"outcome":"not_executed"' in received


def test_certificates_are_rotated_by_a_command(system: LiveSystem) -> None:
    before = presented(system)
    local.rotate_certificates(system.files)
    wait_until(lambda: presented(system) not in {before, b""}, 20)
    wait_until(lambda: answers(system), 20)


def presented(system: LiveSystem) -> bytes:
    """The certificate that the proxy shows now; none when the worker that was asked is just ending."""
    own = system.services.credentials(system.services.gatekeeper)
    context = ssl.create_default_context(cafile=str(own.authority))
    context.load_cert_chain(str(own.certificate), str(own.key))
    host, _, port = system.services.proxies[0].listen.rpartition(":")
    with (
        contextlib.suppress(ConnectionError, TimeoutError),
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=dns_name("proxy")) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""
    return b""
