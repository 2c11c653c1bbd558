"""The proxies behind the gatekeeper: pooled sessions over mutual TLS, the least busy first, failing ones left out."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Protocol

import msgspec
import structlog

from contract.errors import DeadlineExceeded, GatekeeperError, Outcome, Unavailable, UpstreamFailed
from contract.settings import Tls
from contract.tls import Following
from gatekeeper.exchange import Answering, Context, Exchanges, Lost, NotConnected, TooBusy
from gatekeeper.settings import Settings

log = structlog.get_logger()

# A proxy that failed is asked again only when no other is left, or after this.
_LEFT_OUT_S = 1.0
# The proxy answers at the deadline; this is for its answer's way.
_GRACE_S = 1.0
# How long a certificate and a key may be two that do not belong together.
_REPLACED_WITHIN_S = 3.0
# How long a request waits for a proxy that is too busy to take its connection, when there is no other.
_PATIENCE_S = 5.0
_PAUSE_S = 0.05
# A larger body is passed on in pieces.
_MOST_HELD_BYTES = 256 << 10
# A longer one is no answer to a question about a proxy's state.
_MOST_STATE_BYTES = 4 << 20


class Reply(msgspec.Struct, frozen=True):
    """A proxy's answer: the body at once, or in chunks; then `body.close` must be called."""

    status: int
    headers: Mapping[str, str]
    body: "bytes | Chunks"


class Upstream(Protocol):
    """What the gatekeeper forwards to; a test hands in another."""

    def post(
        self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool, is_keyed: bool = False
    ) -> Reply:
        """Sends a judged request; one that is a read or has an idempotency key may be sent again.

        Raises GatekeeperError.
        """
        ...

    def get_each(self, path: str) -> list[bytes]:
        """The bodies of those proxies that answer a GET."""
        ...


class _Proxy:
    def __init__(self, url: str, context: Context | None) -> None:
        self.url = url
        self.in_flight = 0
        self.left_out_until = 0.0
        self.exchanges = Exchanges(url, context)


class Proxies:
    """The deployment's proxies, each with its own connections."""

    def __init__(self, settings: Settings) -> None:
        context = _context(settings.tls)
        self._proxies = [_Proxy(url, context) for url in settings.proxies]
        self._connect_timeout_s = settings.connect_timeout_ms / 1000
        self._most_in_flight = settings.connections_per_proxy
        self._lock = threading.Lock()

    def post(
        self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool, is_keyed: bool = False
    ) -> Reply:
        """Sends a judged request to the least busy proxy, and to another where that is safe. Raises GatekeeperError.

        All of them once; then again, for a while, those that were only too busy to take the connection.
        """
        start = (
            "POST /endpoint HTTP/1.1\r\nContent-Type: application/json\r\n"
            f"Accept: {accept}\r\nX-Request-ID: {request_id}\r\n"
        )
        deadline = time.monotonic() + timeout_ms / 1000 + _GRACE_S
        patience = min(deadline, time.monotonic() + _PATIENCE_S)
        in_doubt = False  # a proxy may have executed it
        tried: list[_Proxy] = []
        while True:
            proxy = self._take(tried)
            try:
                return self._send(proxy, start, body, deadline)
            except (NotConnected, Lost, TimeoutError) as error:
                failure = failure_of(error, is_read=is_read, is_keyed=is_keyed)
                in_doubt = in_doubt or failure.outcome == "unknown"
                log.warning("proxy_failed", request_id=request_id, proxy=proxy.url, reason=type(error).__name__)
                proxy.left_out_until = time.monotonic() + _LEFT_OUT_S
                if isinstance(error, TooBusy) and time.monotonic() < patience:
                    time.sleep(_PAUSE_S)
                    continue
                tried.append(proxy)
                if not failure.retryable or len(tried) == len(self._proxies) or time.monotonic() >= deadline:
                    failure.outcome = "unknown" if in_doubt else failure.outcome
                    raise failure from None

    def get_each(self, path: str) -> list[bytes]:
        """The bodies of those proxies that answer a GET."""
        bodies = []
        for proxy in self._proxies:
            with contextlib.suppress(NotConnected, Lost, TimeoutError):
                bodies += self._got(proxy, path)
        return bodies

    def close(self) -> None:
        """Closes the idle connections."""
        for proxy in self._proxies:
            proxy.exchanges.close()

    def _got(self, proxy: _Proxy, path: str) -> list[bytes]:
        deadline = time.monotonic() + self._connect_timeout_s
        start = f"GET {path} HTTP/1.1\r\nAccept: */*\r\n"
        answering = proxy.exchanges.ask(start, b"", connect_within_s=self._connect_timeout_s, deadline=deadline)
        with contextlib.closing(answering):
            body = _whole(answering, _MOST_STATE_BYTES)
        return [body] if answering.status == 200 else []

    def _take(self, tried: Sequence[_Proxy]) -> _Proxy:
        now = time.monotonic()
        with self._lock:
            left = [proxy for proxy in self._proxies if proxy not in tried]
            proxy = min(left, key=lambda proxy: (proxy.left_out_until > now, proxy.in_flight))
            if proxy.in_flight >= self._most_in_flight:
                raise Unavailable("the gatekeeper is busy", rule="max_in_flight")
            proxy.in_flight += 1
        return proxy

    def _give_back(self, proxy: _Proxy) -> None:
        with self._lock:
            proxy.in_flight -= 1

    def _send(self, proxy: _Proxy, start: str, body: bytes, deadline: float) -> Reply:
        left_s = max(0.001, deadline - time.monotonic())
        held = Chunks(lambda: self._give_back(proxy))
        try:
            connect_within_s = min(self._connect_timeout_s, left_s)
            answering = proxy.exchanges.ask(start, body, connect_within_s=connect_within_s, deadline=deadline)
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


class Chunks:
    """A proxy's answer that is passed on while it comes. `close` gives all back, whether it was begun or not."""

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


def failure_of(error: Exception, *, is_read: bool, is_keyed: bool) -> GatekeeperError:
    """What a failed exchange means. Only where no connection stood yet is it sure that nothing was executed."""
    outcome: Outcome = "rolled_back" if is_read else "unknown"
    if isinstance(error, NotConnected):
        return Unavailable("no proxy can be reached", rule="no_proxy")
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("the proxy did not answer in time", outcome=outcome, retryable=is_keyed)
    return UpstreamFailed("the proxy was lost before it answered", outcome=outcome, retryable=is_read or is_keyed)
