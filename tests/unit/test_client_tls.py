"""The client and the certificate of what it talks to."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from client import Client
from contract.errors import GatekeeperError, Unavailable
from tests.unit.test_client import KEY, Gateway, serving


def _self_signed(path: Path, address: str) -> str:
    """A file with a key and a certificate for the address that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a gatekeeper of the tests")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(minutes=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return str(path)


@pytest.fixture(name="identity", params=["127.0.0.1"])
def _identity(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return _self_signed(tmp_path / "gatekeeper.pem", request.param)


@pytest.fixture(name="gateway")
def _gateway(identity: str) -> Iterator[Gateway]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    with Gateway(context) as gateway, serving(gateway):
        yield gateway


def test_a_gatekeeper_whose_certificate_the_authority_signed_is_asked(gateway: Gateway, identity: str) -> None:
    with Client(gateway.url, KEY, ca=identity) as client:
        assert client.query("SELECT 1").node == "data2"


def _assert_refused(gateway: Gateway, ca: str | None) -> None:
    with Client(gateway.url, KEY, ca=ca) as client, pytest.raises(Unavailable, match="certificate") as caught:
        client.query("DELETE FROM film")
    assert (caught.value.outcome, caught.value.retryable) == ("not_executed", False)
    assert not gateway.seen


def test_a_certificate_of_an_unknown_authority_is_refused_before_the_key_is_sent(gateway: Gateway) -> None:
    _assert_refused(gateway, ca=None)


@pytest.mark.parametrize("identity", ["127.0.0.2"], indirect=True)
def test_a_certificate_for_another_address_is_refused_before_the_key_is_sent(gateway: Gateway, identity: str) -> None:
    _assert_refused(gateway, ca=identity)


def test_a_gatekeeper_that_speaks_no_tls_is_an_error_of_the_tree() -> None:
    with Gateway() as gateway, serving(gateway):
        url = gateway.url.replace("http:", "https:")
        with Client(url, KEY) as client, pytest.raises(GatekeeperError):
            client.query("SELECT 1")
        assert not gateway.seen
