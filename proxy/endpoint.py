"""What `/endpoint` does with a request, whoever read it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import structlog

from contract import plain, web
from contract.errors import GatekeeperError, NotAcceptable
from contract.implementations import canonical
from contract.messages import ProxyRequest, Runnable, decode
from contract.roles import Role
from proxy import metrics, results
from proxy.answering import Found, Memory, Streamed, collected
from proxy.hedging import Hedging
from proxy.ledger import claim_of
from proxy.router import Router
from proxy.settings import Settings

log = structlog.get_logger()

ACCEPTED_ROLES: Final = ("gatekeeper", "orchestrator")
COUNTING_ROLES: Final = ("orchestrator",)
# Who may ask for the effects that are not for both. An orchestrator runs reads and writes for others, and no account
# need open to it what it is never sent for.
_OF_ONE_ROLE: Final[Mapping[Runnable, tuple[Role, ...]]] = {
    "queue": ("orchestrator",),
    "call": ("gatekeeper",),
    "schema": ("gatekeeper",),
}


class Endpoint:
    """Runs statements and answers with their rows: collected, or as a stream."""

    def __init__(self, router: Router, memory: Memory, settings: Settings) -> None:
        self._router = router
        self._memory = memory
        self._max_bytes = settings.max_answer_bytes
        self._hedging = Hedging(router) if settings.hedge_reads else None
        self._keep_s = settings.idempotency_keep_s
        self._asks_for_roles = settings.tls is not None

    def answer_plain(self, request: plain.Request) -> plain.Answer:
        """Answers a plain request. Raises GatekeeperError."""
        if self._asks_for_roles:
            web.check_roles(request.socket, ACCEPTED_ROLES)
        return self.answer(decode(request.body, ProxyRequest), plain.JSON, request.request_id, request.socket)

    def answer(self, message: ProxyRequest, media_type: str, request_id: str, peer: Any) -> plain.Answer:
        """Answers a request that came from the `peer`'s socket. Raises GatekeeperError."""
        # Without TLS nobody has a role: what is for orchestrators is for nobody then.
        if message.effect in _OF_ONE_ROLE and (self._asks_for_roles or message.effect == "queue"):
            web.check_roles(peer, _OF_ONE_ROLE[message.effect])
        message = msgspec.structs.replace(message, implementation=canonical(message.implementation))
        try:
            if message.statements is not None and media_type != plain.JSON:
                raise NotAcceptable("`statements` are answered as application/json")
            if media_type == plain.JSON or message.effect != "read":
                return self._whole(message, media_type, request_id)
            streamed = Streamed(self._router, message, request_id)
        except GatekeeperError as error:
            metrics.failed(error.code)
            log.info("refused", request_id=request_id, code=error.code, errno=error.mysql_errno)
            raise
        headers = _headers(media_type, streamed.node, request_id)
        return plain.Answer(200, headers, streamed.lines(media_type), close=streamed.close)

    def _whole(self, message: ProxyRequest, media_type: str, request_id: str) -> plain.Answer:
        claim = claim_of(message, self._keep_s)
        found = collected(
            self._router, message, request_id, self._max_bytes, self._memory, claim=claim, hedging=self._hedging
        )
        answer = found.answer
        try:
            body = _body(found, media_type, read=message.effect == "read")
        except BaseException:
            found.share.give_back()
            raise
        headers = _headers(media_type, answer.node, request_id)
        if found.replayed:
            headers[web.REPLAYED_HEADER] = "true"
        return plain.Answer(200, headers, body, close=found.share.give_back)


def _body(found: Found, media_type: str, *, read: bool) -> bytes | Iterator[bytes]:
    if media_type != plain.JSON:
        return results.rendered(found.answer, media_type)
    body = msgspec.json.encode(found.answer)
    found.share.hold(len(body), read=read)
    return body


def _headers(media_type: str, node: str, request_id: str) -> dict[str, str]:
    return {"Content-Type": media_type, web.NODE_HEADER: node, web.REQUEST_ID_HEADER: request_id}
