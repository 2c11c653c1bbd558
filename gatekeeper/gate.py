"""The gate: who may pass, as what, and what is written of it before it passes."""

import time
from collections.abc import Callable

import structlog
from flask import request

from contract import web
from contract.errors import BadRequest, Forbidden, GatekeeperError
from contract.implementations import canonical
from contract.messages import DEFAULT_TIMEOUT_MS, EndpointRequest, ProxyRequest
from gatekeeper import metrics
from gatekeeper.audit import AuditLog, Entry
from gatekeeper.judge import Judge, Verdict
from gatekeeper.keys import Key, KeyStore
from gatekeeper.policy import Role
from gatekeeper.rates import Rates
from gatekeeper.watched import Watched

log = structlog.get_logger()


class Passage:
    """One request's way through the gatekeeper, and what the log says of it. Never the key, never parameters."""

    def __init__(self) -> None:
        self.key: Key | None = None
        self.verdict: Verdict | None = None
        self.implementation: str | None = None
        self.accept = web.JSON
        self.leave: Callable[[], None] = lambda: None  # gives the place among the key's requests back
        self._started = time.perf_counter()

    def log(self, status: int, *, node: str | None = None, code: str | None = None, rule: str | None = None) -> None:
        """Writes the request's line and counts it."""
        elapsed = time.perf_counter() - self._started
        metrics.answered(status, code, elapsed)
        log.info(
            "request",
            request_id=web.request_id(),
            key=self.key.name if self.key else None,
            implementation=self.implementation,
            digest=self.verdict.digest if self.verdict else None,
            verdict="allowed" if self.verdict else "refused",
            rule=rule,
            node=node,
            status=status,
            code=code,
            ms=round(elapsed * 1000, 3),
        )


class Gate:
    """Who may pass: the key, its limits, the judge's verdict, and the audit log's line, without which nobody passes."""

    def __init__(self, keys: KeyStore, rates: Rates, judges: Watched[Judge], audit: AuditLog | None) -> None:
        self._keys = keys
        self._rates = rates
        self._judges = judges
        self._audit = audit

    def admit(self, passage: Passage, read: Callable[[], EndpointRequest], *, read_only: bool) -> ProxyRequest:
        """The request as it is to be forwarded. Raises GatekeeperError for one that is not.

        One over the key's limits is not read, let alone judged, and leaves no line in the audit log. Whatever comes
        of it, `passage.leave` must be called when the request has been answered.
        """
        key = passage.key = self._keys.authenticate(request.headers.get("Authorization"))
        passage.leave = self._rates.take(key.name, key.limits)
        try:
            passage.accept = web.negotiated()
            forwarded = self._judged(passage, key.role, read(), read_only=read_only)
        except GatekeeperError as error:
            self._record(passage, key, error)
            raise
        self._record(passage, key, None)
        return forwarded

    def _judged(self, passage: Passage, role: str, message: EndpointRequest, *, read_only: bool) -> ProxyRequest:
        asked = canonical(message.implementation) if message.implementation else None
        verdict = passage.verdict = self._judges.current().judge(role, message.query, message.database)
        passage.implementation = _implementation(verdict.role, asked)
        if read_only and verdict.effect != "read":
            raise BadRequest("GET runs reads only; use POST", rule="get_reads_only")
        return ProxyRequest(
            query=message.query,
            implementation=passage.implementation,
            params=message.params,
            database=verdict.database,
            timeout_ms=min(message.timeout_ms or DEFAULT_TIMEOUT_MS, verdict.role.max_timeout_ms),
            effect=verdict.effect,
            max_rows=verdict.role.max_rows,
            max_bytes=verdict.role.max_result_bytes,
            max_affected_rows=verdict.role.max_affected_rows,
        )

    def _record(self, passage: Passage, key: Key, refusal: GatekeeperError | None) -> None:
        if self._audit is None:
            return
        verdict = passage.verdict
        self._audit.write(
            Entry(
                request_id=web.request_id(),
                key=key.name,
                role=key.role,
                verdict="refused" if refusal else "allowed",
                kind=verdict.kind if verdict else None,
                effect=verdict.effect if verdict else None,
                digest=verdict.digest if verdict else None,
                database=verdict.database if verdict else None,
                code=refusal.code if refusal else None,
                rule=refusal.rule if refusal else None,
            )
        )


def _implementation(role: Role, asked: str | None) -> str:
    """The implementation that was asked for, or the role's default. Raises Forbidden for one that it may not use."""
    if asked is not None and asked not in role.implementations:
        raise Forbidden(f"the implementation {asked} is not open to this key", rule="implementation")
    return asked or role.default_implementation
