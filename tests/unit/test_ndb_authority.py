"""The authority of NDB's nodes: what it signs, what it takes from a request, and which certificates it replaces."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.certificates import CertificateError
from deploy.roles import ndb_authority
from deploy.roles.ndb_authority import CLIENT, DATA_NODE, MANAGEMENT, Authority, Kind
from tests.unit.pretended_ndb import REQUEST, authority_files

ADDRESS = "10.0.0.7"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    files = authority_files()
    made = Authority(tmp_path)
    made.take(files["ndb-authority.pem"], files["ndb-authority.key"])
    return made


def test_its_key_is_its_owners_alone(authority: Authority, tmp_path: Path) -> None:
    assert authority.exists
    assert (tmp_path / "ndb-authority.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("kind", "title", "bound"),
    [
        pytest.param(DATA_NODE, "NDB Data Node", False, id="data node"),
        pytest.param(MANAGEMENT, "NDB Management Node", True, id="management server"),
        pytest.param(CLIENT, "NDB Node", True, id="SQL node"),
    ],
)
def test_a_certificate_tells_the_kind_of_node_and_is_bound_as_ndb_sign_keys_binds_it(
    authority: Authority, kind: Kind, title: str, *, bound: bool
) -> None:
    signed, issuer = x509.load_pem_x509_certificates(authority.signed(REQUEST, kind, ADDRESS))
    signed.verify_directly_issued_by(issuer)
    name = str(signed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    assert name.startswith(f"{title} ")
    names = [extension.value for extension in signed.extensions]
    assert names == ([x509.SubjectAlternativeName([x509.DNSName(ADDRESS)])] if bound else [])


def test_a_node_can_not_ask_to_be_another(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "NDB Management Node Nov 2026")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    signed = x509.load_pem_x509_certificate(authority.signed(asked, DATA_NODE, ADDRESS))
    assert "Data Node" in signed.subject.rfc4514_string()
    assert list(signed.extensions) == []
    assert signed.public_key() == key.public_key()


def test_what_is_no_request_is_refused_with_the_machine_that_sent_it(authority: Authority) -> None:
    with pytest.raises(CertificateError, match=ADDRESS):
        authority.signed(b"nothing", DATA_NODE, ADDRESS)


def test_a_certificate_is_kept_while_its_kind_its_authority_and_its_end_are_right(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = authority.signed(REQUEST, DATA_NODE, ADDRESS)
    assert authority.is_good(signed, DATA_NODE)
    assert not authority.is_good(signed, CLIENT)
    assert not authority.is_good(b"", DATA_NODE)
    (tmp_path / "another").mkdir()
    another = Authority(tmp_path / "another")
    another.make()
    assert not another.is_good(signed, DATA_NODE)
    monkeypatch.setattr(ndb_authority, "DAYS", 3 * 398 + 3)
    assert not authority.is_good(signed, DATA_NODE)


def test_the_first_end_is_the_one_that_counts(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    late = authority.signed(REQUEST, DATA_NODE, ADDRESS)
    monkeypatch.setattr(ndb_authority, "DAYS", 1)
    soon = authority.signed(REQUEST, DATA_NODE, ADDRESS)
    end = ndb_authority.first_end([late, soon])
    assert end is not None
    assert end < datetime.now(UTC) + timedelta(days=2)
    assert ndb_authority.first_end([]) is None
