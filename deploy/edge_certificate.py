"""A certificate for nginx where none is given: self-signed, so a client is told to trust exactly this one (`--ca`).

The services' authority can't sign it: it may sign names of the services' own domain only (deploy/certificates.py).
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.secrets import WORLD_READABLE, write_file

# The most that browsers accept: CA/Browser Forum, Baseline Requirements 6.3.2 (until 2026-03-15).
DAYS: Final = 398
_CLOCK_SKEW: Final = timedelta(minutes=5)


def edge_certificate(
    directory: Path, host: str, *, names: Sequence[str], addresses: Sequence[str]
) -> tuple[Path, Path]:
    """The certificate's and the key's path; made anew when it is for other names, or a third of its time is left."""
    certificate, key = directory / f"edge-{host}.pem", directory / f"edge-{host}.key"
    wanted: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    wanted += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    if not (key.exists() and certificate.exists() and _is_good(certificate, wanted)):
        private_key = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        write_file(key, private_key.private_bytes(serialization.Encoding.PEM, *pem))
        signed = _signed(private_key, host, wanted)
        write_file(certificate, signed.public_bytes(serialization.Encoding.PEM), WORLD_READABLE)
    return certificate, key


def _is_good(path: Path, wanted: Sequence[x509.GeneralName]) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return list(names) == list(wanted) and left > timedelta(days=DAYS) / 3


def _signed(key: ec.EllipticCurvePrivateKey, host: str, names: Sequence[x509.GeneralName]) -> x509.Certificate:
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
