"""The authority for the traffic among NDB's nodes. Its key is on the operator's machine alone: who has it can join.

DIRECTORY/ndb-authority.pem, ndb-authority.key

A machine makes its own keys and asks with requests; only certificates travel. They are as ndb_sign_keys makes them: its
names of nodes are what each node looks for in its peers' certificates, and that of an SQL node or a management server
is bound to the machine's address.
See: https://dev.mysql.com/doc/refman/9.7/en/mysql-cluster-tls-using.html and ndb_sign_keys of 9.7.2.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from deploy.certificates import CertificateError
from deploy.secrets import WORLD_READABLE, write_file

DAYS: Final = 398
_AUTHORITY_DAYS: Final = 3650
# As ndb_sign_keys makes it.
_KEY_BITS: Final = 2048
_SUBJECT: Final = "MySQL NDB Cluster First Certificate"
_CLOCK_SKEW: Final = timedelta(minutes=5)


class Kind(msgspec.Struct, frozen=True):
    """A kind of node: ndb_sign_keys' word for it, the stem of its files, its name in certificates, whether bound."""

    word: str
    stem: str
    title: str
    bound: bool


DATA_NODE: Final = Kind("db", "ndb-data-node", "NDB Data Node", bound=False)
MANAGEMENT: Final = Kind("mgmd", "ndb-mgm-server", "NDB Management Node", bound=True)
CLIENT: Final = Kind("api", "ndb-api", "NDB Node", bound=True)


class Authority:
    """Signs what nodes ask for. `directory`: where its two files lie; `make` or `take` puts them there."""

    def __init__(self, directory: Path) -> None:
        self._certificate = directory / "ndb-authority.pem"
        self._key = directory / "ndb-authority.key"

    @property
    def exists(self) -> bool:
        """Whether both files are there."""
        return self._certificate.exists() and self._key.exists()

    def make(self) -> None:
        """A new key and its certificate."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        name = _name(_SUBJECT)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        signed = (
            _builder(name, name, _AUTHORITY_DAYS)
            .public_key(key.public_key())
            .add_extension(constraints, critical=True)
            .sign(key, hashes.SHA256())
        )
        self.take(_pem(signed), _key_pem(key))

    def take(self, certificate: bytes, key: bytes) -> None:
        """These two, in PEM, are the authority from now on."""
        write_file(self._key, key)
        write_file(self._certificate, certificate, WORLD_READABLE)

    @property
    def pem(self) -> bytes:
        """The certificate, which every node trusts."""
        return self._certificate.read_bytes()

    def signed(self, request: bytes, kind: Kind, address: str) -> bytes:
        """The certificate for the key of a request in PEM, as a node's file has it: the authority's follows.

        Nothing but the key is taken from the request, so that a node can't ask to be another. Raises CertificateError.
        """
        try:
            asked = x509.load_pem_x509_csr(request)
        except ValueError:
            raise CertificateError(f"{address} gave no request for a certificate in PEM") from None
        if not asked.is_signature_valid:
            raise CertificateError(f"{address} asks for a certificate of a key that it does not have")
        name = _name(f"{kind.title} {datetime.now(UTC):%b %Y}")
        builder = _builder(name, _read(self.pem).subject, DAYS).public_key(asked.public_key())
        if kind.bound:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(address)]), critical=True)
        return _pem(builder.sign(self._private_key(), hashes.SHA256())) + self.pem

    def is_good(self, certificate: bytes, kind: Kind) -> bool:
        """Whether a node's file has a certificate of this authority, with a third of its days left."""
        try:
            found = _read(certificate)
            found.verify_directly_issued_by(_read(self.pem))
        except (InvalidSignature, CertificateError, ValueError):
            return False
        common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        left = found.not_valid_after_utc - datetime.now(UTC)
        return str(common[0].value).startswith(f"{kind.title} ") and left > timedelta(days=DAYS) / 3

    def _private_key(self) -> rsa.RSAPrivateKey:
        key = serialization.load_pem_private_key(self._key.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CertificateError(f"{self._key} is not an RSA key")
        return key


def first_end(certificates: Iterable[bytes]) -> datetime | None:
    """When the first of these ends, in UTC; None of none. Raises CertificateError."""
    return min((_read(each).not_valid_after_utc for each in certificates), default=None)


def _read(pem: bytes) -> x509.Certificate:
    """The first certificate."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise CertificateError("a node's certificate is not in PEM") from None


def _builder(subject: x509.Name, issuer: x509.Name, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
