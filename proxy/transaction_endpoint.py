"""The proxy's `/transactions`: statements of one transaction, each a request of its own. For gatekeepers alone."""

import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from flask import Flask, Response, request

from contract import web
from contract.errors import BadRequest, Conflict, GatekeeperError
from contract.implementations import canonical
from contract.messages import DEFAULT_TIMEOUT_MS, Answer
from contract.transactions import Begun, End, ProxyBegin, ProxyEnd, ProxyStatement
from proxy import metrics
from proxy.answering import Memory, Share
from proxy.settings import Settings
from proxy.transactions import Open, Transactions

log = structlog.get_logger()

_ROLES: Final = ("gatekeeper",)


def install(app: Flask, transactions: Transactions, memory: Memory, config: Settings) -> None:
    """Adds the resources."""

    @app.post("/transactions")
    def begin() -> Response:
        return answered(lambda: _begun(transactions, web.read_message(ProxyBegin)))

    @app.post("/transactions/<id_>")
    def run(id_: str) -> Response:
        return answered(lambda: _ran(transactions, id_, web.read_message(ProxyStatement), memory, config))

    @app.post("/transactions/<id_>/commit")
    def commit(id_: str) -> Response:
        return answered(lambda: _committed(transactions, id_, web.read_message(ProxyEnd)))

    @app.post("/transactions/<id_>/rollback")
    def rollback(id_: str) -> Response:
        return answered(lambda: _rolled_back(transactions, id_, web.read_message(ProxyEnd)))

    def answered(work: Callable[[], Response]) -> Response:
        if config.tls is not None:
            web.check_roles(request.environ.get("gunicorn.socket"), _ROLES)
        try:
            return work()
        except GatekeeperError as error:
            metrics.failed(error.code)
            log.info("refused", request_id=web.request_id(), code=error.code, errno=error.mysql_errno)
            raise


def _begun(transactions: Transactions, message: ProxyBegin) -> Response:
    if canonical(message.implementation) != message.implementation:
        raise BadRequest("the implementation's full name is needed")
    found, node = transactions.begin(message)
    log.info("transaction_begun", request_id=web.request_id(), transaction=found.id, owner=found.owner, node=node)
    begun = Begun(web.request_id(), found.id, node, found.implementation, found.timeout_ms, found.idle_ms)
    return _on(node, web.json_response(begun, 201))


def _ran(transactions: Transactions, id_: str, message: ProxyStatement, memory: Memory, config: Settings) -> Response:
    started, share = time.perf_counter(), Share(memory)
    asked = message.request
    if asked.statements is not None or asked.effect not in {"read", "write"} or asked.idempotency:
        raise BadRequest("one statement that reads or writes is needed")
    max_bytes = min(config.max_answer_bytes, asked.max_bytes or config.max_answer_bytes)
    try:
        found, rows, node = transactions.run(id_, message.owner, asked, max_bytes, share.grow)
        answer = Answer(
            request_id=web.request_id(),
            node=node,
            implementation=found.implementation,
            attempts=1,
            elapsed_ms=round((time.perf_counter() - started) * 1000, 3),
            columns=rows.columns,
            rows=rows.rows,
            affected_rows=rows.affected_rows,
            last_insert_id=rows.last_insert_id,
            truncated=rows.truncated,
        )
        response = web.json_response(answer)
        share.hold(response.content_length or 0, read=asked.effect == "read")
    except BaseException:
        share.give_back()
        raise
    response.call_on_close(share.give_back)
    _record(found, answer, asked.effect)
    return _on(node, response)


def _committed(transactions: Transactions, id_: str, message: ProxyEnd) -> Response:
    ended = transactions.commit(id_, message.owner, DEFAULT_TIMEOUT_MS)
    if ended.state != "committed":
        raise Conflict("the transaction was rolled back", rule="transaction_ended", outcome="rolled_back")
    response = web.json_response(End(web.request_id(), id_, ended.state, ended.token or msgspec.UNSET))
    if ended.before:
        response.headers[web.REPLAYED_HEADER] = "true"
    return response


def _rolled_back(transactions: Transactions, id_: str, message: ProxyEnd) -> Response:
    state = transactions.rollback(id_, message.owner, DEFAULT_TIMEOUT_MS)
    if state != "rolled_back":
        raise Conflict("the transaction was committed before", rule="transaction_ended")
    return web.json_response(End(web.request_id(), id_, state))


def _record(found: Open, answer: Answer, effect: str) -> None:
    metrics.answered(found.implementation, answer.node, answer.elapsed_ms, answer.attempts)
    log.info(
        "answered",
        request_id=answer.request_id,
        transaction=found.id,
        node=answer.node,
        effect=effect,
        rows=len(answer.rows),
        ms=answer.elapsed_ms,
    )


def _on(node: str, response: Response) -> Response:
    response.headers[web.NODE_HEADER] = node
    return response
