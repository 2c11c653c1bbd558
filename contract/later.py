"""The messages of `/new-requests`: work that is accepted now and run later by an orchestrator.

Times that clients see are RFC 3339 in UTC; between the services and in the queue they are milliseconds of the epoch.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from contract.errors import Problem
from contract.messages import Column, EndpointRequest, Owner, ProxyRequest, Runnable, StatementResult
from contract.webhooks import Webhook

State = Literal["queued", "running", "done", "failed", "cancelled", "dead"]
STATES: Final[tuple[State, ...]] = get_args(State)
WebhookState = Literal["waiting", "due", "sent", "failed"]
WEBHOOK_STATES: Final[tuple[WebhookState, ...]] = get_args(WebhookState)

MAX_PRIORITY: Final = 9
MAX_ATTEMPTS: Final = 20
DEFAULT_ATTEMPTS: Final = 5
# Of the judged request as JSON. It travels to the queue as a text within JSON, where it may double, and a proxy takes
# less than 1 MiB.
MAX_QUEUED_BYTES: Final = 384 << 10
# What may be run later, and again when nobody knows what became of it: a CALL or DDL has no transaction for a ledger.
DEFERRED: Final[tuple[Runnable, ...]] = ("read", "write")
MESSAGE: Final = "Request received and processing started"

RequestId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
Cursor = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,512}\Z")]
Priority = Annotated[int, msgspec.Meta(ge=0, le=MAX_PRIORITY, description="higher ones are begun first")]
Attempts = Annotated[int, msgspec.Meta(ge=1, le=MAX_ATTEMPTS)]


class NewRequest(EndpointRequest, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a client posts to /new-requests: a statement as for /endpoint, and when and how often it may be tried.

    `timeout_ms` is of each attempt. It is not begun before `run_at`. `webhook`: where its end is told.
    """

    priority: Priority = 0
    run_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    max_attempts: Attempts = DEFAULT_ATTEMPTS
    webhook: Webhook | None = None


class QueueRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a gatekeeper posts to an orchestrator's /new-requests: the request as judged, and whose it is.

    `owner` is the key's name; `fingerprint` a hash of what the client posted: another one under the same id is a
    conflict.
    """

    id: RequestId
    owner: Owner
    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    request: ProxyRequest
    priority: Priority = 0
    run_at_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_attempts: Attempts = DEFAULT_ATTEMPTS
    webhook: Webhook | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The answer to a request that is in the queue."""

    id: str
    state: State
    message: str = MESSAGE


class Result(msgspec.Struct, frozen=True):
    """A page of what a statement gave: all of it but for the rows, which are those of this page.

    To `statements`, `results` has what each gave, on every page.
    """

    node: str
    columns: list[Column]
    rows: Sequence[Any]
    affected_rows: int
    last_insert_id: int | None
    truncated: bool
    results: list[StatementResult] | msgspec.UnsetType = msgspec.UNSET


class WebhookStatus(msgspec.Struct, frozen=True):
    """How the webhook of a request is. `attempts`: how often it was begun; `problem`: why the last one failed."""

    state: WebhookState
    attempts: int
    problem: str | None


class RequestStatus(msgspec.Struct, frozen=True):
    """How a request is. `result` when it is done, `problem` when it failed or is dead, or when it will be tried again.

    `attempts`: how often it was begun. `next_cursor` names the next page of the result, null on the last one.
    `webhook` is null where none was asked for.
    """

    id: str
    state: State
    priority: int
    attempts: int
    max_attempts: int
    accepted_at: datetime
    run_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    result: Result | None = None
    problem: Problem | None = None
    next_cursor: str | None = None
    webhook: WebhookStatus | None = None


class RequestList(msgspec.Struct, frozen=True):
    """The owner's requests, the latest first, without their results. `next_cursor` names the next page, or is null."""

    requests: list[RequestStatus]
    next_cursor: str | None = None


class WebhookSecret(msgspec.Struct, frozen=True):
    """What the caller's webhooks are signed with, as receivers are told it."""

    secret: str


class OneQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `GET /new-requests/ID` takes in its query string."""

    cursor: Cursor | None = None


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `GET /new-requests` takes in its query string."""

    state: State | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    cursor: Cursor | None = None


class OwnersQuery(OneQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same between a gatekeeper and an orchestrator, with the owner."""

    owner: Owner


class OwnerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The owner alone."""

    owner: Owner


class OwnersListQuery(ListQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same between a gatekeeper and an orchestrator, with the owner."""

    owner: Owner
