"""The console in a browser: a forwarder on this machine's loopback, which has the operator's certificate to show.

Others may have accounts on this machine, and any web page may send requests to its loopback. So

- a link is good for one login and ten minutes: it may be seen in the arguments of the program that opens it. Used a
  second time it closes the session, since somebody else has it then;
- it is exchanged for a path that nobody can guess and a cookie (HttpOnly, SameSite=Strict) for that path. Both are
  asked for: cookies go to every port of an address, and a path stays in a browser's history;
- Host must be the address that is listened on, whatever name a page has led here (DNS rebinding), and what a page of
  another origin asks for is refused (Sec-Fetch-Site);
- nothing but the console's own resources is passed on, by GET.
"""

import re
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Any, Final, Protocol

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from contract.console import HEADERS
from contract.errors import GatekeeperError
from contract.peers import Peers, Reply
from contract.settings import Tls
from deploy.certificates import Credentials

ADDRESS: Final = "127.0.0.1"
OPERATOR: Final = "operator"
COOKIE: Final = "console"
_LOGIN_WITHIN_S: Final = 600.0
_TIMEOUT_MS: Final = 4_000
_CONNECT_TIMEOUT_MS: Final = 2_000
_RESOURCE: Final = re.compile(r"console(/[a-z]{1,32}(\.[a-z]{1,4})?)?")
_OF_OURS: Final = ("none", "same-origin")


class Orchestrator(Protocol):
    """Who is asked; a test hands in another."""

    def ask(
        self, method: str, path: str, body: bytes, /, *, request_id: str, accept: str, timeout_ms: int, is_read: bool
    ) -> Reply:
        """Sends a request. Raises GatekeeperError."""
        ...

    def close(self) -> None:
        """Closes the idle connections."""
        ...


class Refused(Exception):
    """A request that is not the operator's; the text may be shown to whoever sent it."""


class Session:
    """One login, and what it gives: a path and a cookie. All three are secrets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = clock() + _LOGIN_WITHIN_S
        self._uses = 0
        self.login, self.path, self.cookie = (secrets.token_urlsafe(32) for _ in range(3))

    def log_in(self, given: str) -> None:
        """Uses the link. Raises Refused."""
        if not compare_digest(given.encode(), self.login.encode()):
            raise Refused("there is no such link")
        self._uses += 1
        if self._uses > 1:
            raise Refused("this link was used before: the session is closed; end `fab console` and start it again")
        if self._clock() > self._until:
            raise Refused("this link is too old; start `fab console` again")

    def check(self, path: str, cookie: str) -> None:
        """Raises Refused, about what does not belong to the session."""
        known = compare_digest(path.encode(), self.path.encode())
        if not compare_digest(cookie.encode(), self.cookie.encode()) or not known:
            raise Refused("this is not the session that was logged in")
        if self._uses != 1:
            raise Refused("the session is closed: its link was used again; start `fab console` again")


def create_app(orchestrator: Orchestrator, session: Session, port: int) -> Flask:
    """The forwarder as a WSGI application, which listens on that port."""
    app = Flask("console", static_folder=None)
    host = f"{ADDRESS}:{port}"

    @app.before_request
    def check() -> None:
        if request.method != "GET":  # a HEAD would use up the link
            raise MethodNotAllowed(["GET"])
        if request.headers.get("Host") != host:
            raise Refused("this is another host's name")
        if request.headers.get("Sec-Fetch-Site", "none") not in _OF_OURS:
            raise Refused("a page of another origin asks for this")

    @app.get("/login/<given>")
    def log_in(given: str) -> Response:
        if request.headers.get("Sec-Purpose") or request.headers.get("Purpose"):
            raise Refused("this link is not to be fetched before it is wanted")
        session.log_in(given)
        response = Response(status=303, headers={"Location": f"/{session.path}/console"})
        response.set_cookie(COOKIE, session.cookie, path=f"/{session.path}", httponly=True, samesite="Strict")
        return response

    @app.get("/<path>/<path:resource>")
    def forward(path: str, resource: str) -> Response:
        session.check(path, request.cookies.get(COOKIE, ""))
        if not _RESOURCE.fullmatch(resource):
            return _said("there is no such resource", 404)
        return _answer_of(orchestrator, resource)

    app.after_request(_guard)
    app.register_error_handler(Refused, lambda refused: _said(str(refused), 403))
    app.register_error_handler(HTTPException, lambda error: _said(error.name, error.code or 400))
    return app


def _answer_of(orchestrator: Orchestrator, resource: str) -> Response:
    try:
        reply = orchestrator.ask(
            "GET",
            f"/{resource}",
            b"",
            request_id=secrets.token_hex(8),
            accept="*/*",
            timeout_ms=_TIMEOUT_MS,
            is_read=True,
        )
        body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
    except GatekeeperError as error:
        return _said(error.detail, 502)
    if reply.status == 403:  # not the browser's session: the certificate
        return _said("the orchestrator does not accept the operator's certificate", 502)
    return Response(body, reply.status, content_type=reply.headers.get("Content-Type", "application/octet-stream"))


def _guard(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _said(text: str, status: int) -> Response:
    return Response(f"{text}\n", status, content_type="text/plain; charset=utf-8")


class Forwarder(msgspec.Struct, frozen=True):
    """A forwarder that listens; `url` is its link, which is a secret until it was used."""

    url: str
    port: int
    server: BaseWSGIServer
    orchestrator: Orchestrator

    def serve(self) -> None:
        """Answers requests until `stop` is called or the program is interrupted."""
        try:
            self.server.serve_forever()  # which closes the socket at its end
        finally:
            self.orchestrator.close()

    def stop(self) -> None:
        """Ends `serve`, from another thread."""
        self.server.shutdown()


def forwarder(urls: Sequence[str], credentials: Credentials) -> Forwarder:
    """A forwarder to the orchestrators at these URLs: to the first of them, while it answers."""
    tls = Tls(str(credentials.certificate), str(credentials.key), str(credentials.authority))
    return listening(Peers(urls, "orchestrator", tls, connect_timeout_ms=_CONNECT_TIMEOUT_MS, most_in_flight=16))


def listening(orchestrator: Orchestrator) -> Forwarder:
    """A forwarder to that orchestrator, on a free port."""
    session = Session()
    with socket.create_server((ADDRESS, 0)) as listener:
        port = listener.getsockname()[1]
        app = create_app(orchestrator, session, port)
        server = make_server(ADDRESS, port, app, threaded=True, request_handler=_Silent, fd=listener.fileno())
    return Forwarder(f"http://{ADDRESS}:{port}/login/{session.login}", port, server, orchestrator)


class _Silent(WSGIRequestHandler):
    """Writes no line of a request: its path is a secret."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        """Nothing."""
