"""`/transactions`: statements of one transaction, each judged and audited as any other, at the proxy that holds it.

The gatekeeper keeps nothing: the transaction's id says which proxy has it (contract/transactions.py).
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from contract import plain, web
from contract.errors import BadRequest, Forbidden, GatekeeperError, NotFound
from contract.implementations import canonical
from contract.messages import DEFAULT_TIMEOUT_MS, EndpointRequest
from contract.peers import Reply
from contract.transactions import Begin, ProxyBegin, ProxyEnd, ProxyStatement, is_of, new_id
from contract.watched import Watched
from gatekeeper.audit import Entry
from gatekeeper.endpoint import passed_on
from gatekeeper.entrance import Caller, Entrance, visit
from gatekeeper.gate import Asking, Gate
from gatekeeper.judge import Judge
from gatekeeper.keys import Key
from gatekeeper.policy import Role
from gatekeeper.upstream import Upstream

_ID: Final = re.compile(r"[0-9a-f]{32}")


class Transactions:
    """Begins transactions, runs statements in them, and ends them. All methods raise GatekeeperError."""

    def __init__(self, gate: Gate, entrance: Entrance, judges: Watched[Judge], upstream: Upstream) -> None:
        self._gate = gate
        self._entrance = entrance
        self._judges = judges
        self._upstream = upstream

    def begin(self, request_id: str, caller: Caller, read: Callable[[], Begin]) -> plain.Answer:
        """Opens one at the least busy proxy that can be reached, where the key's role may have any."""
        with visit(self._entrance, self._judges, caller) as key:
            message = self._beginning(key, read())
            self._note(request_id, key, "begin")
            reply = self._begun(message, request_id)
        return passed_on(reply, request_id)

    def run(
        self, request_id: str, caller: Caller, id_: str, read: Callable[[], EndpointRequest], key: str | None
    ) -> plain.Answer:
        """Runs a statement; `key`, an Idempotency-Key, has no place here."""
        passage = self._gate.passage(request_id)

        def one() -> EndpointRequest:
            _check_id(id_)
            passage.transaction = id_
            return _one_statement(read(), key)

        try:
            asking = Asking(request_id, caller, lambda: plain.JSON, one, read_only=False, in_transaction=True)
            forwarded = self._gate.admit(passage, asking)
            assert passage.key is not None
            body = msgspec.json.encode(ProxyStatement(passage.key.name, forwarded))
            reply = self._ask(f"/transactions/{id_}", body, request_id, forwarded.timeout_ms, id_)
        except GatekeeperError as error:
            passage.log(error.status, code=error.code, rule=error.rule)
            raise
        finally:
            passage.leave()
        passage.log(reply.status, node=reply.headers.get(web.NODE_HEADER), code=reply.headers.get(plain.CODE_HEADER))
        return passed_on(reply, request_id)

    def end(self, request_id: str, caller: Caller, id_: str, how: str) -> plain.Answer:
        """Commits it or rolls it back (`how`); where its proxy can't be reached, another one knows or decides."""
        with visit(self._entrance, self._judges, caller) as key:
            _check_id(id_)
            self._role(key)  # who may have none has none to end, and what is asked for leaves a row in the ledger
            self._note(request_id, key, how, id_)
            body = msgspec.json.encode(ProxyEnd(key.name))
            path = f"/transactions/{id_}/{how}"
            reply = self._ask(path, body, request_id, DEFAULT_TIMEOUT_MS, id_, is_keyed=True)
        return passed_on(reply, request_id)

    def _beginning(self, key: Key, asked: Begin) -> ProxyBegin:
        """What a proxy is asked for; its id is still to be made."""
        role = self._role(key)
        implementation = canonical(asked.implementation) if asked.implementation else role.default_implementation
        if implementation not in role.implementations:
            raise Forbidden(f"the implementation {implementation} is not open to this key", rule="implementation")
        return ProxyBegin(
            id="",
            owner=key.name,
            most_open=role.max_transactions,
            implementation=implementation,
            mode="read" if asked.read_only or not role.may_write() else "write",
            timeout_ms=asked.timeout_ms,
            idle_timeout_ms=asked.idle_timeout_ms,
            consistency_token=asked.consistency_token,
        )

    def _role(self, key: Key) -> Role:
        """The key's role. Raises Forbidden where it may have no transactions."""
        role = self._judges.current().role(key.role)
        if role.max_transactions == 0:
            raise Forbidden("transactions of several requests are not open to this key", rule="max_transactions")
        return role

    def _note(self, request_id: str, key: Key, what: str, id_: str | None = None) -> None:
        """Writes the audit log's line: what was changed stays or does not by what is asked for here."""
        entry = Entry(request_id, key.name, key.role, "allowed", kind=f"transaction_{what}", transaction=id_)
        self._gate.note(entry)

    def _begun(self, message: ProxyBegin, request_id: str) -> Reply:
        """At one proxy after the other, each with an id of its own. What a lost one may have begun ends by itself."""
        *others, last = self._upstream.urls()
        for url in others:
            try:
                return self._begun_at(url, message, request_id)
            except GatekeeperError as error:
                if not error.retryable:
                    raise
        return self._begun_at(last, message, request_id)

    def _begun_at(self, url: str, message: ProxyBegin, request_id: str) -> Reply:
        id_ = new_id(url)
        body = msgspec.json.encode(msgspec.structs.replace(message, id=id_))
        return self._ask("/transactions", body, request_id, DEFAULT_TIMEOUT_MS, id_, is_read=True)

    def _ask(
        self,
        path: str,
        body: bytes,
        request_id: str,
        timeout_ms: int,
        id_: str,
        *,
        is_read: bool = False,
        is_keyed: bool = False,
    ) -> Reply:
        """Asks the transaction's proxy; others only for what may be asked of any (`is_keyed`)."""
        at = next((url for url in self._upstream.urls() if is_of(id_, url)), None)
        if at is None and not is_keyed:
            raise NotFound("there is no such transaction, or it has ended", rule="transaction_ended")
        return self._upstream.ask(
            "POST",
            path,
            body,
            request_id=request_id,
            accept=plain.JSON,
            timeout_ms=timeout_ms,
            is_read=is_read,
            is_keyed=is_keyed,
            at=at,
            nowhere_else=not is_keyed,
        )


def _one_statement(message: EndpointRequest, key: str | None) -> EndpointRequest:
    """Raises BadRequest for what has no place in a transaction."""
    if key is not None:
        raise BadRequest("no Idempotency-Key is needed: a commit may be asked for again", rule="idempotency_key")
    if message.statements is not None:
        raise BadRequest("one statement at a time is run in a transaction", rule="statements")
    if message.implementation is not None:
        raise BadRequest("the implementation was chosen when the transaction began", rule="implementation")
    if message.consistency_token is not None:
        raise BadRequest("a consistency_token is given when the transaction begins", rule="consistency_token")
    return message


def _check_id(id_: str) -> None:
    """Raises NotFound for what can't be an id."""
    if not _ID.fullmatch(id_):
        raise NotFound("there is no such transaction")
