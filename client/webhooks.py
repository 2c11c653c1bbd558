"""For receivers of webhooks: whether one is from the gateway, and what it says. docs/api.md has the same without us."""

import hmac
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contract.webhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature, told

TOLERANCE_S: Final = 300


class NotOurs(ValueError):
    """A webhook is not from the gateway, or is an old one; the text says why."""


def verify(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance_s: int = TOLERANCE_S, now_s: float | None = None
) -> dict[str, Any]:
    """What a webhook says, once its signature and time are right. Raises NotOurs.

    `secret`: what `GET /webhook-secret` gives. `headers`: those of the request, their names in any case. `tolerance_s`:
    how old it may be. A repeat has the same `id`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id_, signed = given.get(ID_HEADER, ""), given.get(SIGNATURE_HEADER, "")
    try:
        sent_s = int(given.get(TIMESTAMP_HEADER, ""))
        expected = signature(told(secret), id_, sent_s, body)
    except ValueError as error:
        raise NotOurs(f"a header or the secret is none: {error}") from None
    if not hmac.compare_digest(expected.encode(), signed.encode()):
        raise NotOurs("the signature is another")
    if abs((time.time() if now_s is None else now_s) - sent_s) > tolerance_s:
        raise NotOurs("it was sent too long ago")
    found: dict[str, Any] = msgspec.json.decode(body)
    return found
