"""What the console shows: what proxies and gatekeepers tell an orchestrator, and what it makes of that for its page.

Nothing here has a statement's text, a value, an address or a secret. Every text has a form, since a service that was
taken over may send anything; the page puts texts into text nodes alone, whatever they are.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from contract.messages import NodesAnswer, NodeStatus, Owner

# The page's own files and its figures, from where it came from, and nothing else; inline nothing; framed by nobody.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

# How the effect `queue`, the orchestrators' own statements, is called where others have their implementation.
QUEUE_TRAFFIC: Final = "queue"

MOST_REFUSALS: Final = 64
MOST_DIGESTS: Final = 20
MAX_SUMMARY_BYTES: Final = 64 << 10

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_. -]{1,64}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{1,64}\Z")]


class Answered(msgspec.Struct, frozen=True):
    """Requests of one implementation that one node answered since the proxy started.

    `counts`: how many took no longer than each of the proxy's `bounds_ms`, but longer than the one before; at the end,
    how many took longer than all.
    """

    implementation: str
    node: str
    counts: Sequence[int]


class StatsAnswer(msgspec.Struct, frozen=True):
    """`GET /stats` at a proxy, for orchestrators. `errors`: requests that ended in one, by code, since it started."""

    about: NodesAnswer
    bounds_ms: Sequence[float]
    answered: Sequence[Answered]
    errors: Mapping[str, int]


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Requests that a gatekeeper refused, or let pass in report-only mode, all for the same reason.

    `key`: the API key's name, none where it is not known; `ms_ago`: the last of them, before the summary was sent.
    """

    count: Count
    ms_ago: Count
    code: Word
    rule: Word | None = None
    key: Owner | None = None
    digest: Digest | None = None
    reported: bool = False


class Slow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the requests with one statement took at a gatekeeper, whose answers had a good status."""

    digest: Digest
    kind: Word
    count: Count
    total_ms: Milliseconds
    max_ms: Milliseconds


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gatekeeper's worker posts to every orchestrator's /summaries: what happened in the last `span_ms`.

    `refused` and `failed`: requests with 4xx and with 5xx. `left_out`: those that found no place in the lists. Whose it
    is stands in the certificate.
    """

    worker: Count
    span_ms: Annotated[int, msgspec.Meta(ge=1, le=600_000)]
    requests: Count
    refused: Count
    failed: Count
    left_out: Count
    refusals: Annotated[list[Refused], msgspec.Meta(max_length=MOST_REFUSALS)]
    digests: Annotated[list[Slow], msgspec.Meta(max_length=MOST_DIGESTS)]


class NodeAsSeen(msgspec.Struct, frozen=True):
    """A node, as one proxy knows it."""

    proxy: str
    status: NodeStatus


class NodeView(msgspec.Struct, frozen=True):
    """A node. `state` is `disputed` where proxies differ; `share`: of all requests of clients, from 0 to 1.

    `age_ms`: how old is the newest that is known of it. `per_s`, `failures_per_s` and `share` are of the last seconds,
    null while there is nothing to compare with.
    """

    name: str
    role: str
    state: Literal["up", "suspect", "down", "disputed"]
    age_ms: int
    ping_ms: float | None
    per_s: float | None
    failures_per_s: float | None
    share: float | None
    seen: Sequence[NodeAsSeen]


class ImplementationView(msgspec.Struct, frozen=True):
    """The last seconds of an implementation, by all proxies; the times are null where nothing was answered."""

    name: str
    per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class ProxyView(msgspec.Struct, frozen=True):
    """A proxy; `age_ms`: how old is what it said last; `errors_per_s`: by code, of the last seconds."""

    name: str
    engine: str
    tunnel: str
    inventory_problem: str | None
    age_ms: int
    errors_per_s: Mapping[str, float]


class OwnerView(msgspec.Struct, frozen=True):
    """What an API key has in the queue."""

    owner: str
    queued: int
    running: int


class QueueView(msgspec.Struct, frozen=True):
    """The queue of all orchestrators, and this one's slots. `age_ms`: null when it was never told.

    `problem`: the code of the error that the last look at the queue met; `ended`: here, since this one started.
    """

    age_ms: int | None
    problem: str | None
    queued: int
    running: int
    slots: int
    busy: int
    owners: Sequence[OwnerView]
    more_owners: int
    ended: Mapping[str, int]


class GatekeeperView(msgspec.Struct, frozen=True):
    """A gatekeeper; `age_ms`: since something was last heard of it; the rates are of all its workers."""

    name: str
    age_ms: int
    workers: int
    per_s: float
    refused_per_s: float
    failed_per_s: float


class RefusalView(msgspec.Struct, frozen=True):
    """Requests that a gatekeeper refused for the same reason, of the last minutes."""

    gatekeeper: str
    last_ms_ago: int
    count: int
    code: str
    rule: str | None
    key: str | None
    digest: str | None
    reported: bool


class DigestView(msgspec.Struct, frozen=True):
    """What a statement took at all gatekeepers, of the last minutes."""

    digest: str
    kind: str
    count: int
    mean_ms: float
    max_ms: float


class ConsoleState(msgspec.Struct, frozen=True):
    """`GET /console/state`. `at_ms`: this orchestrator's clock, in milliseconds of the epoch.

    `proxies_configured`: how many there should be; `over_s`, `told_over_s`: how many seconds back the figures of
    proxies and those of gatekeepers reach at most; `left_out`: requests that are in none of the gatekeepers' lists.
    """

    orchestrator: str
    at_ms: int
    over_s: int
    told_over_s: int
    proxies_configured: int
    proxies: Sequence[ProxyView]
    nodes: Sequence[NodeView]
    implementations: Sequence[ImplementationView]
    queue: QueueView
    gatekeepers: Sequence[GatekeeperView]
    refusals: Sequence[RefusalView]
    digests: Sequence[DigestView]
    left_out: int
