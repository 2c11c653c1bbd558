"""`/new-requests`: statements that pass the gate as any others, and are then kept by an orchestrator for later."""

import hashlib
import random
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec
import structlog

from contract import plain
from contract.errors import BadRequest, Forbidden, GatekeeperError, NotFound
from contract.later import ListQuery, NewRequest, OneQuery, QueueRequest
from contract.messages import ProxyRequest
from contract.peers import Reply
from contract.watched import Watched
from contract.webhooks import target
from gatekeeper.audit import Entry
from gatekeeper.endpoint import passed_on
from gatekeeper.entrance import Caller, Entrance, visit
from gatekeeper.gate import Asking, Gate, Passage, check_idempotency_key
from gatekeeper.judge import Judge
from gatekeeper.policy import Role

log = structlog.get_logger()

# The orchestrator gives up on its queue before.
_TIMEOUT_MS: Final = 15_000
# How long a request waits for an orchestrator when none can be reached, or one was lost.
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.2
_ID: Final = re.compile(r"[0-9a-f]{32}")


class Orchestrators(Protocol):
    """What keeps requests for later; a test hands in another."""

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
    ) -> Reply:
        """Sends a request. Raises GatekeeperError."""
        ...


class Later:
    """Accepts requests for later, and tells their owners how they are. An owner is a key's name."""

    def __init__(
        self, gate: Gate, entrance: Entrance, judges: Watched[Judge], orchestrators: Orchestrators | None
    ) -> None:
        self._gate = gate
        self._entrance = entrance
        self._judges = judges
        self._orchestrators = orchestrators

    def accept(self, request_id: str, caller: Caller, read: Callable[[], NewRequest], key: str | None) -> plain.Answer:
        """Has a statement put into the queue, which `key` (Idempotency-Key) names. Raises GatekeeperError."""
        passage = self._gate.passage(request_id)
        reading = _Reading(passage, read, key, lambda: self._role_of(passage))
        try:
            asking = Asking(request_id, caller, lambda: plain.JSON, reading, read_only=False, deferred=True)
            forwarded = self._gate.admit(passage, asking)
            assert passage.key is not None
            assert passage.queued is not None
            message = queued(passage.queued, passage.key.name, forwarded, reading.message)
            reply = self._ask("POST", "/new-requests", msgspec.json.encode(message), request_id)
        except GatekeeperError as error:
            passage.log(error.status, code=error.code, rule=error.rule)
            if key is None and error.outcome == "unknown":
                error.retryable = False  # sent again it would be another request
            raise
        finally:
            passage.leave()
        passage.log(reply.status, code=reply.headers.get(plain.CODE_HEADER))
        return passed_on(reply, request_id)

    def one(self, request_id: str, caller: Caller, id_: str, read: Callable[[], OneQuery]) -> plain.Answer:
        """How one of the caller's requests is. Raises GatekeeperError."""
        return self._look("look", request_id, caller, id_, read)

    def listed(self, request_id: str, caller: Caller, read: Callable[[], ListQuery]) -> plain.Answer:
        """The caller's requests. Raises GatekeeperError."""
        return self._look("list", request_id, caller, None, read)

    def cancel(self, request_id: str, caller: Caller, id_: str, read: Callable[[], OneQuery]) -> plain.Answer:
        """Takes one of the caller's requests out of the queue. Raises GatekeeperError."""
        return self._look("cancel", request_id, caller, id_, read)

    def webhook_secret(self, request_id: str, caller: Caller) -> plain.Answer:
        """What the caller's webhooks are signed with. Raises GatekeeperError."""
        with visit(self._entrance, self._judges, caller) as key:
            if not self._judges.current().role(key.role).webhooks:
                raise Forbidden("webhooks are not open to this key", rule="webhook")
            self._gate.note(Entry(request_id, key.name, key.role, "allowed", kind="webhook_secret"))
            reply = self._ask("GET", f"/webhook-secret?{urlencode({'owner': key.name})}", b"", request_id)
        log.info("queue", request_id=request_id, key=key.name, what="webhook_secret", status=reply.status)
        return passed_on(reply, request_id)

    def _role_of(self, passage: Passage) -> Role:
        """The role of a caller who is known by now."""
        assert passage.key is not None
        return self._judges.current().role(passage.key.role)

    def _look(
        self, what: str, request_id: str, caller: Caller, id_: str | None, read: Callable[[], OneQuery | ListQuery]
    ) -> plain.Answer:
        """What is asked of the queue, once it is in the audit log: a result is data, and a cancelled write is lost."""
        with visit(self._entrance, self._judges, caller) as key:
            path = "/new-requests" if id_ is None else _path(id_)
            members: Mapping[str, Any] = msgspec.to_builtins(read())
            given = {name: value for name, value in members.items() if value is not None}
            self._gate.note(Entry(request_id, key.name, key.role, "allowed", kind=f"queue_{what}", queued=id_))
            method = "DELETE" if what == "cancel" else "GET"
            reply = self._ask(method, f"{path}?{urlencode({**given, 'owner': key.name})}", b"", request_id)
        log.info("queue", request_id=request_id, key=key.name, what=what, queued=id_, status=reply.status)
        return passed_on(reply, request_id)

    def _ask(self, method: str, path: str, body: bytes, request_id: str) -> Reply:
        """Whatever is asked of an orchestrator may be asked again: a request has its id from here.

        So one that is just being started again, by whoever looks after it, is waited for. Raises GatekeeperError.
        """
        if self._orchestrators is None:
            raise NotFound("this deployment keeps no requests for later: it has no orchestrator")
        patience = time.monotonic() + _PATIENCE_S
        is_read = method == "GET"
        while True:
            try:
                return self._orchestrators.ask(
                    method,
                    path,
                    body,
                    request_id=request_id,
                    accept=plain.JSON,
                    timeout_ms=_TIMEOUT_MS,
                    is_read=is_read,
                    is_keyed=not is_read,
                )
            except GatekeeperError as error:
                if not error.retryable or time.monotonic() >= patience:
                    raise
            time.sleep(_PAUSE_S * random.uniform(0.5, 1))  # noqa: S311 jitter is no secret


class _Reading:
    """Reads the message, and keeps it: the gate forwards less than all of it. Names it, for the audit log's line.

    `role`: the caller's.
    """

    def __init__(
        self, passage: Passage, read: Callable[[], NewRequest], key: str | None, role: Callable[[], Role]
    ) -> None:
        self._passage = passage
        self._read = read
        self._key = key
        self._role = role
        self.message: NewRequest

    def __call__(self) -> NewRequest:
        if self._key is not None:
            check_idempotency_key(self._key)
        assert self._passage.key is not None
        self._passage.queued = id_of(self._passage.key.name, self._key)
        self.message = self._read()
        if self.message.webhook is not None:
            _check_webhook(self._role(), self.message.webhook)
        return self.message


def id_of(owner: str, key: str | None) -> str:
    """The id of a request: the same owner and key make the same one; without a key there is a new one."""
    return hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()[:32] if key else secrets.token_hex(16)


def queued(id_: str, owner: str, judged: ProxyRequest, asked: NewRequest) -> QueueRequest:
    """The request for the queue."""
    return QueueRequest(
        id=id_,
        owner=owner,
        fingerprint=hashlib.sha256(msgspec.json.encode(asked)).hexdigest(),
        request=judged,
        priority=asked.priority,
        run_at_ms=max(0, int(asked.run_at.timestamp() * 1000)) if asked.run_at else None,
        max_attempts=asked.max_attempts,
        webhook=asked.webhook,
    )


def _check_webhook(role: Role, url: str) -> None:
    """Raises BadRequest for an address that may be read in two ways, Forbidden for one that the role does not name."""
    try:
        target(url)
    except ValueError as error:
        raise BadRequest(str(error), rule="webhook_address") from None
    if not url.startswith(role.webhooks):
        raise Forbidden("webhooks to this address are not open to this key", rule="webhook")


def _path(id_: str) -> str:
    """Raises NotFound for what can't be an id."""
    if not _ID.fullmatch(id_):
        raise NotFound("there is no such request")
    return f"/new-requests/{id_}"
