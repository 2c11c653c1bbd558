"""How messages cross HTTP, the same at every service: request ids, bodies, problem details, the peer's role."""

import re
import secrets
import ssl
import weakref
from collections.abc import Collection
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException

from contract.errors import (
    PROBLEM_MEDIA_TYPE,
    BadRequest,
    Forbidden,
    GatekeeperError,
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from contract.messages import MAX_BODY_BYTES, decode
from contract.roles import roles_of

log = structlog.get_logger()

REQUEST_ID_HEADER = "X-Request-ID"
NODE_HEADER = "X-Gatekeeper-Node"
CODE_HEADER = "X-Gatekeeper-Code"  # of a problem; between the services only

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
MEDIA_TYPES = (JSON, NDJSON, CSV)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HTTP_ERRORS: dict[int, type[GatekeeperError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMediaType,
}
_peer_roles: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()

Message = TypeVar("Message")


class _PeerSocket(Protocol):
    def getpeercert(self) -> dict[str, Any] | None: ...


def install(app: Flask) -> None:
    """Gives the app request ids, the limit on bodies, `/healthz`, and problem details for every error."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.before_request(_take_request_id)
    app.after_request(_return_request_id)
    app.register_error_handler(Exception, _answer_error)
    app.add_url_rule("/healthz", "healthz", lambda: Response("ok\n", mimetype="text/plain"))


def require_roles(app: Flask, accepted: Collection[str]) -> None:
    """Answers 403 to a peer whose verified certificate carries none of the accepted roles (contract/roles.py)."""

    def check() -> None:
        if not peer_roles().intersection(accepted):
            raise Forbidden(f"this service accepts {', '.join(sorted(accepted))} certificates only", rule="peer_role")

    app.before_request(check)


def peer_roles() -> frozenset[str]:
    """The roles in the certificate of the connection's peer, verified by TLS; none without one."""
    sock: _PeerSocket | None = request.environ.get("gunicorn.socket")
    if not isinstance(sock, ssl.SSLSocket):
        return frozenset()
    roles = _peer_roles.get(sock)
    if roles is None:
        roles = _peer_roles[sock] = roles_of(sock.getpeercert())
    return roles


def read_message(kind: type[Message]) -> Message:
    """The message in the request's body. Raises UnsupportedMediaType, TooLarge, BadRequest."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("the body must be application/json")
    # Of a body in chunks, which has no length, werkzeug gives the first MAX_BODY_BYTES without a word about the rest.
    if (request.content_length or 0) >= MAX_BODY_BYTES or len(body := request.get_data(cache=False)) >= MAX_BODY_BYTES:
        raise TooLarge("the body is too large")
    return decode(body, kind)


def query_message(kind: type[Message]) -> Message:
    """The message in the query string, for GET; numbers are read from text. Raises BadRequest."""
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise BadRequest(f"given more than once: {', '.join(sorted(repeated))}")
    try:
        return msgspec.convert(request.args.to_dict(), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the query string does not fit: {error}") from None


def negotiated() -> str:
    """The media type that the answer is to have, by the request's Accept. Raises NotAcceptable."""
    accept = request.environ.get("HTTP_ACCEPT", "*/*")
    if accept in {"*/*", JSON}:
        return JSON
    best = request.accept_mimetypes.best_match(MEDIA_TYPES)
    if best is None:
        raise NotAcceptable(f"can be answered as {', '.join(MEDIA_TYPES)}")
    return best


def json_response(message: object, status: int = 200) -> Response:
    """The message as application/json."""
    return Response(msgspec.json.encode(message), status, content_type="application/json")


def problem_response(error: GatekeeperError) -> Response:
    """The error as application/problem+json (RFC 9457), with Retry-After where the error has one."""
    response = Response(msgspec.json.encode(error.problem(request_id())), error.status, content_type=PROBLEM_MEDIA_TYPE)
    response.headers[CODE_HEADER] = error.code
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def request_id() -> str:
    """The id of the request being answered: the caller's X-Request-ID where it is well formed, else a new one."""
    known: str | None = g.get("request_id")
    if known is None:
        known = g.request_id = secrets.token_hex(8)
    return known


def _take_request_id() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    if _REQUEST_ID.fullmatch(given):
        g.request_id = given


def _return_request_id(response: Response) -> Response:
    response.headers[REQUEST_ID_HEADER] = request_id()
    return response


def _answer_error(error: Exception) -> Response:
    if isinstance(error, GatekeeperError):
        return problem_response(error)
    if isinstance(error, ClientDisconnected):
        return problem_response(BadRequest("the body did not come, whole and in time"))
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        kind = _HTTP_ERRORS.get(error.code, BadRequest)
        response = problem_response(kind(error.description or error.name))
        if isinstance(valid := getattr(error, "valid_methods", None), list):
            response.headers["Allow"] = ", ".join(sorted(valid))
        return response
    log.error("unhandled", request_id=request_id(), exc_info=error)
    return problem_response(InternalError("an internal error; the log has it under the request id", outcome="unknown"))
