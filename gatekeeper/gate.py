"""The gate: who may pass, as what, and what is written of it before it passes."""

import re
import time
from collections.abc import Callable, Iterator

import msgspec
import structlog

from contract.errors import BadRequest, Forbidden, GatekeeperError
from contract.implementations import canonical
from contract.later import DEFERRED
from contract.messages import DEFAULT_TIMEOUT_MS, EndpointRequest, Idempotency, ProxyRequest, Statement
from contract.plain import JSON
from contract.watched import Watched
from gatekeeper import guesses, metrics
from gatekeeper.analysis import check_json_paths
from gatekeeper.audit import AuditLog, Entry
from gatekeeper.entrance import Caller, Entrance
from gatekeeper.judge import Judge, Judged, Refusal, Verdict
from gatekeeper.keys import Key
from gatekeeper.policy import Role
from gatekeeper.recent import Ended, Recent
from gatekeeper.recent import Verdict as Passed
from gatekeeper.recording import Asked, Recorder

log = structlog.get_logger()

# A reported refusal's text, in characters: it may list many functions, and an audit log's line has a bound.
_MOST_DETAIL = 500
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class Asking(msgspec.Struct, frozen=True):
    """A request, whichever way it came. `accept` gives the media type of the answer and `read` the message in it.

    Both raise GatekeeperError. `read_only`: what it asks for may change nothing. `idempotency_key`: the header's value.
    `deferred`: it is to be run later. `in_transaction`: in one of several requests.
    """

    request_id: str
    caller: Caller
    accept: Callable[[], str]
    read: Callable[[], EndpointRequest]
    read_only: bool
    idempotency_key: str | None = None
    deferred: bool = False
    in_transaction: bool = False


class Passage:
    """One request's way through the gatekeeper, and what the log says of it. Never the key, never parameters."""

    def __init__(self, request_id: str, recent: Recent) -> None:
        self.request_id = request_id
        self._recent = recent
        self.key: Key | None = None
        self.judged: list[Judged] = []  # each statement, as far as it got
        self.verdict: Passed = "refused"
        self.reported: Refusal | None = None  # what the policy has against a request that passes in report-only mode
        self.implementation: str | None = None
        self.transaction: str | None = None  # the id of the one that the statement is run in
        self.queued: str | None = None  # the id under which it is kept for later
        self.accept = JSON
        self.leave: Callable[[], None] = lambda: None  # gives the place among the key's requests back
        self._started = time.perf_counter()

    def log(self, status: int, *, node: str | None = None, code: str | None = None, rule: str | None = None) -> None:
        """Writes the request's line and counts it."""
        elapsed = time.perf_counter() - self._started
        metrics.answered(status, code, elapsed)
        self._tell(status, code, rule, elapsed)
        if rule == guesses.RULE:
            return  # one line a second is written for all of them
        log.info(
            "request",
            request_id=self.request_id,
            key=self.key.name if self.key else None,
            implementation=self.implementation,
            digest=self.judged[0].digest if self.judged else None,
            **({"statements": len(self.judged)} if len(self.judged) > 1 else {}),
            verdict=self.verdict,
            rule=rule or (self.reported.rule if self.reported else None),
            **({"detail": self.reported.detail[:_MOST_DETAIL]} if self.reported else {}),
            node=node,
            status=status,
            code=code,
            ms=round(elapsed * 1000, 3),
        )

    def _tell(self, status: int, code: str | None, rule: str | None, elapsed: float) -> None:
        judged = self.judged[0] if self.judged else None
        kind = judged.analysis.kind if judged and judged.analysis else None
        key = self.key.name if self.key else None
        digest = judged.digest if judged else None
        rule = rule or (self.reported.rule if self.reported else None)
        self._recent.add(Ended(status, code, rule, self.verdict, key, digest, kind, elapsed * 1000))

    def entries(self, key: Key, refusal: GatekeeperError | None) -> Iterator[Entry]:
        """The audit log's lines, one for each statement that was judged, and one where none was."""
        for judged in self.judged or (None,):
            yield self._entry(key, judged, refusal)

    def _entry(self, key: Key, judged: Judged | None, refusal: GatekeeperError | None) -> Entry:
        """A detail is kept of the policy's own refusals alone: others may quote the statement."""
        analysis, reported = judged.analysis if judged else None, self.reported
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
            queued=self.queued,
            transaction=self.transaction,
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
        self.recent = Recent()

    def passage(self, request_id: str) -> Passage:
        """The way of a request that begins now."""
        return Passage(request_id, self.recent)

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
            verdict = self._judged_all(passage, judge, key.role, message)
            _check_effect(asking, verdict)
            idempotency = _idempotency(asking.idempotency_key, key, verdict)
        except GatekeeperError as error:
            self._write(passage, key, error)
            raise
        passage.verdict = "reported" if passage.reported else "allowed"
        self._write(passage, key, None)
        if passage.reported:
            metrics.reported(passage.reported.rule)
        return _forwarded(message, verdict, passage.implementation, idempotency)

    def note(self, entry: Entry) -> None:
        """Writes the audit log's line of what is no statement. Raises Unavailable."""
        if self._audit:
            self._audit.write(entry)

    def _judged_all(self, passage: Passage, judge: Judge, role_name: str, message: EndpointRequest) -> Verdict:
        """The verdict on all statements: each must be allowed, and where one writes, it is a write."""
        verdicts = [
            self._judged(passage, judge, role_name, message, statement) for statement in message.all_statements()
        ]
        writing = next((verdict for verdict in verdicts if verdict.effect != "read"), verdicts[0])
        if message.statements is not None:
            for verdict in verdicts:
                if verdict.effect not in {"read", "write"}:
                    raise BadRequest(f"{verdict.kind} can't be one of several statements", rule="statements")
        return writing

    def _judged(
        self, passage: Passage, judge: Judge, role_name: str, message: EndpointRequest, statement: Statement
    ) -> Verdict:
        asked = canonical(message.implementation) if message.implementation else None
        judged = judge.look(role_name, statement.query, message.database)
        passage.judged.append(judged)
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
        if judged.analysis:
            check_json_paths(judged.analysis.json_paths, statement.params)
        passage.reported = passage.reported or objection
        return verdict

    def _write(self, passage: Passage, key: Key, refusal: GatekeeperError | None) -> None:
        if self._audit:
            for entry in passage.entries(key, refusal):
                self.note(entry)


def _check_effect(asking: Asking, verdict: Verdict) -> None:
    """Raises BadRequest where the way that a request came is not one for its statement."""
    if asking.read_only and verdict.effect != "read":
        raise BadRequest("GET runs reads only; use POST", rule="get_reads_only")
    if asking.deferred and verdict.effect not in DEFERRED:
        detail = f"{verdict.kind} can't be run later: no key makes it safe to run twice; send it to /endpoint"
        raise BadRequest(detail, rule="deferred_effect")
    if asking.in_transaction and verdict.effect not in {"read", "write"}:
        raise BadRequest(f"{verdict.kind} may commit by itself, so it can't be run in a transaction", rule="statements")


def _implementation(role: Role, asked: str | None) -> Refusal | None:
    """What the role has against the implementation that was asked for."""
    if asked is None or asked in role.implementations:
        return None
    return Refusal(Forbidden, f"the implementation {asked} is not open to this key", "implementation")


def _asked(role_name: str, judged: Judged, implementation: str, message: EndpointRequest) -> Asked:
    names_database, names_implementation = message.database is not None, message.implementation is not None
    return Asked(role_name, judged.database, names_database, implementation, names_implementation)


def check_idempotency_key(given: str) -> None:
    """Raises BadRequest for one that can't be a key."""
    if not _IDEMPOTENCY_KEY.fullmatch(given):
        raise BadRequest("Idempotency-Key must be 1 to 255 printable ASCII characters", rule="idempotency_key")


def _idempotency(given: str | None, key: Key, verdict: Verdict) -> Idempotency | None:
    """What is sent along for a write that is to be done once; a read may be done as often as one likes.

    Raises BadRequest, also for statements that commit by themselves.
    """
    if given is None:
        return None
    check_idempotency_key(given)
    if verdict.effect == "read":
        return None
    if verdict.effect != "write":
        raise BadRequest(
            f"{verdict.kind} may commit by itself, so it can't have an Idempotency-Key", rule="idempotency_key"
        )
    return Idempotency(given, key.name)


def _forwarded(
    message: EndpointRequest, verdict: Verdict, asked: str | None, idempotency: Idempotency | None
) -> ProxyRequest:
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
        statements=message.statements,
        idempotency=idempotency,
        consistency_token=message.consistency_token,
    )
