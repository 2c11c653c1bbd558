"""The gatekeeper's HTTP: `/endpoint`, `/nodes`, `/openapi.json`, `/healthz`, `/readyz`."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from flask import Flask, Response, request

from contract import logs, settings, web
from contract.errors import BadRequest, Forbidden, GatekeeperError, Unavailable
from contract.implementations import canonical
from contract.messages import (
    DEFAULT_TIMEOUT_MS,
    EndpointQuery,
    EndpointRequest,
    FleetAnswer,
    NodesAnswer,
    ProxyRequest,
)
from contract.openapi import document
from gatekeeper import metrics, policy
from gatekeeper.judge import Judge, Verdict
from gatekeeper.keys import Key, KeyStore
from gatekeeper.policy import Role
from gatekeeper.settings import Settings
from gatekeeper.upstream import Proxies, Reply, Upstream

log = structlog.get_logger()

_READY_FOR_S = 1.0
_PASSED_ON = ("Content-Type", "Retry-After", web.NODE_HEADER)


def create_app(config: Settings | None = None, upstream: Upstream | None = None) -> Flask:
    """The gatekeeper as a WSGI application; without a config, the one that the file in GATEKEEPER_CONFIG gives.

    Raises SettingsError, PolicyError, KeyStoreError.
    """
    config = config or settings.load_named("GATEKEEPER_CONFIG", Settings)
    logs.configure(config.log_level)
    app = Flask("gatekeeper")
    web.install(app)
    proxies = upstream or Proxies(config)
    keys = KeyStore(Path(config.keys))
    _add_endpoint(app, keys, Judge(policy.load(Path(config.policy))), proxies)
    _add_state(app, keys, proxies)
    return app


class Passage:
    """One request's way through the gatekeeper, and what the log says of it. Never the key, never parameters."""

    def __init__(self) -> None:
        self.key: Key | None = None
        self.verdict: Verdict | None = None
        self.implementation: str | None = None
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


def _add_endpoint(app: Flask, keys: KeyStore, judge: Judge, upstream: Upstream) -> None:
    @app.post("/endpoint")
    def post_endpoint() -> Response:
        return passed(_body, read_only=False)

    @app.get("/endpoint")
    def get_endpoint() -> Response:
        return passed(_query, read_only=True)

    def passed(read: Callable[[], EndpointRequest], *, read_only: bool) -> Response:
        passage = Passage()
        try:
            passage.key = keys.authenticate(request.headers.get("Authorization"))
            accept = web.negotiated()
            forwarded = judged(passage, passage.key.role, read(), read_only=read_only)
            reply = upstream.post(
                msgspec.json.encode(forwarded),
                request_id=web.request_id(),
                accept=accept,
                timeout_ms=forwarded.timeout_ms,
                is_read=forwarded.effect == "read",
            )
        except GatekeeperError as error:
            passage.log(error.status, code=error.code, rule=error.rule)
            raise
        passage.log(reply.status, node=reply.headers.get(web.NODE_HEADER), code=reply.headers.get(web.CODE_HEADER))
        return _answer(reply)

    def judged(passage: Passage, role: str, message: EndpointRequest, *, read_only: bool) -> ProxyRequest:
        asked = canonical(message.implementation) if message.implementation else None
        verdict = passage.verdict = judge.judge(role, message.query, message.database)
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
        )


def _add_state(app: Flask, keys: KeyStore, upstream: Upstream) -> None:
    openapi = msgspec.json.encode(document())

    @app.get("/nodes")
    def nodes() -> Response:
        keys.authenticate(request.headers.get("Authorization"))
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


def _implementation(role: Role, asked: str | None) -> str:
    """The implementation that was asked for, or the role's default. Raises Forbidden for one that it may not use."""
    if asked is not None and asked not in role.implementations:
        raise Forbidden(f"the implementation {asked} is not open to this key", rule="implementation")
    return asked or role.default_implementation


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
