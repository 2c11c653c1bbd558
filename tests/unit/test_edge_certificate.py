"""nginx's certificate where none is given: for exactly the names that are asked, made anew in time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from deploy import edge_certificate as subject
from deploy.edge_certificate import DAYS, edge_certificate

NAMES = {"names": ["gk.example"], "addresses": ["10.0.0.1", "2001:db8::1"]}


def make(directory: Path, **changes: list[str]) -> bytes:
    return edge_certificate(directory, "gatekeeper", **{**NAMES, **changes})[0].read_bytes()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """What is added to the time."""
    ahead = [timedelta(0)]
    monkeypatch.setattr(subject, "datetime", SimpleNamespace(now=lambda tz: datetime.now(tz) + ahead[0]))
    return ahead


def test_it_is_for_the_names_and_addresses_that_are_asked_and_can_sign_nothing(tmp_path: Path) -> None:
    made = x509.load_pem_x509_certificate(make(tmp_path))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gk.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == NAMES["addresses"]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_its_key_is_the_operators_alone(tmp_path: Path) -> None:
    certificate, key = edge_certificate(tmp_path, "gatekeeper", names=["gk.example"], addresses=[])
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in certificate.read_bytes()


def test_it_is_made_once(tmp_path: Path) -> None:
    assert make(tmp_path) == make(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"names": ["other.example"]}, {"names": []}, {"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"]}],
    ids=["another name", "no name", "another address", "an address less"],
)
def test_it_is_made_anew_for_other_names(tmp_path: Path, changes: dict[str, list[str]]) -> None:
    assert make(tmp_path) != make(tmp_path, **changes)


@pytest.mark.parametrize("lost", ["edge-gatekeeper.pem", "edge-gatekeeper.key"])
def test_it_is_made_anew_with_its_key_when_one_of_them_is_gone(tmp_path: Path, lost: str) -> None:
    before = make(tmp_path)
    (tmp_path / lost).unlink()
    assert make(tmp_path) != before


@pytest.mark.parametrize(("share", "anew"), [(0.66, False), (0.67, True), (1.5, True)])
def test_it_is_made_anew_when_a_third_of_its_time_is_left(
    tmp_path: Path, clock: list[timedelta], share: float, *, anew: bool
) -> None:
    before = make(tmp_path)
    clock[0] = timedelta(days=DAYS) * share
    assert (make(tmp_path) != before) is anew


def test_it_lives_no_longer_than_browsers_accept(tmp_path: Path) -> None:
    made = x509.load_pem_x509_certificate(make(tmp_path))
    assert made.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=398)
