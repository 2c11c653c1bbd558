"""What `/endpoint` does with a request, whoever read it: the gate, the way to a proxy, and back."""

from collections.abc import Callable

import msgspec

from contract import plain, web
from contract.errors import GatekeeperError
from contract.messages import EndpointRequest, decode
from contract.peers import Reply
from gatekeeper.entrance import Caller
from gatekeeper.gate import Asking, Gate, Passage
from gatekeeper.upstream import Upstream

_PASSED_ON = ("Content-Type", "Retry-After", web.NODE_HEADER, web.REPLAYED_HEADER)


class Endpoint:
    """Answers requests that the gate lets pass with what a proxy says."""

    def __init__(self, gate: Gate, upstream: Upstream) -> None:
        self._gate = gate
        self._upstream = upstream

    def answer_plain(self, request: plain.Request) -> plain.Answer:
        """Answers a plain request. Raises GatekeeperError."""
        headers = request.headers
        caller = Caller(headers.get("authorization"), request.peer, headers.get("x-forwarded-for", ""))
        return self.answer(
            Asking(
                request.request_id,
                caller,
                accept=lambda: plain.JSON,
                read=lambda: decode(request.body, EndpointRequest),
                read_only=False,
                idempotency_key=headers.get(web.KEY_HEADER.lower()),
            )
        )

    def answer(self, asking: Asking) -> plain.Answer:
        """Answers a request. Raises GatekeeperError. Until the answer is closed, the key's place is taken."""
        passage = self._gate.passage(asking.request_id)
        try:
            reply = self._passed(passage, asking)
        except BaseException:
            passage.leave()
            raise
        return passed_on(reply, asking.request_id, passage.leave)

    def _passed(self, passage: Passage, asking: Asking) -> Reply:
        try:
            forwarded = self._gate.admit(passage, asking)
            reply = self._upstream.post(
                msgspec.json.encode(forwarded),
                request_id=asking.request_id,
                accept=passage.accept,
                timeout_ms=forwarded.timeout_ms,
                is_read=forwarded.effect == "read",
                is_keyed=forwarded.idempotency is not None,
            )
        except GatekeeperError as error:
            passage.log(error.status, code=error.code, rule=error.rule)
            raise
        passage.log(reply.status, node=reply.headers.get(web.NODE_HEADER), code=reply.headers.get(plain.CODE_HEADER))
        return reply


def passed_on(reply: Reply, request_id: str, leave: Callable[[], None] = lambda: None) -> plain.Answer:
    """What another service said, as our answer; `leave` is called when it is closed."""
    headers = {name: reply.headers[name] for name in _PASSED_ON if name in reply.headers}
    headers[web.REQUEST_ID_HEADER] = request_id
    if isinstance(reply.body, bytes):
        return plain.Answer(reply.status, headers, reply.body, close=leave)
    body = reply.body

    def close() -> None:
        body.close()
        leave()

    return plain.Answer(reply.status, headers, body, close=close)
