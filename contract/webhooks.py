"""Webhooks: what their addresses look like, and how one is signed so that its receiver may believe it.

The signature is that of standardwebhooks.com: the headers webhook-id, webhook-timestamp and webhook-signature, of which
the last has `v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY`, in base64. A secret is told as `whsec_` and base64.
"""

import base64
import hashlib
import hmac
import re
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 as the standard has it

# The host is whole, in lower case, and without a user, so that nobody reads another one in it.
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = rf"https://{_LABEL}(\.{_LABEL}){{0,19}}(:[1-9][0-9]{{0,4}})?/"
# What stands in a path or query: no space, quote, backslash, bracket, fragment.
_BEHIND: Final = "[!$-;=?-Z_a-z~]*"

Webhook = Annotated[str, msgspec.Meta(pattern=rf"^{_HOST}{_BEHIND}\Z", max_length=1024)]
WebhookPrefix = Annotated[str, msgspec.Meta(pattern=rf"^{_HOST}([!$-;=@-Z_a-z~]*/)?\Z", max_length=1024)]

# What may lead out of a path: a segment of dots, or what a receiver may decode to one.
_LEADS_OUT: Final = re.compile(r"/\.|%2[ef]|%5c|%25", re.IGNORECASE)


class Target(msgspec.Struct, frozen=True):
    """Where a webhook goes. `host_header` is the host as HTTP has it, `resource` the path with its query."""

    host: str
    port: int
    host_header: str
    resource: str


def target(url: str) -> Target:
    """The parts of an address that fits `Webhook`. Raises ValueError for one whose port or path can't be meant."""
    parts = urlsplit(url)
    if parts.hostname is None:
        raise ValueError("the webhook has no host")
    if _LEADS_OUT.search(parts.path):
        raise ValueError("the webhook's path has a segment that begins with a dot, or %25, %2E, %2F or %5C")
    query = f"?{parts.query}" if parts.query else ""
    port = parts.port or 443  # beyond 65535 it raises ValueError
    return Target(parts.hostname, port, parts.netloc, parts.path + query)


def signature(secret: bytes, id_: str, timestamp_s: int, body: bytes) -> str:
    """The value of webhook-signature. `timestamp_s`: when it is sent, in seconds since 1970."""
    signed = hmac.digest(secret, b"%b.%d.%b" % (id_.encode(), timestamp_s, body), hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def shown(secret: bytes) -> str:
    """The secret as its owner is told it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def told(text: str) -> bytes:
    """The secret that somebody was told so. Raises ValueError."""
    if not text.startswith(SECRET_PREFIX):
        raise ValueError(f"a webhook's secret begins with {SECRET_PREFIX}")
    return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
