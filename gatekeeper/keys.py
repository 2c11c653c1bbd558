"""API keys: made once, kept as hashes in a file, looked up by hash.

A key is 32 random bytes, so one SHA-256 is enough: there is nothing to guess that a slow hash would protect
(NIST SP 800-63B, section 5.1.2.2: secrets of 112 bits and more need no stretching).
"""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from contract.errors import Unauthenticated
from contract.watched import Watched
from gatekeeper.rates import UNLIMITED, Limits

_PREFIX = "gk_"
_ROLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class KeyStoreError(ValueError):
    """The key file can't be read or written, or the change makes no sense."""


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as it is kept: `hash` is the SHA-256 of the key in hex, `created` is ISO 8601 in UTC.

    From `expires` on it is answered like none. Two keys of one name are an old one and its successor; what `limits`
    allow, they have together.
    """

    name: Annotated[str, msgspec.Meta(pattern=rf"^{_NAME.pattern}\Z")]
    role: Annotated[str, msgspec.Meta(pattern=rf"^{_ROLE.pattern}\Z")]
    hash: str
    created: str
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    limits: Limits = UNLIMITED

    def is_good(self, now: datetime) -> bool:
        """Whether the key counts at that time."""
        return self.expires is None or now < self.expires


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[Key]


def add(path: Path, name: str, role: str, *, lifetime: timedelta | None = None, limits: Limits = UNLIMITED) -> str:
    """Makes a key and keeps its hash. Returns the key, which can't be had again. Raises KeyStoreError.

    Without a `lifetime` it is good until it is revoked.
    """
    if not _NAME.fullmatch(name):
        raise KeyStoreError("a key's name has 1 to 64 letters, digits, dots, dashes or underscores")
    if not _ROLE.fullmatch(role):
        raise KeyStoreError("a role's name has 1 to 64 letters, digits, dashes or underscores")

    def change(known: list[Key], new: str) -> list[Key]:
        if any(key.name == name for key in known):
            raise KeyStoreError(f"there is a key named {name} already")
        return [*known, _key(name, role, new, lifetime, limits)]

    return _change_with_a_new_one(path, change)


def rotate(path: Path, name: str, *, overlap: timedelta) -> str:
    """Makes a successor of a key, with its name, role, limits and as long a life; returns it. Raises KeyStoreError.

    The old one is good until the overlap ends, or its own life; those that have expired are removed.
    """

    def change(known: list[Key], new: str) -> list[Key]:
        now = datetime.now(UTC)
        old = [key for key in known if key.name == name]
        if not old:
            raise KeyStoreError(f"there is no key named {name}")
        kept = [ended for key in old if (ended := _ending(key, now + overlap)).is_good(now)]
        others = [key for key in known if key.name != name]
        return [*others, *kept, _key(name, old[-1].role, new, _lifetime(old[-1]), old[-1].limits)]

    return _change_with_a_new_one(path, change)


def revoke(path: Path, name: str) -> None:
    """Removes a key, and those it succeeds. Raises KeyStoreError when there is none of that name."""

    def change(known: list[Key]) -> list[Key]:
        left = [key for key in known if key.name != name]
        if len(left) == len(known):
            raise KeyStoreError(f"there is no key named {name}")
        return left

    _change(path, change)


def listed(path: Path) -> list[Key]:
    """The keys in the file, none when there is no file. Raises KeyStoreError."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyStoreError(f"{path.name} must be readable by its owner only (chmod 600)")
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise KeyStoreError(f"{path.name} can't be read: {error}") from None


class KeyStore:
    """Finds the key that a request carries. A changed file counts at once; a broken one does not.

    Raises KeyStoreError when the first reading fails.
    """

    def __init__(self, path: Path) -> None:
        self._by_hash = Watched("keys", path, lambda path: {key.hash: key for key in listed(path)})

    def authenticate(self, authorization: str | None) -> Key:
        """The key of an `Authorization: Bearer KEY` header. Raises Unauthenticated, saying no more than it must."""
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Unauthenticated("an API key is needed: Authorization: Bearer KEY")
        key = self._by_hash.current().get(_hash(given.strip()))
        if key is None:
            raise Unauthenticated("the API key is not known")
        if key.expires is not None and not key.is_good(datetime.now(UTC)):
            raise Unauthenticated("the API key has expired")
        return key


def _key(name: str, role: str, key: str, lifetime: timedelta | None, limits: Limits) -> Key:
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        expires = now + lifetime if lifetime is not None else None
    except OverflowError:
        raise KeyStoreError("a key can't live that long") from None
    return Key(name, role, _hash(key), now.isoformat(), expires, limits)


def _ending(key: Key, end: datetime) -> Key:
    """The key with its life's end, unless its own comes first."""
    return msgspec.structs.replace(key, expires=min(end, key.expires or end))


def _lifetime(key: Key) -> timedelta | None:
    """How long the key was to live from the day it was made; None where it has no end."""
    try:
        return key.expires - datetime.fromisoformat(key.created) if key.expires else None
    except (ValueError, TypeError):
        raise KeyStoreError(f"when the key {key.name} was created is not ISO 8601 in UTC") from None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _change_with_a_new_one(path: Path, change: Callable[[list[Key], str], list[Key]]) -> str:
    key = _PREFIX + secrets.token_urlsafe(32)
    _change(path, lambda known: change(known, key))
    return key


def _change(path: Path, change: Callable[[list[Key]], list[Key]]) -> None:
    try:
        with _locked(path):
            text = msgspec.json.format(msgspec.json.encode(_File(change(listed(path)))), indent=2)
            _replace(path, text)
    except OSError as error:
        raise KeyStoreError(f"{path.name} can't be written: {error.strerror}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with os.fdopen(os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, text: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if path.exists() and os.geteuid() == 0:
            # Root adds a key, and the gatekeeper's own account must still be able to read the file.
            os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
