"""API keys: made once, kept as hashes in a file, looked up by hash.

A key is 32 random bytes, so one SHA-256 is enough: there is nothing to guess that a slow hash would protect
(NIST SP 800-63B, section 5.1.2.2: secrets of 112 bits and more need no stretching).
"""

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from contract.errors import Unauthenticated

log = structlog.get_logger()

_PREFIX = "gk_"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOK_AGAIN_S = 1.0


class KeyStoreError(ValueError):
    """The key file can't be read or written, or the change makes no sense."""


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key as it is kept: `hash` is the SHA-256 of the key in hex, `created` is ISO 8601 in UTC."""

    name: str
    role: str
    hash: str
    created: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[Key]


def add(path: Path, name: str, role: str) -> str:
    """Makes a key and keeps its hash. Returns the key, which can't be had again. Raises KeyStoreError."""
    if not _NAME.fullmatch(name):
        raise KeyStoreError("a key's name has 1 to 64 letters, digits, dots, dashes or underscores")
    key = _PREFIX + secrets.token_urlsafe(32)

    def change(keys: list[Key]) -> list[Key]:
        if any(known.name == name for known in keys):
            raise KeyStoreError(f"there is a key named {name} already")
        return [*keys, Key(name, role, _hash(key), datetime.now(UTC).isoformat(timespec="seconds"))]

    _change(path, change)
    return key


def revoke(path: Path, name: str) -> None:
    """Removes a key. Raises KeyStoreError when there is none of that name."""

    def change(keys: list[Key]) -> list[Key]:
        left = [known for known in keys if known.name != name]
        if len(left) == len(keys):
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
    """Finds the key that a request carries. A changed file is taken up within a second; a broken one is not.

    Raises KeyStoreError when the first reading fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature = self._stat()
        self._by_hash = self._read()
        self._look_again = time.monotonic() + _LOOK_AGAIN_S

    def authenticate(self, authorization: str | None) -> Key:
        """The key of an `Authorization: Bearer KEY` header. Raises Unauthenticated, saying no more than it must."""
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Unauthenticated("an API key is needed: Authorization: Bearer KEY")
        if time.monotonic() >= self._look_again:
            self._refresh()
        key = self._by_hash.get(_hash(given.strip()))
        if key is None:
            raise Unauthenticated("the API key is not known")
        return key

    def _refresh(self) -> None:
        self._look_again = time.monotonic() + _LOOK_AGAIN_S
        signature = self._stat()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._by_hash = self._read()
        except KeyStoreError as error:
            log.error("keys_refused", reason=str(error))
        else:
            log.info("keys_read", keys=len(self._by_hash))

    def _read(self) -> dict[str, Key]:
        return {key.hash: key for key in listed(self._path)}

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


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
