"""MySQL NDB Cluster's archive: never unpacked unless it is the one that was asked for."""

import hashlib
from pathlib import Path

import pytest

from deploy.cluster import Tarball
from deploy.host import Done, HostError
from deploy.roles import tarball
from deploy.roles.tarball import WrongChecksum
from tests.unit.pretended_hosts import Pretended

CONTENT = b"an archive"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Tarball:
    path = tmp_path / "mysql.tar.xz"
    path.write_bytes(CONTENT)
    return Tarball(str(path), SHA256)


def test_the_archive_that_was_asked_for_is_taken(archive: Tarball) -> None:
    tarball.check(archive)


def test_another_archive_is_refused_with_both_checksums(archive: Tarball) -> None:
    Path(archive.source).write_bytes(b"another")
    with pytest.raises(WrongChecksum, match=rf"has the SHA-256 {hashlib.sha256(b'another').hexdigest()}, not {SHA256}"):
        tarball.check(archive)


@pytest.mark.parametrize(("name", "why"), [("nothing", "No such file"), ("", "Is a directory")])
def test_an_archive_that_can_not_be_read_is_named(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(WrongChecksum, match=f"can't be read: {why}"):
        tarball.check(Tarball(str(tmp_path / name), SHA256))


def test_it_is_checked_on_the_machine_before_it_is_unpacked_and_complete_only_then(archive: Tarball) -> None:
    host = Pretended()
    assert tarball.put(host, archive)
    assert CONTENT in host.given
    (script,) = host.ran("tar --extract")
    checked, unpacked, complete = (script.index(part) for part in ("sha256sum --check", "tar --extract", "/complete"))
    assert checked < unpacked < complete
    assert f"echo '{SHA256}  " in script


def test_what_is_there_whole_is_not_sent_again_and_what_was_cut_off_is_begun_anew(archive: Tarball) -> None:
    there = Pretended(answers={"/complete && echo y": "y\n"})
    assert not tarball.put(there, archive)
    assert len(there.scripts) == 1
    half = Pretended()
    tarball.put(half, archive)
    assert half.scripts[1].startswith(f"rm -rf /opt/mysql-cluster/{SHA256[:16]}; mkdir -p ")


def test_a_wrong_checksum_on_the_machine_is_told(archive: Tarball) -> None:
    said = f"the archive does not have the SHA-256 {SHA256}"
    host = Pretended(answers={"sha256sum --check": Done("", said, 1)})
    with pytest.raises(HostError, match=said):
        tarball.put(host, archive)


def test_an_archive_of_the_web_is_fetched_by_the_machine_over_https_only_and_never_by_a_shells_reading_of_it() -> None:
    host = Pretended()
    tarball.put(host, Tarball("https://mirror.example/it's;reboot", SHA256))
    (script,) = host.ran("curl")
    assert "--proto =https --proto-redir =https" in script
    assert script.endswith("""-- 'https://mirror.example/it'"'"'s;reboot'""")


def test_a_version_is_switched_to_once(archive: Tarball) -> None:
    host = Pretended()
    assert tarball.switch(host, archive)
    assert not tarball.switch(host, archive)
    assert host.links == {"/opt/mysql-cluster/current": f"/opt/mysql-cluster/{SHA256[:16]}"}
