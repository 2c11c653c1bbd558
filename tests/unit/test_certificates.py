"""Certificates by role, proved with TLS handshakes on loopback."""

import os
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from contract.roles import Role, dns_name, roles_of
from deploy.certificates import AUTHORITY, CertificateError, Credentials, create_authority, expires, issue

TIMEOUT_S = 10


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a deployment's authority in it."""
    path = tmp_path / "certificates"
    create_authority(path)
    return path


def context(
    purpose: ssl.Purpose, own: Credentials, authority: Path, newest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    made = ssl.create_default_context(purpose, cafile=str(authority))
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(own.certificate, own.key)
    if newest:
        made.maximum_version = newest
    return made


class Server(threading.Thread):
    """Takes one connection over TLS, which it accepts only from a holder of a certificate, and keeps what it saw."""

    def __init__(self, own: Credentials, authority: Path) -> None:
        super().__init__(daemon=True)
        self.context = context(ssl.Purpose.CLIENT_AUTH, own, authority)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT_S)
        self.peer_roles: frozenset[str] = frozenset()
        self.refusal: ssl.SSLError | ConnectionError | None = None

    def run(self) -> None:
        with self.listener, self.listener.accept()[0] as plain:
            plain.settimeout(TIMEOUT_S)
            try:
                with self.context.wrap_socket(plain, server_side=True) as secure:
                    self.peer_roles = roles_of(secure.getpeercert())
                    secure.sendall(b"hello")
            except (ssl.SSLError, ConnectionError) as error:
                self.refusal = error

    def greet(self, client: ssl.SSLContext, role: Role = "proxy") -> str | None:
        """Connects as the client, which expects a server of the role; the version of TLS if the server said hello."""
        self.start()
        try:
            with (
                socket.create_connection(self.listener.getsockname(), timeout=TIMEOUT_S) as plain,
                client.wrap_socket(plain, server_hostname=dns_name(role)) as secure,
            ):
                return secure.version() if secure.recv(5) == b"hello" else None
        finally:
            self.join(TIMEOUT_S)


def reach(server: Credentials, client: Credentials, newest: ssl.TLSVersion | None = None) -> tuple[Server, str | None]:
    listening = Server(server, server.authority)
    return listening, listening.greet(context(ssl.Purpose.SERVER_AUTH, client, client.authority, newest))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_a_gatekeeper_reaches_a_proxy_which_sees_its_role(directory: Path, newest: ssl.TLSVersion) -> None:
    proxy, gatekeeper = issue(directory, "proxy", "proxy1"), issue(directory, "gatekeeper", "gatekeeper1")
    server, version = reach(proxy, gatekeeper, newest)
    assert version == newest.name.replace("_", ".")
    assert server.peer_roles == {"gatekeeper"}


@pytest.mark.parametrize("role", ["gatekeeper", "operator", "orchestrator"])
def test_another_roles_certificate_can_not_stand_for_a_proxys(directory: Path, role: Role) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        reach(issue(directory, role, "impostor"), issue(directory, "gatekeeper", "gatekeeper1"))


def test_a_gatekeepers_certificate_is_no_servers_whatever_name_is_asked_for(directory: Path) -> None:
    gatekeeper = issue(directory, "gatekeeper", "gatekeeper1")
    server = Server(gatekeeper, gatekeeper.authority)
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        server.greet(context(ssl.Purpose.SERVER_AUTH, gatekeeper, gatekeeper.authority), "gatekeeper")


def test_a_proxys_certificate_is_no_clients(directory: Path) -> None:
    proxy = issue(directory, "proxy", "proxy1")
    server = Server(proxy, proxy.authority)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.greet(context(ssl.Purpose.SERVER_AUTH, proxy, proxy.authority))
    assert isinstance(server.refusal, ssl.SSLCertVerificationError)


def test_an_orchestrator_is_a_server_and_a_client(directory: Path) -> None:
    orchestrator = issue(directory, "orchestrator", "orchestrator1")
    server = Server(orchestrator, orchestrator.authority)
    assert server.greet(context(ssl.Purpose.SERVER_AUTH, orchestrator, orchestrator.authority), "orchestrator")
    assert server.peer_roles == {"orchestrator"}


def test_a_server_of_another_authority_is_refused(directory: Path, tmp_path: Path) -> None:
    create_authority(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        reach(issue(tmp_path / "other", "proxy", "proxy1"), issue(directory, "gatekeeper", "gatekeeper1"))


def test_a_client_of_another_authority_is_refused(directory: Path, tmp_path: Path) -> None:
    create_authority(tmp_path / "other")
    proxy, stranger = issue(directory, "proxy", "proxy1"), issue(tmp_path / "other", "gatekeeper", "gatekeeper1")
    server = Server(proxy, proxy.authority)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.greet(context(ssl.Purpose.SERVER_AUTH, stranger, proxy.authority))
    assert isinstance(server.refusal, ssl.SSLCertVerificationError)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_keys_are_the_owners_whatever_the_umask(tmp_path: Path) -> None:
    create_authority(tmp_path / "new")
    issue(tmp_path / "new", "proxy", "proxy1")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {"authority.key": 0o600, "proxy1.key": 0o600, "authority.pem": 0o644, "proxy1.pem": 0o644}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_second_time_changes_nothing(directory: Path) -> None:
    issue(directory, "proxy", "proxy1")
    before = {path: path.read_bytes() for path in directory.iterdir()}
    create_authority(directory)
    issue(directory, "proxy", "proxy1")
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_a_certificate_that_ends_soon_is_renewed(directory: Path) -> None:
    first = issue(directory, "proxy", "proxy1", days=10)
    assert timedelta(days=9) < expires(first.certificate) - datetime.now(UTC) < timedelta(days=10)
    renewed = issue(directory, "proxy", "proxy1", days=100)
    assert expires(renewed.certificate) - datetime.now(UTC) > timedelta(days=99)


def test_a_certificate_of_another_role_or_authority_is_replaced(directory: Path) -> None:
    issue(directory, "operator", "one")
    assert reach(issue(directory, "proxy", "one"), issue(directory, "gatekeeper", "two"))[1]
    (directory / f"{AUTHORITY}.key").unlink()
    create_authority(directory)
    assert reach(issue(directory, "proxy", "one"), issue(directory, "gatekeeper", "two"))[1]


def test_the_authority_signs_no_further_authority(directory: Path) -> None:
    certificate = x509.load_pem_x509_certificate((directory / f"{AUTHORITY}.pem").read_bytes())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


@pytest.mark.parametrize("name", ["", "../proxy1", "a/b", ".hidden", "authority", "x" * 64, "line\n"])
def test_a_name_that_is_no_file_name_is_refused(directory: Path, name: str) -> None:
    with pytest.raises(CertificateError, match="can't be a service's name"):
        issue(directory, "proxy", name)


def test_an_unknown_role_is_answered_with_the_known_ones(directory: Path) -> None:
    with pytest.raises(CertificateError, match="known are gatekeeper, orchestrator, proxy, operator"):
        issue(directory, "node", "data1")  # type: ignore[arg-type]  # that is the mistake under test


def test_a_missing_or_broken_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"authority\.pem can't be read"):
        issue(tmp_path, "proxy", "proxy1")
    (tmp_path / "authority.pem").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"authority\.pem is not a certificate"):
        issue(tmp_path, "proxy", "proxy1")
