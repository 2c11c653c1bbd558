"""The gatekeeper's HTTP: `/endpoint`, `/transactions`, `/new-requests`, `/webhook-secret`, `/nodes`, and its state."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from flask import Flask, Response, request

from contract import logs, settings, web
from contract.errors import Unavailable
from contract.later import ListQuery, NewRequest, OneQuery
from contract.messages import EndpointQuery, EndpointRequest, FleetAnswer, NodesAnswer
from contract.openapi import document
from contract.transactions import Begin
from contract.watched import SETTLED_S, Watched
from gatekeeper import policy
from gatekeeper.audit import AuditLog
from gatekeeper.endpoint import Endpoint
from gatekeeper.entrance import Caller, Entrance, visit
from gatekeeper.gate import Asking, Gate
from gatekeeper.guesses import Guesses
from gatekeeper.judge import Judge
from gatekeeper.keys import KeyStore
from gatekeeper.later import Later, Orchestrators
from gatekeeper.rates import Rates
from gatekeeper.recording import Recorder
from gatekeeper.settings import Settings
from gatekeeper.telling import Telling
from gatekeeper.transactions import Transactions
from gatekeeper.upstream import Proxies, Upstream, orchestrators_of

log = structlog.get_logger()

_READY_FOR_S = 1.0


def create_app(
    config: Settings | None = None, upstream: Upstream | None = None, orchestrators: Orchestrators | None = None
) -> Flask:
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
    gate = Gate(entrance, judges, _audit_log(config), _recorder(config))
    endpoint = Endpoint(gate, proxies)
    app.extensions["plain"] = endpoint.answer_plain
    _add_endpoint(app, endpoint)
    _add_transactions(app, Transactions(gate, entrance, judges, proxies))
    keeping = orchestrators_of(config)
    _add_new_requests(app, Later(gate, entrance, judges, orchestrators or keeping))
    _add_state(app, entrance, judges, proxies)
    if keeping is not None:
        Telling(gate.recent, keeping)
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


def _add_endpoint(app: Flask, endpoint: Endpoint) -> None:
    @app.post("/endpoint")
    def post_endpoint() -> Response:
        return answered(_body, read_only=False)

    @app.get("/endpoint")
    def get_endpoint() -> Response:
        return answered(_query, read_only=True)

    def answered(read: Callable[[], EndpointRequest], *, read_only: bool) -> Response:
        key = request.headers.get(web.KEY_HEADER)
        asking = Asking(web.request_id(), _caller(), web.negotiated, read, read_only, key)
        return web.response_to(endpoint.answer(asking))


def _add_transactions(app: Flask, transactions: Transactions) -> None:
    @app.post("/transactions")
    def begin() -> Response:
        return web.response_to(transactions.begin(web.request_id(), _caller(), lambda: web.read_message(Begin)))

    @app.post("/transactions/<id_>")
    def run(id_: str) -> Response:
        key = request.headers.get(web.KEY_HEADER)
        return web.response_to(transactions.run(web.request_id(), _caller(), id_, _body, key))

    @app.post("/transactions/<id_>/commit")
    def commit(id_: str) -> Response:
        return web.response_to(transactions.end(web.request_id(), _caller(), id_, "commit"))

    @app.post("/transactions/<id_>/rollback")
    def rollback(id_: str) -> Response:
        return web.response_to(transactions.end(web.request_id(), _caller(), id_, "rollback"))


def _add_new_requests(app: Flask, later: Later) -> None:
    @app.post("/new-requests")
    def post_new_request() -> Response:
        key = request.headers.get("Idempotency-Key")
        return web.response_to(later.accept(web.request_id(), _caller(), lambda: web.read_message(NewRequest), key))

    @app.get("/new-requests")
    def get_new_requests() -> Response:
        return web.response_to(later.listed(web.request_id(), _caller(), lambda: web.query_message(ListQuery)))

    @app.get("/new-requests/<id_>")
    def get_new_request(id_: str) -> Response:
        return web.response_to(later.one(web.request_id(), _caller(), id_, lambda: web.query_message(OneQuery)))

    @app.get("/webhook-secret")
    def webhook_secret() -> Response:
        return web.response_to(later.webhook_secret(web.request_id(), _caller()))

    @app.delete("/new-requests/<id_>")
    def delete_new_request(id_: str) -> Response:
        return web.response_to(later.cancel(web.request_id(), _caller(), id_, lambda: web.query_message(OneQuery)))


def _add_state(app: Flask, entrance: Entrance, judges: Watched[Judge], upstream: Upstream) -> None:
    openapi = msgspec.json.encode(document())

    @app.get("/nodes")
    def nodes() -> Response:
        with visit(entrance, judges, _caller()):
            known = [msgspec.json.decode(body, type=NodesAnswer) for body in upstream.get_each("/nodes")]
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
    return web.read_message(EndpointRequest)


def _query() -> EndpointRequest:
    query = web.query_message(EndpointQuery)
    return EndpointRequest(
        query=query.query, implementation=query.implementation, database=query.database, timeout_ms=query.timeout_ms
    )


def _caller() -> Caller:
    headers = request.headers
    return Caller(headers.get("Authorization"), request.remote_addr or "", headers.get("X-Forwarded-For", ""))
