"""The lowest version of TLS at every border that speaks it: the proxy's listener and nginx."""

import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from contract.roles import dns_name
from tests.live.nginx_fixtures import ADDRESS, LiveNginx, edge, needs_nginx
from tests.live.system_fixtures import LiveSystem
from tests.unit.test_client_tls import _self_signed

__all__ = ["edge"]

OLD = ssl.TLSVersion.TLSv1_1
GOOD = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Border(msgspec.Struct, frozen=True):
    """Where TLS is spoken, and what a client must have and know to be let in."""

    address: str
    name: str
    authority: str
    certificate: tuple[str, str] | None


@pytest.fixture(params=["proxy", pytest.param("nginx", marks=needs_nginx)])
def border(system: LiveSystem, request: pytest.FixtureRequest) -> Border:
    if request.param == "nginx":
        live: LiveNginx = request.getfixturevalue("edge")
        return Border(live.address, ADDRESS, live.certificate, None)
    own = system.services.credentials(system.services.gatekeeper)
    certificate = (str(own.certificate), str(own.key))
    return Border(system.services.proxies[0].listen, dns_name("proxy"), str(own.authority), certificate)


def speaking(version: ssl.TLSVersion, authority: str) -> ssl.SSLContext:
    """A client that speaks this version alone, with whatever OpenSSL still has for it."""
    context = ssl.create_default_context(cafile=authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    limit_to(context, version)
    return context


def limit_to(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = version


@contextmanager
def connected(border: Border, version: ssl.TLSVersion) -> Iterator[ssl.SSLSocket]:
    context = speaking(version, border.authority)
    if border.certificate:
        context.load_cert_chain(*border.certificate)
    host, _, port = border.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=border.name) as secure,
    ):
        yield secure


def test_the_old_version_is_refused_in_the_handshake(border: Border) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)), connected(border, OLD):
        pass


@pytest.mark.parametrize("version", GOOD, ids=lambda version: version.name)
def test_the_good_versions_are_spoken_without_compression(border: Border, version: ssl.TLSVersion) -> None:
    with connected(border, version) as secure:
        secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 OK" in secure.recv(65536).splitlines()[0]
        assert secure.version() == version.name.replace("_", ".")
        assert secure.compression() is None


def test_the_old_client_of_these_tests_does_speak_its_version(tmp_path: Path) -> None:
    """Else it would be refused anywhere, and by itself."""
    certificate = _self_signed(tmp_path / "old.pem", ADDRESS)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    limit_to(server, OLD)
    with socket.create_server((ADDRESS, 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)
        greeted = pool.submit(greet, listener, server)
        border = Border(f"{ADDRESS}:{listener.getsockname()[1]}", ADDRESS, certificate, None)
        with connected(border, OLD) as secure:
            assert secure.version() == "TLSv1.1"
        greeted.result(timeout=60)


def greet(listener: socket.socket, context: ssl.SSLContext) -> None:
    plain, _ = listener.accept()
    with plain, context.wrap_socket(plain, server_side=True):
        pass


def test_a_client_can_not_renegotiate(border: Border) -> None:
    """A new handshake within a connection costs the server more than the client; `R` makes openssl ask for one."""
    command = ["openssl", "s_client", "-connect", border.address, "-tls1_2", "-servername", border.name]
    if border.certificate:
        command += ["-cert", border.certificate[0], "-key", border.certificate[1]]
    done = subprocess.run(command, input="R\n", capture_output=True, text=True, timeout=30, check=False)
    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stderr or "unexpected eof" in done.stderr or "reset" in done.stderr, done.stderr
