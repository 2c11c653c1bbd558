"""One tree of errors for all services and the client; RFC 9457 problem details are its form on the wire.

    GatekeeperError
    ├── BadRequest 400
    │   ├── UnknownImplementation
    │   └── InvalidParameters          count or type of `params`
    ├── Unauthenticated 401
    ├── Forbidden 403                  the policy refuses the statement, or the peer's role may not
    ├── NotFound 404, MethodNotAllowed 405, NotAcceptable 406, Conflict 409, TooLarge 413, UnsupportedMediaType 415
    ├── StatementUnparsable 422        not understood, so not forwarded
    ├── DatabaseRefused 422            the database's own errno, SQLSTATE and text
    ├── RateLimited 429
    ├── InternalError 500
    ├── UpstreamFailed 502             a proxy or node failed after the statement may have been sent
    ├── Unavailable 503                overloaded, draining, no healthy node: nothing was executed, or without effect
    └── DeadlineExceeded 504

Each says what the caller may do: `outcome` tells what became of the statement, `retryable` whether the same request
may succeed later.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import msgspec

Outcome = Literal["not_executed", "rolled_back", "unknown"]

PROBLEM_MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details (RFC 9457), with the members that this system adds.

    `outcome`: `not_executed` (no effect, never sent), `rolled_back` (sent, no effect), `unknown` (may have taken
    effect). `mysql_errno` and `sqlstate` are there only where a database spoke.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    code: str
    outcome: Outcome
    retryable: bool
    mysql_errno: int | None = None
    sqlstate: str | None = None
    rule: str | None = None


class GatekeeperError(Exception):
    """The root. `detail` is shown to the caller: no address, no stack trace, no secret may stand in it.

    `retry_after_s` (seconds) becomes the Retry-After header; `rule` names the rule of a refusal; `request_id` is known
    to a client only.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        outcome: Outcome = "not_executed",
        retryable: bool = False,
        mysql_errno: int | None = None,
        sqlstate: str | None = None,
        rule: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.outcome: Outcome = outcome
        self.retryable = retryable
        self.mysql_errno = mysql_errno
        self.sqlstate = sqlstate
        self.rule = rule
        self.retry_after_s = retry_after_s
        self.request_id: str | None = None

    def problem(self, request_id: str) -> Problem:
        """This error as the message that answers request `request_id`."""
        return Problem(
            type=f"urn:gatekeeper:problem:{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            request_id=request_id,
            code=self.code,
            outcome=self.outcome,
            retryable=self.retryable,
            mysql_errno=self.mysql_errno,
            sqlstate=self.sqlstate,
            rule=self.rule,
        )

    @classmethod
    def of_problem(cls, problem: Problem, retry_after_s: int | None = None) -> Self:
        """The error that a received problem stands for, of this class, with the `request_id` that it answers."""
        error = cls(
            problem.detail,
            outcome=problem.outcome,
            retryable=problem.retryable,
            mysql_errno=problem.mysql_errno,
            sqlstate=problem.sqlstate,
            rule=problem.rule,
            retry_after_s=retry_after_s,
        )
        error.request_id = problem.request_id
        return error


class BadRequest(GatekeeperError):
    """Not JSON, not the shape."""

    status = 400
    code = "bad_request"
    title = "Bad request"


class UnknownImplementation(BadRequest):
    """The request names a strategy that is not registered; the detail lists those that are."""

    code = "unknown_implementation"
    title = "Unknown implementation"


class InvalidParameters(BadRequest):
    """`params` do not fit the statement's placeholders, or hold a value that can't be bound."""

    code = "invalid_parameters"
    title = "Invalid parameters"


class Unauthenticated(GatekeeperError):
    """No API key, or one that is not known."""

    status = 401
    code = "unauthenticated"
    title = "Unauthenticated"


class Forbidden(GatekeeperError):
    """The policy refuses the statement (`rule` says why), or the peer's certificate has another role."""

    status = 403
    code = "forbidden"
    title = "Forbidden"


class NotFound(GatekeeperError):
    """No such resource."""

    status = 404
    code = "not_found"
    title = "Not found"


class MethodNotAllowed(GatekeeperError):
    """The resource is there, the method is not."""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"


class NotAcceptable(GatekeeperError):
    """None of the media types in Accept can be produced."""

    status = 406
    code = "not_acceptable"
    title = "Not acceptable"


class Conflict(GatekeeperError):
    """The request contradicts the state of what it names."""

    status = 409
    code = "conflict"
    title = "Conflict"


class TooLarge(GatekeeperError):
    """The body is larger than the limit."""

    status = 413
    code = "too_large"
    title = "Content too large"


class UnsupportedMediaType(GatekeeperError):
    """The body is not application/json."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class StatementUnparsable(GatekeeperError):
    """The statement can't be parsed, so it was not forwarded."""

    status = 422
    code = "statement_unparsable"
    title = "Statement can't be parsed"


class DatabaseRefused(GatekeeperError):
    """The database answered with an error; `mysql_errno` and `sqlstate` are its own."""

    status = 422
    code = "database_refused"
    title = "The database refused the statement"


class RateLimited(GatekeeperError):
    """The rate of the key or its role is used up, or too many requests without a known key came from the network."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"


class InternalError(GatekeeperError):
    """A fault of ours; the log has it under the request's id."""


class UpstreamFailed(GatekeeperError):
    """The proxy or the node failed; `outcome` says what is known."""

    status = 502
    code = "upstream_failed"
    title = "Upstream failed"


class Unavailable(GatekeeperError):
    """Overloaded, draining, or no healthy node; nothing was executed, or without effect, as `outcome` says."""

    status = 503
    code = "unavailable"
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after_s: int | None = 1, retryable: bool = True, **members: Any) -> None:
        super().__init__(detail, retryable=retryable, retry_after_s=retry_after_s, **members)


class DeadlineExceeded(GatekeeperError):
    """The request's timeout passed; `outcome` says what is known."""

    status = 504
    code = "deadline_exceeded"
    title = "Deadline exceeded"


def causes(error: object) -> Iterator[BaseException]:
    """The error and those that it wraps; requests and urllib3 keep them as `reason` or among their arguments."""
    if isinstance(error, BaseException):
        yield error
        for inner in (getattr(error, "reason", None), *error.args):
            yield from causes(inner)


def _tree(root: type[GatekeeperError]) -> Iterator[type[GatekeeperError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def error_types() -> list[type[GatekeeperError]]:
    """All classes of the tree, a parent before its children."""
    return list(_tree(GatekeeperError))


BY_CODE: dict[str, type[GatekeeperError]] = {error.code: error for error in error_types()}


def error_of(problem: Problem, retry_after_s: int | None = None) -> GatekeeperError:
    """The error of the tree that a received problem stands for; one with an unknown code becomes the root."""
    return BY_CODE.get(problem.code, GatekeeperError).of_problem(problem, retry_after_s)
