"""The gatekeeper's HTTP: `/endpoint`, `/nodes`, `/openapi.json`, `/healthz`, `/readyz`."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from flask import Flask, Response, request

from contract import logs, settings, web
from contract.errors import BadRequest, GatekeeperError, Unavailable
from contract.messages import EndpointQuery, EndpointRequest, FleetAnswer, NodesAnswer
from contract.openapi import document
from contract.watched import SETTLED_S, Watched
from gatekeeper import policy
from gatekeeper.audit import AuditLog
from gatekeeper.entrance import Entrance
from gatekeeper.gate import Gate, Passage
from gatekeeper.guesses import Guesses
from gatekeeper.judge import Judge
from gatekeeper.keys import KeyStore
from gatekeeper.rates import Rates
from gatekeeper.recording import Recorder
from gatekeeper.settings import Settings
from gatekeeper.upstream import Proxies, Reply, Upstream

log = structlog.get_logger()

_READY_FOR_S = 1.0
_PASSED_ON = ("Content-Type", "Retry-After", web.NODE_HEADER)


def create_app(config: Settings | None = None, upstream: Upstream | None = None) -> Flask:
    """The gatekeeper as a WSGI application; without a config, the one that the file in GATEKEEPER_CONFIG gives.

    Raises SettingsError, PolicyError, KeyStoreError, AuditError.
    """
    config = config or settings.load_named("GATEKEEPER_CONFIG", Settings)
    logs.configure(config.log_level)
    app = Flask("gatekeeper")
    web.install(app)
    proxies = upstream or Proxies(config)
    judges = Watched("policy", Path(config.policy), lambda path: _judge(path, config), settled_s=SETTLED_S)
    entrance = _entrance(config)
    _add_endpoint(app, Gate(entrance, judges, _audit_log(config), _recorder(config)), proxies)
    _add_state(app, entrance, judges, proxies)
    return app


def _entrance(config: Settings) -> Entrance:
    shared = Path(config.runtime_directory)
    keys, guesses, rates = KeyStore(Path(config.keys)), Guesses(shared / "guesses"), Rates(shared / "rates")
    return Entrance(keys, guesses, rates, config.trusted_proxy)


def _judge(path: Path, config: Settings) -> Judge:
    rules = policy.load(path)
    for name, role in rules.roles.items():
        if role.report_only:
            log.warning("policy_only_reports", role=name)
        if role.record and config.records is None:
            log.warning("policy_records_nowhere", role=name, reason="the gatekeeper's setting `records` is missing")
    return Judge(rules)


def _recorder(config: Settings) -> Recorder | None:
    return Recorder(Path(config.records), most_bytes=config.records_file_bytes) if config.records else None


def _audit_log(config: Settings) -> AuditLog | None:
    if config.audit is None:
        return None
    return AuditLog(Path(config.audit), name=config.name, most_bytes=config.audit_file_bytes)


def _add_endpoint(app: Flask, gate: Gate, upstream: Upstream) -> None:
    @app.post("/endpoint")
    def post_endpoint() -> Response:
        return passed(_body, read_only=False)

    @app.get("/endpoint")
    def get_endpoint() -> Response:
        return passed(_query, read_only=True)

    def passed(read: Callable[[], EndpointRequest], *, read_only: bool) -> Response:
        passage = Passage()
        try:
            response = answered(passage, read, read_only=read_only)
        except BaseException:
            passage.leave()
            raise
        response.call_on_close(passage.leave)
        return response

    def answered(passage: Passage, read: Callable[[], EndpointRequest], *, read_only: bool) -> Response:
        try:
            forwarded = gate.admit(passage, read, read_only=read_only)
            reply = upstream.post(
                msgspec.json.encode(forwarded),
                request_id=web.request_id(),
                accept=passage.accept,
                timeout_ms=forwarded.timeout_ms,
                is_read=forwarded.effect == "read",
            )
        except GatekeeperError as error:
            passage.log(error.status, code=error.code, rule=error.rule)
            raise
        passage.log(reply.status, node=reply.headers.get(web.NODE_HEADER), code=reply.headers.get(web.CODE_HEADER))
        return _answer(reply)


def _add_state(app: Flask, entrance: Entrance, judges: Watched[Judge], upstream: Upstream) -> None:
    openapi = msgspec.json.encode(document())

    @app.get("/nodes")
    def nodes() -> Response:
        key = entrance.authenticate()
        judge = judges.current()
        leave = entrance.take(key, judge.limits(key.role))
        try:
            if expired := judge.expired(key.role):
                raise expired.exception()
            known = [msgspec.json.decode(body, type=NodesAnswer) for body in upstream.get_each("/nodes")]
        finally:
            leave()
        return web.json_response(FleetAnswer(known))

    @app.get("/openapi.json")
    def openapi_json() -> Response:
        return Response(openapi, content_type="application/json")

    ready = _Ready(upstream)

    @app.get("/readyz")
    def readyz() -> Response:
        if not ready():
            raise Unavailable("no proxy is ready", rule="no_ready_proxy")
        return Response("ready\n", mimetype="text/plain")


class _Ready:
    """Whether a proxy can serve, asked of them once a second at most, however often one asks here."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._ask_again = 0.0
        self._ready = False

    def __call__(self) -> bool:
        if time.monotonic() >= self._ask_again:
            self._ask_again = time.monotonic() + _READY_FOR_S
            self._ready = bool(self._upstream.get_each("/readyz"))
        return self._ready


def _body() -> EndpointRequest:
    if "Idempotency-Key" in request.headers:
        raise BadRequest("Idempotency-Key is not supported yet; the statement was not executed")
    return web.read_message(EndpointRequest)


def _query() -> EndpointRequest:
    query = web.query_message(EndpointQuery)
    return EndpointRequest(
        query=query.query, implementation=query.implementation, database=query.database, timeout_ms=query.timeout_ms
    )


def _answer(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    for name in _PASSED_ON:
        if (value := reply.headers.get(name)) is not None:
            response.headers[name] = value
    return response
