"""The orchestrator's way into the cluster: statements, sent to a proxy."""

import random
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from contract.errors import DatabaseRefused, GatekeeperError, Problem, Unavailable, UpstreamFailed, error_of
from contract.implementations import DIRECT_HIT
from contract.messages import Idempotency, ProxyRequest, Statement
from contract.peers import Reply
from contract.plain import JSON

log = structlog.get_logger()

# A generator of its own: work goes on in the background, beside whoever counts on the common one.
_DICE: Final = random.Random()  # noqa: S311 jitter is no secret

# The proxy and its nodes; what a statement of the queue's own may take, which touches few rows.
_STATEMENT_TIMEOUT_MS: Final = 5_000
_PAUSE_S: Final = (0.05, 1.0)
# Whose the keys are: no API key has this name.
_OWNER: Final = "/orchestrator"


class Proxies(Protocol):
    """The proxies; a test hands in others."""

    def post(
        self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool, is_keyed: bool = False
    ) -> Reply:
        """Sends a request to /endpoint. Raises GatekeeperError."""
        ...


class Done(msgspec.Struct, frozen=True):
    """What a statement of the queue gave."""

    rows: list[list[Any]]
    affected_rows: int


class Statements:
    """Runs the queue's own statements, and those of the requests."""

    def __init__(self, proxies: Proxies, ledger_keeps_s: int = 0) -> None:
        self._proxies = proxies
        self._ledger_keeps_s = ledger_keeps_s

    def run(self, request: ProxyRequest, request_id: str) -> bytes:
        """The answer of a request that was queued, as JSON. Raises GatekeeperError."""
        # Sent twice to two proxies it has its effect once: see `keyed`.
        return self._sent(keyed(request, request_id, self._ledger_keeps_s), request_id)

    def ask(self, sql: str, params: Sequence[Any] = (), *, request_id: str, within_s: float) -> Done:
        """What a statement of the queue gives, which may be run again whatever became of it. Raises GatekeeperError.

        It is tried again until the time has passed, while proxies or nodes fail.
        """
        return self.ask_all([Statement(sql, list(params))], request_id=request_id, within_s=within_s)

    def ask_all(self, statements: Sequence[Statement], *, request_id: str, within_s: float) -> Done:
        """What the last of the statements gives; several are one transaction. Otherwise as `ask`."""
        asked = _request(statements)
        deadline = time.monotonic() + within_s
        pause, longest = _PAUSE_S
        while True:
            left_ms = max(1, int((deadline - time.monotonic()) * 1000))
            request = msgspec.structs.replace(asked, timeout_ms=min(left_ms, _STATEMENT_TIMEOUT_MS))
            try:
                answer = self._sent(request, request_id)
                return msgspec.json.decode(answer, type=Done)
            except GatekeeperError as error:
                if not _passes(error) or time.monotonic() + pause >= deadline:
                    raise
                log.info("queue_statement_failed", request_id=request_id, code=error.code, detail=error.detail)
            time.sleep(pause * _DICE.uniform(0.5, 1))
            pause = min(longest, pause * 2)

    def _sent(self, request: ProxyRequest, request_id: str) -> bytes:
        is_read = request.effect == "read"
        reply = self._proxies.post(
            msgspec.json.encode(request),
            request_id=request_id,
            accept=JSON,
            timeout_ms=request.timeout_ms,
            is_read=is_read,
            is_keyed=not is_read,
        )
        content = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        if reply.status == 200:
            return content
        try:
            raise error_of(msgspec.json.decode(content, type=Problem))
        except msgspec.MsgspecError:
            raise UpstreamFailed("what the proxy answered is no problem", outcome="unknown") from None


def _request(statements: Sequence[Statement]) -> ProxyRequest:
    if len(statements) == 1:
        (only,) = statements
        return ProxyRequest(query=only.query, params=only.params, implementation=DIRECT_HIT, effect="queue")
    return ProxyRequest(statements=list(statements), implementation=DIRECT_HIT, effect="queue")


def keyed(request: ProxyRequest, request_id: str, keep_s: int = 0) -> ProxyRequest:
    """The request as a proxy gets it. A write has a key: run again within `keep_s`, it gives its first answer."""
    if request.effect == "read":
        return request
    return msgspec.structs.replace(request, idempotency=Idempotency(request_id, _OWNER, keep_s))


def hidden(error: GatekeeperError) -> GatekeeperError:
    """The error of a statement of the queue as a caller may see it, who knows nothing of the queue's tables."""
    if isinstance(error, DatabaseRefused):
        log.error("queue_refused", errno=error.mysql_errno, detail=error.detail)
        return Unavailable("the queue can't be used at the moment", rule="queue")
    return error


def _passes(error: GatekeeperError) -> bool:
    return error.retryable or error.status >= 502
