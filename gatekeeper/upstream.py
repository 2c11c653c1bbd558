"""The proxies behind the gatekeeper: pooled sessions over mutual TLS, the least busy first, failing ones left out."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import requests
import structlog
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util.ssl_match_hostname import CertificateError

from contract.errors import DeadlineExceeded, GatekeeperError, Outcome, Unavailable, UpstreamFailed, causes
from contract.idle import REUSED_WITHIN_S
from contract.roles import dns_name
from contract.settings import Tls
from gatekeeper.settings import Settings

log = structlog.get_logger()

# A proxy that failed is asked again only when no other is left, or after this.
_LEFT_OUT_S = 1.0
# The proxy answers at the deadline; this is for its answer's way.
_GRACE_S = 1.0
_CHUNK_BYTES = 32 << 10
# How long a certificate and a key may be two that do not belong together.
_REPLACED_WITHIN_S = 3.0
# What ends an exchange before it begins: no connection, or not to a proxy.
_UNSENT = (ConnectTimeoutError, NewConnectionError, CertificateError, ssl.SSLCertVerificationError)
# A larger body is passed on in chunks.
_MOST_HELD_BYTES = 256 << 10


class Reply(msgspec.Struct, frozen=True):
    """A proxy's answer: the body at once, or in chunks; then `body.close` must be called."""

    status: int
    headers: Mapping[str, str]
    body: "bytes | Chunks"


class Upstream(Protocol):
    """What the gatekeeper forwards to; a test hands in another."""

    def post(self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool) -> Reply:
        """Sends a judged request. Raises GatekeeperError."""
        ...

    def get_each(self, path: str) -> list[bytes]:
        """The bodies of those proxies that answer a GET."""
        ...


class _Proxy:
    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self.in_flight = 0
        self.left_out_until = 0.0
        self.session = _session(url, settings)
        # Prepared once and copied: preparing is a third of what an exchange costs this side.
        self.prepared = self.session.prepare_request(requests.Request("POST", f"{url}/endpoint"))


class Proxies:
    """The deployment's proxies, each with its own pool of connections."""

    def __init__(self, settings: Settings) -> None:
        self._proxies = [_Proxy(url, settings) for url in settings.proxies]
        self._connect_timeout_s = settings.connect_timeout_ms / 1000
        self._most_in_flight = settings.connections_per_proxy
        self._lock = threading.Lock()

    def post(self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool) -> Reply:
        """Sends a judged request to the least busy proxy, and to another where that is safe. Raises GatekeeperError."""
        headers = {"Content-Type": "application/json", "X-Request-ID": request_id, "Accept": accept}
        deadline = time.monotonic() + timeout_ms / 1000 + _GRACE_S
        tried: list[_Proxy] = []
        while True:
            proxy = self._take(tried)
            try:
                return self._send(proxy, body, headers, deadline)
            except requests.RequestException as error:
                failure = _failure(error, is_read=is_read, in_time=time.monotonic() < deadline)
                log.warning("proxy_failed", request_id=request_id, proxy=proxy.url, reason=type(error).__name__)
                proxy.left_out_until = time.monotonic() + _LEFT_OUT_S
                tried.append(proxy)
                if not failure.retryable or len(tried) == len(self._proxies) or time.monotonic() >= deadline:
                    raise failure from None

    def get_each(self, path: str) -> list[bytes]:
        """The bodies of those proxies that answer a GET."""
        bodies = []
        for proxy in self._proxies:
            with contextlib.suppress(requests.RequestException):
                response = proxy.session.get(proxy.url + path, timeout=self._connect_timeout_s)
                if response.ok:
                    bodies.append(response.content)
        return bodies

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

    def _send(self, proxy: _Proxy, body: bytes, headers: dict[str, str], deadline: float) -> Reply:
        left_s = max(0.001, deadline - time.monotonic())
        held = Chunks(lambda: self._give_back(proxy))
        try:
            request = proxy.prepared.copy()
            request.headers.update(headers)
            request.prepare_body(body, files=None)
            timeout = (min(self._connect_timeout_s, left_s), left_s)
            held.response = proxy.session.send(request, stream=True, timeout=timeout, allow_redirects=False)
            length = held.response.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _MOST_HELD_BYTES:
                return Reply(held.response.status_code, held.response.headers, held)
            content = held.response.content
        except BaseException:
            held.close()
            raise
        held.close()
        return Reply(held.response.status_code, held.response.headers, content)


class Chunks:
    """A proxy's answer that is passed on while it comes. `close` gives all back, whether it was begun or not."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._open = True
        self.response: requests.Response | None = None

    def __iter__(self) -> Iterator[bytes]:
        assert self.response is not None
        try:
            yield from self.response.raw.stream(_CHUNK_BYTES, decode_content=False)
        except HTTPError as error:
            raise UpstreamFailed("the answer broke off", outcome="unknown") from error
        finally:
            self.close()

    def close(self) -> None:
        """Gives the connection and the place back; safe to call twice."""
        if self._open:
            self._open = False
            self._give_back()
            if self.response is not None:
                self.response.close()


class _Plain(HTTPConnection):
    """A connection that is used again only within REUSED_WITHIN_S: contract/idle.py has the rule."""

    _heard_at = 0.0

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own has it
        """The answer, from whose beginning on the connection counts as idle: that is never too late."""
        response = super().getresponse()
        self._heard_at = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        """Whether the pool may give it out again."""
        return time.monotonic() - self._heard_at < REUSED_WITHIN_S and super().is_connected


class _Secure(_Plain, HTTPSConnection):
    """The same over TLS, with the certificate that is on the disk when it is made."""

    def connect(self) -> None:
        """Connects; again for a moment, while certificate and key are being replaced, one after the other."""
        deadline = time.monotonic() + _REPLACED_WITHIN_S
        while True:
            try:
                return super().connect()
            except ssl.SSLError as error:
                if error.reason != "KEY_VALUES_MISMATCH" or time.monotonic() > deadline:
                    raise
                self.close()
                time.sleep(0.02)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    """Gives out connections that may still be used."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


class _SecureAdapter(_Adapter):
    """Checks too that the server is a proxy, by the role in its certificate, whatever its address."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        name = dns_name("proxy")
        super().init_poolmanager(*args, **kwargs, assert_hostname=name, server_hostname=name)


def _session(url: str, settings: Settings) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    size = settings.connections_per_proxy
    if settings.tls is None:
        session.mount(url, _Adapter(pool_connections=1, pool_maxsize=size))
    else:
        _present(session, settings.tls)
        session.mount(url, _SecureAdapter(pool_connections=1, pool_maxsize=size))
    return session


def _present(session: requests.Session, tls: Tls) -> None:
    session.verify = tls.authority
    session.cert = (tls.certificate, tls.key)


def _failure(error: requests.RequestException, *, is_read: bool, in_time: bool) -> GatekeeperError:
    """What a failed exchange means. Only where no connection stood yet is it sure that nothing was executed.

    A time-out before the deadline is one of the TLS handshake, which urllib3 reports as one of reading.
    """
    outcome: Outcome = "rolled_back" if is_read else "unknown"
    handshake = isinstance(error, requests.ReadTimeout) and in_time
    if handshake or any(isinstance(cause, _UNSENT) for cause in causes(error)):
        return Unavailable("no proxy can be reached", rule="no_proxy")
    if isinstance(error, requests.Timeout):
        return DeadlineExceeded("the proxy did not answer in time", outcome=outcome)
    return UpstreamFailed("the proxy was lost before it answered", outcome=outcome, retryable=is_read)
