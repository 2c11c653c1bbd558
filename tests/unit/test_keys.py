import hashlib
import os
import threading
from pathlib import Path

import pytest

from contract.errors import Unauthenticated
from gatekeeper import keys
from gatekeeper.keys import KeyStore, KeyStoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def bearer(key: str) -> str:
    return f"Bearer {key}"


def test_a_key_is_known_by_its_hash_and_stands_nowhere(path: Path) -> None:
    key = keys.add(path, "web", "reader")
    text = path.read_text()
    assert key not in text
    assert hashlib.sha256(key.encode()).hexdigest() in text
    assert path.stat().st_mode & 0o777 == 0o600
    found = KeyStore(path).authenticate(bearer(key))
    assert (found.name, found.role) == ("web", "reader")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "is needed"),
        ("", "is needed"),
        ("Bearer", "is needed"),
        ("Bearer ", "is needed"),
        ("Basic dXNlcjpwYXNz", "is needed"),
        ("Bearer gk_nobody", "not known"),
        ("Bearer \udcff", "not known"),
    ],
)
def test_without_a_known_key_nobody_is_let_in(path: Path, header: str | None, reason: str) -> None:
    keys.add(path, "web", "reader")
    with pytest.raises(Unauthenticated, match=reason):
        KeyStore(path).authenticate(header)


def test_keys_are_listed_and_revoked(path: Path) -> None:
    assert keys.listed(path) == []
    keys.add(path, "a", "reader")
    keys.add(path, "b", "demo")
    keys.revoke(path, "a")
    assert [(key.name, key.role) for key in keys.listed(path)] == [("b", "demo")]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "é"])
def test_a_name_that_is_none_is_refused(path: Path, name: str) -> None:
    with pytest.raises(KeyStoreError, match="a key's name"):
        keys.add(path, name, "reader")
    assert not path.exists()


def test_a_name_can_be_given_once_and_only_a_known_one_revoked(path: Path) -> None:
    keys.add(path, "a", "reader")
    with pytest.raises(KeyStoreError, match="already"):
        keys.add(path, "a", "reader")
    with pytest.raises(KeyStoreError, match="no key named b"):
        keys.revoke(path, "b")


def test_keys_added_at_the_same_time_are_all_kept(path: Path) -> None:
    threads = [threading.Thread(target=keys.add, args=(path, f"k{number}", "reader")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys.listed(path)) == 20


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    keys.add(path, "a", "reader")
    path.chmod(0o644)
    with pytest.raises(KeyStoreError, match="owner only"):
        KeyStore(path)


def test_a_broken_file_is_refused_at_the_start_and_the_last_good_one_kept_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOK_AGAIN_S", 0.0)
    key = keys.add(path, "a", "reader")
    store = KeyStore(path)
    path.write_text("{")
    os.utime(path, ns=(1, 1))
    assert store.authenticate(bearer(key)).name == "a"
    with pytest.raises(KeyStoreError, match="can't be read"):
        KeyStore(path)


def test_a_new_key_is_known_and_a_revoked_one_is_not_without_a_restart(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOK_AGAIN_S", 0.0)
    old = keys.add(path, "old", "reader")
    store = KeyStore(path)
    new = keys.add(path, "new", "reader")
    keys.revoke(path, "old")
    assert store.authenticate(bearer(new)).name == "new"
    with pytest.raises(Unauthenticated):
        store.authenticate(bearer(old))
