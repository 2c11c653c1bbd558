"""A TLS context that follows its files, of which some are replaced before others."""

import ssl
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from contract import tls
from contract.tls import Following
from deploy import certificates
from deploy.certificates import Credentials


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    certificates.create_authority(tmp_path)
    return certificates.issue(tmp_path, "proxy", "proxy1")


def following(credentials: Credentials) -> Following:
    def make() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(credentials.certificate, credentials.key)
        return context

    return Following([str(credentials.certificate), str(credentials.key)], make)


def test_the_context_is_kept_while_the_files_are_the_same(credentials: Credentials) -> None:
    follows = following(credentials)
    assert follows.current() is follows.current()


def test_new_files_make_a_new_context(credentials: Credentials, tmp_path: Path) -> None:
    follows = following(credentials)
    before = follows.current()
    certificates.renew(tmp_path, "proxy", "proxy1")
    after = follows.current()
    assert after is not before
    assert follows.current() is after


def test_a_key_whose_certificate_is_still_to_come_changes_nothing_yet(credentials: Credentials, tmp_path: Path) -> None:
    follows = following(credentials)
    before = follows.current()
    new = certificates.issue(tmp_path, "proxy", "proxy2")
    new.key.replace(credentials.key)
    assert follows.current() is before
    new.certificate.replace(credentials.certificate)
    assert follows.current() is not before


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["none", "damaged"])
def test_a_certificate_that_can_not_be_read_is_said_and_the_last_one_stays(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    said = CapturingLogger()
    monkeypatch.setattr(tls, "log", said)
    follows = following(credentials)
    before = follows.current()
    credentials.certificate.unlink()
    if content:
        credentials.certificate.write_bytes(content)
    assert follows.current() is before
    assert [call.args for call in said.calls] == [("certificate_refused",)]


def test_the_first_reading_must_succeed(credentials: Credentials) -> None:
    credentials.key.write_bytes(b"no key")
    with pytest.raises(OSError, match="PEM"):
        following(credentials)
