"""The messages of `/transactions`: a transaction whose statements come one by one, each as a request of its own.

It is held by one proxy, on one node's connection; its id says which one and since when, so that every gatekeeper knows.
"""

import hashlib
import secrets
import time
from typing import Annotated, Final, Literal

import msgspec

from contract.messages import ConsistencyToken, Milliseconds, Owner, ProxyRequest

State = Literal["committed", "rolled_back"]
Mode = Literal["read", "write"]

MOST_OPEN: Final = 100
_TAG_CHARACTERS: Final = 8

TransactionId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a client posts to /transactions.

    `read_only`: only reads, by the account that can do nothing else. `timeout_ms`: how long it may be open in all,
    `idle_timeout_ms`: how long without a statement; then it is rolled back. Left out, or larger than the proxy lets it
    be, they are the proxy's own. `consistency_token`: of the answer to a write that it must see.
    """

    implementation: str | None = None
    read_only: bool = False
    timeout_ms: Milliseconds | None = None
    idle_timeout_ms: Milliseconds | None = None
    consistency_token: ConsistencyToken | None = None


class ProxyBegin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a gatekeeper posts to a proxy's /transactions. `owner`: a key's name, which may hold `most_open` there."""

    id: TransactionId
    owner: Owner
    most_open: Annotated[int, msgspec.Meta(ge=1, le=MOST_OPEN)]
    implementation: str = "customized_hit"
    mode: Mode = "write"
    timeout_ms: Milliseconds | None = None
    idle_timeout_ms: Milliseconds | None = None
    consistency_token: ConsistencyToken | None = None


class ProxyStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gatekeeper posts to a proxy's /transactions/ID: a statement as judged, and whose transaction it is."""

    owner: Owner
    request: ProxyRequest


class ProxyEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gatekeeper posts to a proxy's /transactions/ID/commit and /transactions/ID/rollback."""

    owner: Owner


class Begun(msgspec.Struct, frozen=True):
    """A transaction that is open, and the limits that it has."""

    request_id: str
    id: str
    node: str
    implementation: str
    timeout_ms: int
    idle_timeout_ms: int


class End(msgspec.Struct, frozen=True):
    """How a transaction ended. Asked again, the answer is the same. `consistency_token`: as in an Answer."""

    request_id: str
    id: str
    state: State
    consistency_token: str | msgspec.UnsetType = msgspec.UNSET


def new_id(proxy_url: str) -> str:
    """An id for a transaction of this proxy's, which begins now; 64 bits of it can't be guessed."""
    return f"{_tag_of(proxy_url)}{int(time.time()):08x}{secrets.token_hex(8)}"


def begun_at(id_: str) -> int:
    """When it began, in seconds since 1970."""
    return int(id_[_TAG_CHARACTERS : 2 * _TAG_CHARACTERS], 16)


def is_of(id_: str, proxy_url: str) -> bool:
    """Whether the transaction is this proxy's."""
    return id_[:_TAG_CHARACTERS] == _tag_of(proxy_url)


def _tag_of(proxy_url: str) -> str:
    return hashlib.sha256(proxy_url.encode()).hexdigest()[:_TAG_CHARACTERS]
