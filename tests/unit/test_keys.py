import hashlib
import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.errors import Unauthenticated
from gatekeeper import keys
from gatekeeper.keys import KeyStore, KeyStoreError
from gatekeeper.rates import Limits


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


@pytest.mark.parametrize("name", ["", "../a", "a\n", "x" * 65])
def test_a_name_in_the_file_that_is_none_is_refused(path: Path, name: str) -> None:
    keys.add(path, "web", "reader")
    path.write_text(path.read_text().replace('"web"', json.dumps(name)))
    with pytest.raises(KeyStoreError, match="name"):
        keys.listed(path)


@pytest.mark.parametrize("role", ["", "a b", "a.b", "x" * 65])
def test_a_role_that_can_be_none_is_refused(path: Path, role: str) -> None:
    with pytest.raises(KeyStoreError, match="a role's name"):
        keys.add(path, "web", role)
    keys.add(path, "web", "reader")
    path.write_text(path.read_text().replace('"reader"', json.dumps(role)))
    with pytest.raises(KeyStoreError, match="role"):
        keys.listed(path)


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


def test_a_broken_file_is_refused_at_the_start_and_the_last_good_one_kept_later(path: Path) -> None:
    key = keys.add(path, "a", "reader")
    store = KeyStore(path)
    path.write_text("{")
    os.utime(path, ns=(1, 1))
    assert store.authenticate(bearer(key)).name == "a"
    with pytest.raises(KeyStoreError, match="can't be read"):
        KeyStore(path)


def test_a_new_key_is_known_and_a_revoked_one_is_not_with_the_next_request(path: Path) -> None:
    old = keys.add(path, "old", "reader")
    store = KeyStore(path)
    new = keys.add(path, "new", "reader")
    keys.revoke(path, "old")
    assert store.authenticate(bearer(new)).name == "new"
    with pytest.raises(Unauthenticated, match="not known"):
        store.authenticate(bearer(old))


def expire(path: Path, name: str) -> None:
    """Moves the end of the keys of that name, which must have one, into the past."""
    document = json.loads(path.read_text())
    for key in document["keys"]:
        if key["name"] == name:
            assert datetime.fromisoformat(key["expires"]) > datetime.now(UTC)
            key["expires"] = "2026-01-01T00:00:00Z"
    path.write_text(json.dumps(document))


def test_a_key_is_good_until_it_expires(path: Path) -> None:
    key = keys.add(path, "week", "reader", lifetime=timedelta(days=7))
    store = KeyStore(path)
    assert store.authenticate(bearer(key)).expires
    expire(path, "week")
    with pytest.raises(Unauthenticated, match="has expired"):
        store.authenticate(bearer(key))


def test_a_rotated_key_and_its_successor_are_both_good_until_the_overlap_ends(path: Path) -> None:
    old = keys.add(path, "web", "reader")
    other = keys.add(path, "other", "reader", lifetime=timedelta(days=1))
    store = KeyStore(path)
    new = keys.rotate(path, "web", overlap=timedelta(hours=2))
    found = [store.authenticate(bearer(key)) for key in (old, new)]
    assert [(key.name, key.role) for key in found] == [("web", "reader")] * 2
    assert found[0].expires
    assert timedelta(minutes=119) < found[0].expires - datetime.now(UTC) <= timedelta(hours=2)
    assert found[1].expires is None
    keys.revoke(path, "web")
    for key in (old, new):
        with pytest.raises(Unauthenticated, match="not known"):
            store.authenticate(bearer(key))
    assert store.authenticate(bearer(other)).name == "other"


def test_without_an_overlap_the_old_key_is_gone_at_once(path: Path) -> None:
    old = keys.add(path, "web", "reader")
    new = keys.rotate(path, "web", overlap=timedelta(0))
    store = KeyStore(path)
    assert store.authenticate(bearer(new)).name == "web"
    with pytest.raises(Unauthenticated):
        store.authenticate(bearer(old))


def test_a_successor_lives_as_long_as_the_key_was_to_and_an_overlap_lengthens_no_life(path: Path) -> None:
    keys.add(path, "web", "reader", lifetime=timedelta(days=7))
    before = keys.listed(path)[0].expires
    keys.rotate(path, "web", overlap=timedelta(days=30))
    old, new = keys.listed(path)
    assert old.expires == before
    assert new.expires
    assert new.expires - datetime.fromisoformat(new.created) == timedelta(days=7)


def test_rotation_removes_what_has_expired(path: Path) -> None:
    keys.add(path, "web", "reader", lifetime=timedelta(days=1))
    expire(path, "web")
    keys.rotate(path, "web", overlap=timedelta(hours=1))
    assert len(keys.listed(path)) == 1


def test_only_a_known_key_is_rotated(path: Path) -> None:
    with pytest.raises(KeyStoreError, match="no key named web"):
        keys.rotate(path, "web", overlap=timedelta(0))


@pytest.mark.parametrize("expires", ['"soon"', '"2026-11-23T10:00:00"', "7"], ids=["a word", "no time zone", "number"])
def test_an_end_that_is_none_is_refused(path: Path, expires: str) -> None:
    members = '"name": "a", "role": "r", "hash": "0", "created": "2026-11-23T10:00:00+00:00"'
    path.write_text(f'{{"keys": [{{{members}, "expires": {expires}}}]}}')
    path.chmod(0o600)
    with pytest.raises(KeyStoreError, match="expires"):
        keys.listed(path)


def test_a_life_beyond_the_calendar_is_refused(path: Path) -> None:
    with pytest.raises(KeyStoreError, match="that long"):
        keys.add(path, "a", "reader", lifetime=timedelta(days=90_000_000))


def test_limits_are_kept_and_pass_to_the_successor(path: Path) -> None:
    limits = Limits(rate_per_second=2.5, burst=10, max_concurrent=4)
    keys.add(path, "web", "reader", limits=limits)
    keys.rotate(path, "web", overlap=timedelta(hours=1))
    assert [key.limits for key in keys.listed(path)] == [limits, limits]


@pytest.mark.parametrize("limits", ['{"rate_per_second": 0}', '{"max_concurrent": 257}', '{"rate": 1}', "[]"])
def test_limits_that_make_no_sense_are_refused(path: Path, limits: str) -> None:
    members = '"name": "a", "role": "r", "hash": "0", "created": "2026-11-23T10:00:00+00:00"'
    path.write_text(f'{{"keys": [{{{members}, "limits": {limits}}}]}}')
    path.chmod(0o600)
    with pytest.raises(KeyStoreError, match="limits"):
        keys.listed(path)
