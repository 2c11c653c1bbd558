"""The deployment's own certificate authority, and a certificate for each service, by role (contract/roles.py).

    DIRECTORY/authority.pem, authority.key    the authority: signs certificates only, no further authorities
    DIRECTORY/NAME.pem, NAME.key              a service's: subject CN is its name, the role stands in the SAN

A role says which end of a connection its holder may be (extended key usage), so that a stolen gatekeeper's
certificate can't pose as a proxy. All of it follows RFC 5280 strictly, as OpenSSL's VERIFY_X509_STRICT (the default
of Python 3.13) asks: key identifiers, critical basic constraints and key usage.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contract.roles import DOMAIN, Role, dns_name
from deploy.secrets import WORLD_READABLE, private_directory, write_file

AUTHORITY = "authority"
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365

_CLOCK_SKEW = timedelta(minutes=5)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_USAGES: dict[str, tuple[x509.ObjectIdentifier, ...]] = {
    "proxy": (_SERVER,),
    "gatekeeper": (_CLIENT,),  # the certificate of the public edge is another one, and nginx's affair
    "orchestrator": (_SERVER, _CLIENT),
    "operator": (_CLIENT,),
}


class CertificateError(ValueError):
    """A certificate can't be issued or read; the text says why."""


class Credentials(msgspec.Struct, frozen=True):
    """Where a service's certificate, its key and the authority's certificate lie, in PEM."""

    certificate: Path
    key: Path
    authority: Path


def create_authority(directory: Path) -> Path:
    """The path of the authority's certificate; the authority is made if the directory has none."""
    certificate, key = _paths(directory, AUTHORITY)
    if not (certificate.exists() and key.exists()):
        private_directory(directory)
        private_key = ec.generate_private_key(ec.SECP256R1())
        _write_key(key, private_key)
        _write_certificate(certificate, _sign_authority(private_key))
    return certificate


def issue(directory: Path, role: Role, name: str, days: int = CERTIFICATE_DAYS) -> Credentials:
    """The credentials of service `name` in its role, valid for `days`; the authority must be there.

    An existing certificate is kept while the authority, role and name fit and a third of `days` is left. Raises
    CertificateError.
    """
    _check(role, name)
    certificate, key = _paths(directory, name)
    authority_certificate, _ = _paths(directory, AUTHORITY)
    authority = _read(authority_certificate)
    if key.exists() and certificate.exists() and _still_good(certificate, authority, role, name, days):
        return Credentials(certificate, key, authority_certificate)
    return renew(directory, role, name, days)


def renew(directory: Path, role: Role, name: str, days: int = CERTIFICATE_DAYS) -> Credentials:
    """New credentials of service `name`, whatever it had before. Raises CertificateError.

    Key and certificate are replaced one after the other; a service reads both when it starts or is told to reload.
    """
    _check(role, name)
    certificate, key = _paths(directory, name)
    authority_certificate, authority_key = _paths(directory, AUTHORITY)
    private_key = ec.generate_private_key(ec.SECP256R1())
    unsigned = _unsigned(_read(authority_certificate), private_key.public_key(), role, name, days)
    signed = unsigned.sign(_read_key(authority_key), hashes.SHA256())
    _write_key(key, private_key)
    _write_certificate(certificate, signed)
    return Credentials(certificate, key, authority_certificate)


def expires(path: Path) -> datetime:
    """When the certificate in the file ends, in UTC. Raises CertificateError."""
    return _read(path).not_valid_after_utc


def _check(role: str, name: str) -> None:
    if role not in _USAGES:
        raise CertificateError(f"unknown role {role!r}; known are {', '.join(get_args(Role))}")
    if not _NAME.match(name) or name == AUTHORITY:
        raise CertificateError(f"{name!r} can't be a service's name: letters, digits, '.', '_' and '-', up to 63")


def _sign_authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = _subject(f"authority of {DOMAIN}")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    within = x509.NameConstraints([x509.DNSName(DOMAIN)], None)
    return (
        _builder(subject, subject, key.public_key(), timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(within, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )


def _unsigned(
    authority: x509.Certificate, key: ec.EllipticCurvePublicKey, role: Role, name: str, days: int
) -> x509.CertificateBuilder:
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(_subject(name), authority.subject, key, timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USAGES[role]), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name(role))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _still_good(path: Path, authority: x509.Certificate, role: Role, name: str, days: int) -> bool:
    certificate = _read(path)
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return (
        names.get_values_for_type(x509.DNSName) == [dns_name(role)]
        and certificate.subject == _subject(name)
        and left > timedelta(days=days) / 3
    )


def _paths(directory: Path, name: str) -> tuple[Path, Path]:
    return directory / f"{name}.pem", directory / f"{name}.key"


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"{path} can't be read: {error.strerror}") from None
    except ValueError:
        raise CertificateError(f"{path} is not a certificate in PEM") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise CertificateError(f"{path} can't be read: {error.strerror}") from None
    except ValueError:
        raise CertificateError(f"{path} is not a private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path} is not an elliptic curve key")
    return key


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_file(path, certificate.public_bytes(serialization.Encoding.PEM), WORLD_READABLE)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_file(path, pem)
