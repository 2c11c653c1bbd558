"""How messages cross HTTP, the same at every service: request ids, bodies, problem details, the peer's role."""

import ssl
import weakref
from collections.abc import Collection
from typing import Any, Protocol, TypeVar

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException

from contract import plain
from contract.errors import (
    BadRequest,
    Forbidden,
    GatekeeperError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from contract.messages import MAX_BODY_BYTES, decode
from contract.plain import JSON
from contract.roles import name_of, roles_of

REQUEST_ID_HEADER = "X-Request-ID"
NODE_HEADER = "X-Gatekeeper-Node"
KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"

NDJSON = "application/x-ndjson"
CSV = "text/csv"
MEDIA_TYPES = (JSON, NDJSON, CSV)

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
    app.after_request(_return_request_id)
    app.register_error_handler(Exception, _answer_error)
    app.add_url_rule("/healthz", "healthz", lambda: Response("ok\n", mimetype="text/plain"))


def require_roles(app: Flask, accepted: Collection[str]) -> None:
    """Answers 403 to a peer whose verified certificate carries none of the accepted roles (contract/roles.py)."""
    app.before_request(lambda: check_roles(request.environ.get("gunicorn.socket"), accepted))


def check_roles(sock: _PeerSocket | None, accepted: Collection[str]) -> None:
    """Raises Forbidden where the connection's peer has shown no certificate, verified by TLS, with an accepted role."""
    if not _roles_of_peer(sock).intersection(accepted):
        raise Forbidden(f"this service accepts {', '.join(sorted(accepted))} certificates only", rule="peer_role")


def name_of_peer(sock: _PeerSocket | None) -> str | None:
    """The name of a connection's peer, as its certificate has it, verified by TLS; None where it has shown none."""
    if not isinstance(sock, ssl.SSLSocket):
        return None
    return name_of(sock.getpeercert())


def _roles_of_peer(sock: _PeerSocket | None) -> frozenset[str]:
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


def response_to(answer: plain.Answer) -> Response:
    """The answer as Flask's response, which ends it."""
    response = Response(answer.body, answer.status, headers=dict(answer.headers))
    response.call_on_close(answer.close)
    return response


def request_id() -> str:
    """The id of the request being answered: the caller's X-Request-ID where it is well formed, else a new one."""
    known: str | None = g.get("request_id")
    if known is None:
        known = g.request_id = plain.request_id_of(request.headers.get(REQUEST_ID_HEADER))
    return known


def _return_request_id(response: Response) -> Response:
    response.headers[REQUEST_ID_HEADER] = request_id()
    return response


def _answer_error(error: Exception) -> Response:
    if isinstance(error, GatekeeperError):
        return _problem(error)
    if isinstance(error, ClientDisconnected):
        return _problem(BadRequest("the body did not come, whole and in time"))
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        kind = _HTTP_ERRORS.get(error.code, BadRequest)
        response = _problem(kind(error.description or error.name))
        if isinstance(valid := getattr(error, "valid_methods", None), list):
            response.headers["Allow"] = ", ".join(sorted(valid))
        return response
    return response_to(plain.unexpected(error, request_id()))


def _problem(error: GatekeeperError) -> Response:
    return response_to(plain.problem(error, request_id()))
