"""The services that a service asks: pooled sessions over mutual TLS, the least busy first, failing ones left out."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from http import HTTPStatus

import msgspec
import structlog

from contract.errors import DeadlineExceeded, GatekeeperError, Outcome, Unavailable, UpstreamFailed
from contract.exchange import Answering, Context, Exchanges, Lost, NotConnected, TooBusy
from contract.roles import Role
from contract.settings import Tls
from contract.tls import Following

log = structlog.get_logger()

# A peer that failed is asked again only when no other is left, or after this.
_LEFT_OUT_S = 1.0
# The peer answers at the deadline; this is for its answer's way.
_GRACE_S = 1.0
# How long a certificate and a key may be two that do not belong together.
_REPLACED_WITHIN_S = 3.0
# How long a request waits for a peer that is too busy to take its connection, when there is no other.
_PATIENCE_S = 5.0
_PAUSE_S = 0.05
# A larger body is passed on in pieces.
_MOST_HELD_BYTES = 256 << 10
# A longer one is no answer to a question about a peer's state.
_MOST_STATE_BYTES = 4 << 20


class Reply(msgspec.Struct, frozen=True):
    """A peer's answer: the body at once, or in chunks; then `body.close` must be called."""

    status: int
    headers: Mapping[str, str]
    body: "bytes | Chunks"


class _Peer:
    def __init__(self, url: str, role: Role, context: Context | None) -> None:
        self.url = url
        self.in_flight = 0
        self.left_out_until = 0.0
        self.exchanges = Exchanges(url, role, context)


class Peers:
    """The deployment's services of one role, at these URLs, each with its own connections, `most_in_flight` at once."""

    def __init__(
        self, urls: Sequence[str], role: Role, tls: Tls | None, *, connect_timeout_ms: int, most_in_flight: int
    ) -> None:
        context = _context(tls)
        self._role = role
        self._peers = [_Peer(url, role, context) for url in urls]
        self._connect_timeout_s = connect_timeout_ms / 1000
        self._most_in_flight = most_in_flight
        self._lock = threading.Lock()

    def post(
        self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool, is_keyed: bool = False
    ) -> Reply:
        """Sends a judged request to /endpoint, as `ask` does. Raises GatekeeperError."""
        return self.ask(
            "POST",
            "/endpoint",
            body,
            request_id=request_id,
            accept=accept,
            timeout_ms=timeout_ms,
            is_read=is_read,
            is_keyed=is_keyed,
        )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        request_id: str,
        accept: str,
        timeout_ms: int,
        is_read: bool,
        is_keyed: bool = False,
        at: str | None = None,
        nowhere_else: bool = False,
    ) -> Reply:
        """Sends a request to the least busy peer, and to another where that is safe. Raises GatekeeperError.

        All of them once; then again, for a while, those that were only too busy to take the connection. `is_keyed`:
        sent twice, it takes effect once. `at`: the URL of the peer that is asked first, or alone (`nowhere_else`).
        """
        start = (
            f"{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\n"
            f"Accept: {accept}\r\nX-Request-ID: {request_id}\r\n"
        )
        deadline = time.monotonic() + timeout_ms / 1000 + _GRACE_S
        patience = min(deadline, time.monotonic() + _PATIENCE_S)
        in_doubt = False  # one of them may have executed it
        tried = [peer for peer in self._peers if nowhere_else and peer.url != at]
        while True:
            peer = self._take(tried, at)
            try:
                return self._send(peer, start, body, deadline)
            except (NotConnected, Lost, TimeoutError) as error:
                failure = failure_of(self._role, error, is_read=is_read, is_keyed=is_keyed)
                in_doubt = in_doubt or failure.outcome == "unknown"
                log.warning(f"{self._role}_failed", request_id=request_id, url=peer.url, reason=type(error).__name__)
                peer.left_out_until = time.monotonic() + _LEFT_OUT_S
                if isinstance(error, TooBusy) and time.monotonic() < patience:
                    time.sleep(_PAUSE_S)
                    continue
                tried.append(peer)
                if not failure.retryable or len(tried) == len(self._peers) or time.monotonic() >= deadline:
                    failure.outcome = "unknown" if in_doubt else failure.outcome
                    raise failure from None

    def get_each(self, path: str) -> list[bytes]:
        """The bodies of those that answer a GET."""
        start = f"GET {path} HTTP/1.1\r\nAccept: */*\r\n"
        bodies = []
        for peer in self._peers:
            with contextlib.suppress(NotConnected, Lost, TimeoutError):
                status, body = self._at_once(peer, start, b"")
                bodies += [body] if status == HTTPStatus.OK else []
        return bodies

    def urls(self) -> list[str]:
        """The peers, the one that would be asked next first."""
        with self._lock:
            return [peer.url for peer in _best_first(self._peers)]

    def tell_each(self, path: str, body: bytes) -> list[int | None]:
        """Posts what a peer may miss to all of them; the status that each answered, None for one that did not."""
        start = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nAccept: */*\r\n"
        statuses: list[int | None] = []
        for peer in self._peers:
            try:
                statuses.append(self._at_once(peer, start, body)[0])
            except (NotConnected, Lost, TimeoutError):
                statuses.append(None)
        return statuses

    def close(self) -> None:
        """Closes the idle connections."""
        for peer in self._peers:
            peer.exchanges.close()

    def _at_once(self, peer: _Peer, start: str, body: bytes) -> tuple[int, bytes]:
        """The status and body of an answer that must be there at once. Raises NotConnected, Lost, TimeoutError."""
        deadline = time.monotonic() + self._connect_timeout_s
        answering = peer.exchanges.ask(start, body, connect_within_s=self._connect_timeout_s, deadline=deadline)
        with contextlib.closing(answering):
            return answering.status, _whole(answering, _MOST_STATE_BYTES)

    def _take(self, tried: Sequence[_Peer], at: str | None) -> _Peer:
        with self._lock:
            left = [peer for peer in self._peers if peer not in tried]
            peer = next((peer for peer in left if peer.url == at), None) or _best_first(left)[0]
            if peer.in_flight >= self._most_in_flight:
                raise Unavailable("too much is under way already", rule="max_in_flight")
            peer.in_flight += 1
        return peer

    def _give_back(self, peer: _Peer) -> None:
        with self._lock:
            peer.in_flight -= 1

    def _send(self, peer: _Peer, start: str, body: bytes, deadline: float) -> Reply:
        left_s = max(0.001, deadline - time.monotonic())
        held = Chunks(lambda: self._give_back(peer))
        try:
            connect_within_s = min(self._connect_timeout_s, left_s)
            answering = peer.exchanges.ask(start, body, connect_within_s=connect_within_s, deadline=deadline)
            held.answering = answering
            length = answering.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _MOST_HELD_BYTES:
                return Reply(answering.status, answering.headers, held)
            content = _whole(answering, _MOST_HELD_BYTES)
        except BaseException:
            held.close()
            raise
        held.close()
        return Reply(answering.status, answering.headers, content)


def _best_first(peers: Sequence[_Peer]) -> list[_Peer]:
    """Those that have not failed of late before those that have, the least busy of them first."""
    now = time.monotonic()
    return sorted(peers, key=lambda peer: (peer.left_out_until > now, peer.in_flight))


class Chunks:
    """A peer's answer that is passed on while it comes. `close` gives all back, whether it was begun or not."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._open = True
        self.answering: Answering | None = None

    def __iter__(self) -> Iterator[bytes]:
        assert self.answering is not None
        try:
            yield from self.answering.pieces()
        except (Lost, TimeoutError) as error:
            raise UpstreamFailed("the answer broke off", outcome="unknown") from error
        finally:
            self.close()

    def close(self) -> None:
        """Gives the connection and the place back; safe to call twice."""
        if self._open:
            self._open = False
            self._give_back()
            if self.answering is not None:
                self.answering.close()


def _whole(answering: Answering, most_bytes: int) -> bytes:
    """The whole body. Raises Lost, also for one that is larger than that, and TimeoutError."""
    pieces, size = [], 0
    for piece in answering.pieces():
        size += len(piece)
        if size > most_bytes:
            raise Lost("the answer is too large")
        pieces.append(piece)
    return b"".join(pieces)


def _context(tls: Tls | None) -> Context:
    """What TLS connections are made with: the certificate that is on the disk then."""
    if tls is None:
        return ssl.create_default_context
    following = cache(lambda: Following((tls.certificate, tls.key, tls.authority), lambda: _presenting(tls)))
    return lambda: following().current()


def _presenting(tls: Tls) -> ssl.SSLContext:
    """Raises OSError. Waits for a moment while certificate and key are being replaced, one after the other."""
    deadline = time.monotonic() + _REPLACED_WITHIN_S
    context = ssl.create_default_context(cafile=tls.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    while True:
        try:
            context.load_cert_chain(tls.certificate, tls.key)
            return context
        except ssl.SSLError as error:
            if error.reason != "KEY_VALUES_MISMATCH" or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def failure_of(role: Role, error: Exception, *, is_read: bool, is_keyed: bool) -> GatekeeperError:
    """What a failed exchange means. Only where no connection stood yet is it sure that nothing was executed."""
    outcome: Outcome = "rolled_back" if is_read else "unknown"
    if isinstance(error, NotConnected):
        return Unavailable(f"no {role} can be reached", rule=f"no_{role}")
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(f"the {role} did not answer in time", outcome=outcome, retryable=is_keyed)
    return UpstreamFailed(f"the {role} was lost before it answered", outcome=outcome, retryable=is_read or is_keyed)
