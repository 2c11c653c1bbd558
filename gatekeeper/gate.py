"""The gate: who may pass, as what, and what is written of it before it passes."""

import time
from collections.abc import Callable
from typing import Literal

import msgspec
import structlog

from contract.errors import BadRequest, Forbidden, GatekeeperError
from contract.implementations import canonical
from contract.messages import DEFAULT_TIMEOUT_MS, EndpointRequest, ProxyRequest
from contract.plain import JSON
from contract.watched import Watched
from gatekeeper import guesses, metrics
from gatekeeper.analysis import check_json_paths
from gatekeeper.audit import AuditLog, Entry
from gatekeeper.entrance import Caller, Entrance
from gatekeeper.judge import Judge, Judged, Refusal, Verdict
from gatekeeper.keys import Key
from gatekeeper.policy import Role
from gatekeeper.recording import Asked, Recorder

log = structlog.get_logger()

# A reported refusal's text, in characters: it may list many functions, and an audit log's line has a bound.
_MOST_DETAIL = 500


class Asking(msgspec.Struct, frozen=True):
    """A request, whichever way it came. `accept` gives the media type of the answer and `read` the message in it.

    Both raise GatekeeperError. `read_only`: what it asks for may change nothing.
    """

    request_id: str
    caller: Caller
    accept: Callable[[], str]
    read: Callable[[], EndpointRequest]
    read_only: bool


class Passage:
    """One request's way through the gatekeeper, and what the log says of it. Never the key, never parameters."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.key: Key | None = None
        self.judged: Judged | None = None
        self.verdict: Literal["allowed", "refused", "reported"] = "refused"
        self.reported: Refusal | None = None  # what the policy has against a request that passes in report-only mode
        self.implementation: str | None = None
        self.accept = JSON
        self.leave: Callable[[], None] = lambda: None  # gives the place among the key's requests back
        self._started = time.perf_counter()

    def log(self, status: int, *, node: str | None = None, code: str | None = None, rule: str | None = None) -> None:
        """Writes the request's line and counts it."""
        elapsed = time.perf_counter() - self._started
        metrics.answered(status, code, elapsed)
        if rule == guesses.RULE:
            return  # one line a second is written for all of them
        log.info(
            "request",
            request_id=self.request_id,
            key=self.key.name if self.key else None,
            implementation=self.implementation,
            digest=self.judged.digest if self.judged else None,
            verdict=self.verdict,
            rule=rule or (self.reported.rule if self.reported else None),
            **({"detail": self.reported.detail[:_MOST_DETAIL]} if self.reported else {}),
            node=node,
            status=status,
            code=code,
            ms=round(elapsed * 1000, 3),
        )

    def entry(self, key: Key, refusal: GatekeeperError | None) -> Entry:
        """The audit log's line. A detail is kept of the policy's own refusals alone: others may quote the statement."""
        judged, reported = self.judged, self.reported
        analysis = judged.analysis if judged else None
        return Entry(
            request_id=self.request_id,
            key=key.name,
            role=key.role,
            verdict=self.verdict,
            kind=analysis.kind if analysis else None,
            effect=analysis.effect if analysis else None,
            digest=judged.digest if judged else None,
            database=judged.database if judged else None,
            reads=judged.reads if judged else (),
            writes=judged.writes if judged else (),
            defines=judged.defines if judged else (),
            code=refusal.code if refusal else None,
            rule=refusal.rule if refusal else reported.rule if reported else None,
            detail=reported.detail[:_MOST_DETAIL] if reported and not refusal else None,
        )


class Gate:
    """Who may pass: the key, its limits, the judge's verdict, and the audit log's line, without which nobody passes."""

    def __init__(
        self,
        entrance: Entrance,
        judges: Watched[Judge],
        audit: AuditLog | None,
        recorder: Recorder | None = None,
    ) -> None:
        self._entrance = entrance
        self._judges = judges
        self._audit = audit
        self._recorder = recorder

    def admit(self, passage: Passage, asking: Asking) -> ProxyRequest:
        """The request as it is to be forwarded. Raises GatekeeperError for one that is not.

        One over the key's limits is not read, let alone judged, and leaves no line in the audit log. Whatever comes
        of it, `passage.leave` must be called when the request has been answered.
        """
        key = passage.key = self._entrance.authenticate(asking.caller)
        judge = self._judges.current()
        passage.leave = self._entrance.take(key, judge.limits(key.role))
        try:
            passage.accept = asking.accept()
            message = asking.read()
            verdict = self._judged(passage, judge, key.role, message, read_only=asking.read_only)
        except GatekeeperError as error:
            self._write(passage, key, error)
            raise
        passage.verdict = "reported" if passage.reported else "allowed"
        self._write(passage, key, None)
        if passage.reported:
            metrics.reported(passage.reported.rule)
        return _forwarded(message, verdict, passage.implementation)

    def _judged(
        self, passage: Passage, judge: Judge, role_name: str, message: EndpointRequest, *, read_only: bool
    ) -> Verdict:
        asked = canonical(message.implementation) if message.implementation else None
        judged = passage.judged = judge.look(role_name, message.query, message.database)
        objection = judged.objection
        if role := judged.role:
            passage.implementation = asked or role.default_implementation
            objection = objection or _implementation(role, asked)
            if role.record and self._recorder and judged.analysis:
                self._recorder.record(
                    _asked(role_name, judged, passage.implementation, message),
                    judged.analysis,
                    objection.rule if objection else None,
                )
        verdict = judged.outcome
        if isinstance(verdict, Refusal):
            raise verdict.exception()
        if objection and not verdict.role.report_only:
            raise objection.exception()
        if read_only and verdict.effect != "read":
            raise BadRequest("GET runs reads only; use POST", rule="get_reads_only")
        if judged.analysis:
            check_json_paths(judged.analysis.json_paths, message.params)
        passage.reported = objection
        return verdict

    def _write(self, passage: Passage, key: Key, refusal: GatekeeperError | None) -> None:
        if self._audit:
            self._audit.write(passage.entry(key, refusal))


def _implementation(role: Role, asked: str | None) -> Refusal | None:
    """What the role has against the implementation that was asked for."""
    if asked is None or asked in role.implementations:
        return None
    return Refusal(Forbidden, f"the implementation {asked} is not open to this key", "implementation")


def _asked(role_name: str, judged: Judged, implementation: str, message: EndpointRequest) -> Asked:
    names_database, names_implementation = message.database is not None, message.implementation is not None
    return Asked(role_name, judged.database, names_database, implementation, names_implementation)


def _forwarded(message: EndpointRequest, verdict: Verdict, asked: str | None) -> ProxyRequest:
    role = verdict.role
    return ProxyRequest(
        query=message.query,
        implementation=asked or role.default_implementation,
        params=message.params,
        database=verdict.database,
        timeout_ms=min(message.timeout_ms or DEFAULT_TIMEOUT_MS, role.max_timeout_ms),
        effect=verdict.effect,
        max_rows=role.max_rows,
        max_bytes=role.max_result_bytes,
        max_affected_rows=role.max_affected_rows,
    )
