"""How gunicorn serves all services: what a peer must show, what a slow one may take, how a bad request is answered.

And how a worker ends without a request lost: see `Worker`.
"""

import contextlib
import errno
import secrets
import ssl
import time
from functools import partial
from typing import Any

import gevent
import msgspec
import structlog
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http import errors, get_parser
from gunicorn.sock import ssl_context
from gunicorn.util import close
from gunicorn.workers.ggevent import GeventWorker

from contract import plain
from contract.errors import PROBLEM_MEDIA_TYPE, BadRequest, GatekeeperError, InternalError, TooLarge
from contract.idle import DRAINED_AFTER_S, KEPT_S
from contract.waiting import Idle, Wait

log = structlog.get_logger()

# What a peer may take: for a request's line and headers from their first byte on, for a body, and for each read of a
# body and each write of a chunk. All but the last are totals, so that a byte now and then is no way to stay.
HEAD_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 30.0
PEER_TIMEOUT_S = 10.0
# How long the body of a plain request may take to follow its head, before gunicorn reads on, with the times above.
_BODY_FOLLOWS_S = 1.0
# For the answer to what is no request, and for the rest of it to come in: closing with unread bytes would make the
# kernel reset the connection, and the answer would be lost.
_LAST_WORDS_TIMEOUT_S = 1.0
# What a request that is under way when its worker is told to end may still take: a statement's usual limit is 30 s
# (contract/messages.py), and the answer has to be sent.
GRACEFUL_TIMEOUT_S = 35

# Every service's limits and rules for reading requests, as gunicorn's options. No peer may set the path, the scheme or
# its address by a header (gunicorn lets loopback do so by default), and a name with an underscore, which two servers
# may take for another one, is refused. `python`: one parser, whatever else is installed.
HTTP_OPTIONS: dict[str, Any] = {
    "limit_request_line": 8_190,
    "limit_request_fields": 64,
    "limit_request_field_size": 8_190,
    "header_map": "refuse",
    "forwarder_headers": "",
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    "http_parser": "python",
    "http_protocols": "h1",
    "keepalive": KEPT_S,
    "graceful_timeout": GRACEFUL_TIMEOUT_S,
}

# What is received at once: a plain request's head, and the body of nearly every one.
_RECEIVED_BYTES = 64 << 10
# How often a worker says that it lives, and looks which connections were idle for too long, and whether it may end.
_REST_S = 0.25
# What gunicorn counts among the mistakes of a request and is none of the peer's.
_OURS = (
    errors.InvalidResponseHeader,  # type: ignore[attr-defined]  # newer than the stubs
    errors.InvalidResponseHeaderName,  # type: ignore[attr-defined]
    errors.ConfigurationProblem,
)
_STATUS: tuple[tuple[type[Exception], int, type[GatekeeperError]], ...] = (
    (errors.LimitRequestLine, 414, TooLarge),
    (errors.LimitRequestHeaders, 431, TooLarge),
    (errors.UnsupportedTransferCoding, 501, BadRequest),
    (errors.ExpectationFailed, 417, BadRequest),
    (errors.ParseException, 400, BadRequest),
)


class Worker(GeventWorker):
    """gunicorn's gevent worker, with limits for slow peers, and problems for what can't be read as a request.

    Plain requests (contract/plain.py) are handed to the application's own handler for them, `extensions["plain"]`; from
    a connection's first other request on, gunicorn reads it, and its WSGI application answers.

    Told to end by SIGTERM it drains: it takes no new connections, answers the requests that come on those that stand,
    each with `Connection: close`, and closes one that is idle only when no client of ours would send on it any more
    (contract/idle.py). SIGINT and SIGQUIT end it at once.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle = Idle()
        self._waits: set[Wait] = set()
        self._tls: ssl.SSLContext | None = None

    def run(self) -> None:
        """Serves until the worker is told to end, and then drains.

        In the place of gunicorn's own, which loses a connection that was accepted just before the listener is closed:
        gevent's server forgets what serves it after its handshake (gevent 26.9, wrap_socket_and_handle), and gunicorn
        asks the closed listener for its address (gunicorn 27.0, AsyncWorker.handle).
        """
        self._tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        pool = Pool(self.worker_connections)
        servers = [self._server(listener, pool) for listener in self.sockets]
        while self.alive:
            self._rest()
        for server in servers:
            server.close()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while len(pool) and time.monotonic() < deadline:
            self._rest()
        if len(pool):
            log.warning("cut_off", connections=len(pool))
            pool.kill(timeout=1)

    def _server(self, listener: Any, pool: Pool) -> StreamServer:
        listener.setblocking(1)
        address = _Address(listener.getsockname())
        server = StreamServer(listener, handle=partial(self.handle, address), spawn=pool)
        if self.cfg.workers > 1:
            server.max_accept = 1  # so that the others get their share
        server.start()
        return server

    def _rest(self) -> None:
        self.notify()
        self._idle.end(self._idle_s)
        gevent.sleep(_REST_S)

    @property
    def _idle_s(self) -> float:
        return float(self.cfg.keepalive) if self.alive else DRAINED_AFTER_S

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begins to drain, on SIGTERM. The application is told, by its extension `leaving`, if it has one."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._leave)  # not within the signal's handler

    def _leave(self) -> None:
        getattr(self.wsgi, "extensions", {}).get("leaving", lambda: None)()
        for wait in tuple(self._waits):
            wait.limit(DRAINED_AFTER_S)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serves a connection: its plain requests, and then, where another kind comes, all by gunicorn's parser."""
        if self._tls is not None:
            client = self._tls.wrap_socket(client, server_side=True)
        try:
            if begun := self._serve_plain(client, addr):
                self._serve(listener, client, addr, begun)
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            log.debug("peer_gone", reason=type(error).__name__)  # or too slow
        except OSError as error:
            log.error("unhandled", exc_info=error)
        finally:
            close(client)

    def _serve_plain(self, client: Any, addr: Any) -> bytes:
        """Answers plain requests; returns the first bytes of one that is not, or none when the connection is over."""
        handler: plain.Handler | None = getattr(self.wsgi, "extensions", {}).get("plain")
        while begun := self._idle.receive(client, _RECEIVED_BYTES):
            head = plain.head_of(begun) if handler else None
            if handler is None or head is None:
                return begun
            begun = _completed(client, begun, head.end)
            if len(begun) != head.end:
                return begun
            request_id = plain.request_id_of(head.headers.get("x-request-id"))
            request = plain.Request(request_id, head.headers, begun[head.start :], addr[0] if addr else "", client)
            if not self._answer(client, plain.answered(handler, request)):
                break
        return b""

    def _answer(self, client: Any, answer: plain.Answer) -> bool:
        """Sends an answer; whether the connection stays. Raises OSError, TimeoutError for a peer that does not read."""
        goes_on = self.alive
        client.settimeout(PEER_TIMEOUT_S)
        try:
            for piece in plain.encoded(answer, last=not goes_on):
                client.sendall(piece)
        except GatekeeperError:  # a body that broke off: the peer must see that it is not whole
            return False
        finally:
            answer.close()
            client.settimeout(None)
        return goes_on

    def _serve(self, listener: Any, client: Any, addr: Any, begun: bytes) -> None:
        """Answers requests as gunicorn's AsyncWorker.handle does, the first of which has begun already."""
        request = None
        try:
            parser = get_parser(self.cfg, client, addr)
            parser.unreader.unread(begun)
            while True:
                request = None
                with Wait(client, self._idle_s, HEAD_TIMEOUT_S, self._waits, begun=bool(begun)):
                    request = next(parser)
                if request is None:
                    log.debug("too_slow_or_idle")
                    return
                begun = b""
                self.handle_request(listener.getsockname(), request, client, addr)
        except (errors.NoMoreData, StopIteration):
            return
        except OSError:
            raise
        except BaseException as error:
            self.handle_error(request, client, addr, error)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Serves one request; a peer that does not go on in time is disconnected."""
        sock.settimeout(PEER_TIMEOUT_S)
        req.body.reader = _TimedReader(req.body.reader, BODY_TIMEOUT_S)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            # What gunicorn passes over in silence: the peer is gone, as far as we are concerned.
            raise BrokenPipeError(errno.EPIPE, "the peer is too slow") from error
        finally:
            sock.settimeout(None)

    def handle_error(self, _req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers what can't be read as a request, and logs the kind of its mistake: the text may hold a key."""
        if isinstance(exc, ssl.SSLError):
            return
        if isinstance(exc, errors.ParseException) and not isinstance(exc, _OURS):
            log.warning("unreadable_request", peer=addr[0] if addr else "", mistake=type(exc).__name__)
        else:
            log.error("unhandled", exc_info=exc)
        _say_last(client, refusal(exc))


class _Address:
    """What gunicorn asks a listener for, when it is closed too."""

    def __init__(self, address: Any) -> None:
        self._address = address

    def getsockname(self) -> Any:
        """The address that is listened on."""
        return self._address


def refusal(mistake: BaseException) -> bytes:
    """The whole answer, a problem, to what gunicorn could not read as a request."""
    status, error = _error_of(mistake)
    problem = msgspec.structs.replace(error.problem(secrets.token_hex(8)), status=status)
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {status} {error.title}\r\nContent-Type: {PROBLEM_MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-ID: {problem.request_id}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _error_of(mistake: BaseException) -> tuple[int, GatekeeperError]:
    if not isinstance(mistake, _OURS):
        for type_, status, kind in _STATUS:
            if isinstance(mistake, type_):
                return status, kind("this is no request that can be read; nothing was executed")
    return 500, InternalError("an internal error", outcome="unknown")


def _moment(seconds: float) -> gevent.Timeout:
    """Ends its block after that time, without an error: gevent's `False`, which its stubs leave out."""
    return gevent.Timeout(seconds, False)  # type: ignore[arg-type]


class _TimedReader:
    """One of gunicorn's readers of bodies, within a time for all its reads together.

    Raises TimeoutError, and BrokenPipeError where the body is not framed as HTTP has it: then the connection is over,
    and what the application was reading for ends like the request of a peer that is gone.
    """

    def __init__(self, reader: Any, limit_s: float) -> None:
        self._reader = reader
        self._deadline = time.monotonic() + limit_s

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; what has arrived already is given even after the limit."""
        left = max(0.0, self._deadline - time.monotonic())
        try:
            with gevent.Timeout(left, TimeoutError("the body is too slow")):
                data: bytes = self._reader.read(size)
                return data
        except errors.ParseException:  # whose text may hold some of the body
            raise BrokenPipeError(errno.EPIPE, "the body can't be read") from None


def _completed(client: Any, begun: bytes, end: int) -> bytes:
    """What was received, and what follows of it at once, up to `end` bytes in all. Raises OSError."""
    if len(begun) >= end:
        return begun
    received = bytearray(begun)
    with _moment(_BODY_FOLLOWS_S):
        while len(received) < end and (more := client.recv(end - len(received))):
            received += more
    return bytes(received)


def _say_last(client: Any, answer: bytes) -> None:
    """Sends the answer, and takes what the peer still sends, for a moment."""
    with contextlib.suppress(OSError), _moment(_LAST_WORDS_TIMEOUT_S):
        client.sendall(answer)
        client.shutdown(1)
        while client.recv(65_536):
            pass
