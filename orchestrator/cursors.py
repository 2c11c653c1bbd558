"""Cursors: where a list or a result goes on, signed, so that one that was tampered with is told from ours."""

import base64
import binascii
import hashlib
import hmac
from typing import Any, Final

import msgspec

from contract.errors import BadRequest

_TAG_BYTES: Final = 16


class Cursors:
    """Signs positions with a secret. `purpose` says what a position is in: a cursor is good for nothing else."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, purpose: str, position: list[Any]) -> str:
        """The cursor, of characters that need no quoting in a URL."""
        payload = msgspec.json.encode(position)
        return f"{_text(payload)}.{_text(self._tag(purpose, payload))}"

    def read(self, purpose: str, cursor: str) -> list[Any]:
        """The position that was signed for this purpose. Raises BadRequest."""
        payload, _, tag = cursor.partition(".")
        try:
            signed, given = _bytes(payload), _bytes(tag)
        except (ValueError, binascii.Error):
            signed, given = b"", b""
        if not hmac.compare_digest(self._tag(purpose, signed), given):
            raise BadRequest("the cursor is none that was given for this", rule="cursor")
        position: list[Any] = msgspec.json.decode(signed)
        return position

    def _tag(self, purpose: str, payload: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b"\0" + payload, hashlib.sha256)[:_TAG_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(data) != text:  # several texts may stand for the same bytes
        raise ValueError
    return data
