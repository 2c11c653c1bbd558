"""HTTP to the gatekeeper: the one place where the errors of `requests` become those of contract.errors.

What became of a statement is told by how far the request got. Without a connection nothing was executed; once the
request may have been sent, the outcome is unknown.
"""

import ssl
import uuid
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
import requests.adapters
import urllib3.exceptions

from contract.errors import (
    PROBLEM_MEDIA_TYPE,
    DeadlineExceeded,
    GatekeeperError,
    Problem,
    Unavailable,
    UpstreamFailed,
    causes,
    error_of,
)

CONNECT_TIMEOUT_S = 5.0
# The gatekeeper enforces the deadline and says what became of the statement: its answer is waited for a little longer.
GRACE_S = 2.0
_POOL_SIZE = 16

Message = TypeVar("Message")


class Transport:
    """Pooled connections to one gatekeeper, with one key; safe for several threads."""

    def __init__(self, url: str, key: str, ca: str | None) -> None:
        self.url = _checked_url(url)
        self._session = requests.Session()
        # No proxy, .netrc or CA bundle from the environment: the key goes where the caller said, and nowhere else.
        self._session.trust_env = False
        self._session.verify = _checked_ca(ca) if ca else True
        self._session.headers.update({"Authorization": f"Bearer {_checked_key(key)}", "User-Agent": "gk"})
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=_POOL_SIZE)
        self._session.mount(self.url, adapter)

    def call(
        self,
        method: str,
        path: str,
        kind: type[Message],
        *,
        timeout_ms: int,
        body: bytes | None = None,
        idempotency_key: str | None = None,
    ) -> Message:
        """The answer to one request, of the type `kind`; `timeout_ms` is also how long it is waited for.

        Raises the error that the gatekeeper's problem document stands for; Unavailable (`not_executed`) when no
        connection could be made; DeadlineExceeded or UpstreamFailed (`unknown`) when the answer is late, lost or not
        what was agreed. Each carries the request's id.
        """
        request_id = uuid.uuid4().hex
        try:
            keyed = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
            response = self._exchange(method, path, {"X-Request-ID": request_id, **keyed}, timeout_ms, body)
            return _message(response, kind)
        except GatekeeperError as error:
            error.request_id = error.request_id or request_id
            raise

    def _exchange(
        self, method: str, path: str, headers: dict[str, str], timeout_ms: int, body: bytes | None
    ) -> requests.Response:
        headers["Accept"] = f"application/json, {PROBLEM_MEDIA_TYPE}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        timeout = (min(CONNECT_TIMEOUT_S, timeout_ms / 1000), timeout_ms / 1000 + GRACE_S)
        try:
            return self._session.request(
                method, self.url + path, data=body, headers=headers, timeout=timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("the gatekeeper's URL must hold no user name or password")
    if parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise ValueError("the gatekeeper's URL must look like https://HOST[:PORT]")
    # What is no host or port is a ValueError of these two, here rather than at the first request.
    requests.Request("GET", url).prepare()
    (parts.hostname or "").encode("idna")
    return url.rstrip("/")


def _checked_key(key: str) -> str:
    if not (key.isascii() and key.isprintable() and key and " " not in key):
        raise ValueError("the key is not one: visible ASCII characters without blanks were expected")
    return key


def _checked_ca(ca: str) -> str:
    """The path, if certificates can be loaded from it. Raises ValueError, now rather than at the first request."""
    try:
        ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"no CA certificates can be read from {ca}: {error}") from None
    return ca


def _translated(error: requests.RequestException) -> GatekeeperError:
    found = list(causes(error))
    verification = next((cause for cause in found if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if verification is not None:
        return Unavailable(
            f"the gatekeeper's certificate is not accepted: {verification.verify_message}",
            retryable=False,
            retry_after_s=None,
        )
    refused = next((cause for cause in found if isinstance(cause, urllib3.exceptions.NewConnectionError)), None)
    if refused is not None:
        return Unavailable(f"no connection to the gatekeeper: {str(refused).rpartition(': ')[2]}", retry_after_s=None)
    if any(isinstance(cause, urllib3.exceptions.ConnectTimeoutError) for cause in found):
        return Unavailable("no connection to the gatekeeper: it did not answer in time", retry_after_s=None)
    if any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in found):
        return DeadlineExceeded("the gatekeeper's answer did not come in time", outcome="unknown")
    return UpstreamFailed(f"the connection to the gatekeeper was lost ({type(error).__name__})", outcome="unknown")


def _message(response: requests.Response, kind: type[Message]) -> Message:
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == PROBLEM_MEDIA_TYPE:
        raise _problem(response)
    if response.status_code not in {200, 201}:
        raise UpstreamFailed(
            f"an answer with status {response.status_code} that is no problem document", outcome="unknown"
        )
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamFailed(f"an answer that is not of the agreed form: {error}", outcome="unknown") from None


def _problem(response: requests.Response) -> GatekeeperError:
    """The error that a problem document stands for."""
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpstreamFailed(
            f"an answer with status {response.status_code} and a broken problem document", outcome="unknown"
        )
    retry_after = response.headers.get("Retry-After", "")
    return error_of(problem, int(retry_after) if retry_after.isascii() and retry_after.isdigit() else None)
