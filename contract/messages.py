"""The JSON messages, decoded and checked in one step. docs/api.md describes them; /openapi.json is made from them.

Durations are integers in milliseconds and say so in their names.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from contract.errors import BadRequest

Effect = Literal["read", "write", "call", "schema", "session", "unknown"]
# The effects that a proxy has an account for, with just the rights that the effect needs.
# `queue` is what an orchestrator does to its own tables; no analysis gives it.
Runnable = Literal["read", "write", "call", "schema", "queue"]

MAX_BODY_BYTES = 1 << 20
MAX_TIMEOUT_MS = 600_000
DEFAULT_TIMEOUT_MS = 30_000

# The database schema of this system's own tables: no client's statement may name it, whatever the policy says.
OWN_SCHEMA: Final = "gatekeeper"

MOST_STATEMENTS = 100
Query = Annotated[str, msgspec.Meta(min_length=1)]
SchemaName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_$-]{1,64}\Z", description="the default schema's name")]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=MAX_TIMEOUT_MS)]
Rows = Annotated[int, msgspec.Meta(ge=1)]
# An API key's name, between the services.
Owner = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
# Of an answer to a write: a later request that has it sees that write, whichever node it goes to.
ConsistencyToken = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of the statements of a transaction."""

    query: Query
    params: list[Any] | dict[str, Any] | None = None


Statements = Annotated[list[Statement], msgspec.Meta(min_length=1, max_length=MOST_STATEMENTS)]


class EndpointRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a client posts to the gatekeeper's /endpoint: what to run, and how it wants it routed.

    Either `query`, one statement, with `params` (an array for `?`, an object for `:name`; docs/api.md fixes how each
    type travels), or `statements`, which are one transaction: all or nothing. `timeout_ms`: from the request's arrival
    to its answer. `consistency_token`: of the answer to a write that this request must see.
    """

    query: Query | None = None
    implementation: str | None = None
    params: list[Any] | dict[str, Any] | None = None
    database: SchemaName | None = None
    timeout_ms: Milliseconds | None = None
    statements: Statements | None = None
    consistency_token: ConsistencyToken | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        _check_one_form(self)

    def all_statements(self) -> Sequence[Statement]:
        """What is to be run, whichever way it was given."""
        return _all_statements(self)


class EndpointQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `GET /endpoint` takes in its query string, at the gatekeeper and at the proxy: a read without parameters."""

    query: Query
    implementation: str | None = None
    database: SchemaName | None = None
    timeout_ms: Milliseconds | None = None


class Idempotency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What makes a write one that is done once, however often it is asked for: the caller's key, and whose it is.

    `keep_s`: for how long the caller relies on that, in seconds; a proxy that forgets sooner refuses the write.
    """

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    keep_s: Annotated[int, msgspec.Meta(ge=0)] = 0


class ProxyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a gatekeeper posts to a proxy's /endpoint: the request as judged.

    `effect` chooses the account; left out, the statement is taken as a write. `max_rows` and `max_bytes` (as the
    server sends them): rows beyond are cut off and the answer says `truncated`. `max_affected_rows`: a write or call
    that changes more is rolled back and refused. `timeout_ms`: what is left of the client's. `statements`: instead of
    `query`, a transaction; the limits are for all of it. `idempotency`: for writes alone.
    """

    query: Query | None = None
    implementation: str = "customized_hit"
    params: list[Any] | dict[str, Any] | None = None
    database: SchemaName | None = None
    timeout_ms: Milliseconds = DEFAULT_TIMEOUT_MS
    effect: Runnable = "write"
    max_rows: Rows = 10_000
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_affected_rows: Annotated[int, msgspec.Meta(ge=0)] | None = None
    statements: Statements | None = None
    idempotency: Idempotency | None = None
    consistency_token: ConsistencyToken | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        _check_one_form(self)
        if self.idempotency and self.effect != "write":
            raise ValueError("an idempotency key is for writes alone")
        if self.statements and self.effect not in {"read", "write", "queue"}:
            raise ValueError("only reads and writes can be statements of a transaction")

    def all_statements(self) -> Sequence[Statement]:
        """What is to be run, whichever way it was given."""
        return _all_statements(self)


def _check_one_form(message: EndpointRequest | ProxyRequest) -> None:
    """Raises ValueError, which a decoder takes up in its own error."""
    if (message.query is None) == (message.statements is None):
        raise ValueError("one of `query` and `statements` is needed")
    if message.statements is not None and message.params is not None:
        raise ValueError("with `statements`, each has its own `params`")


def _all_statements(message: EndpointRequest | ProxyRequest) -> Sequence[Statement]:
    if message.statements is not None:
        return message.statements
    return [Statement(message.query or "", message.params)]


class Column(msgspec.Struct, frozen=True):
    """A column of an answer: its label, and the name of its MySQL type (docs/api.md lists them)."""

    name: str
    type: str


class StatementResult(msgspec.Struct, frozen=True):
    """What one statement of a transaction gave."""

    columns: list[Column]
    rows: Sequence[Sequence[Any]]
    affected_rows: int
    last_insert_id: int | None
    truncated: bool


class Answer(msgspec.Struct, frozen=True):
    """What a statement gave. `attempts`: how often it was tried, 1 when the first node answered.

    To `statements`: `results` has what each gave; here there are no rows, `affected_rows` is the sum, `last_insert_id`
    the last one's, and `truncated` says that some result is. To `query` there are no `results`. `consistency_token`: to
    a write, where another node may not show it yet.
    """

    request_id: str
    node: str
    implementation: str
    attempts: int
    elapsed_ms: float
    columns: list[Column]
    rows: Sequence[Sequence[Any]]
    affected_rows: int
    last_insert_id: int | None
    truncated: bool
    results: list[StatementResult] | msgspec.UnsetType = msgspec.UNSET
    consistency_token: str | msgspec.UnsetType = msgspec.UNSET


class NodeStatus(msgspec.Struct, frozen=True):
    """What a proxy knows of one node. `ping_ms` is the smoothed round trip of `SELECT 1` through the tunnel."""

    name: str
    role: str
    state: Literal["up", "suspect", "down"]
    engine_state: str
    ping_ms: float | None
    in_flight: int
    requests: int
    failures: int
    tunnel_restarts: int
    detail: str = ""


class NodesAnswer(msgspec.Struct, frozen=True):
    """`GET /nodes` at a proxy. `inventory_problem` says why a changed inventory was refused, null when it was not."""

    proxy: str
    engine: str
    tunnel: str
    inventory_problem: str | None
    nodes: list[NodeStatus]


class FleetAnswer(msgspec.Struct, frozen=True):
    """`GET /nodes` at a gatekeeper: what each proxy that answered knows."""

    proxies: list[NodesAnswer]


Message = TypeVar("Message")


def decode(body: bytes, kind: type[Message]) -> Message:
    """The message in a JSON body. Raises BadRequest, which says where in the body what was expected."""
    if not body:
        raise BadRequest("the body is empty; a JSON object was expected")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
