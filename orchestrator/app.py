"""The orchestrator's HTTP: `/new-requests`, `/webhook-secret`, `/healthz`, `/readyz`, for gatekeepers.

For operators, the console. Its metrics are on another port.
"""

import atexit
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from flask import Flask, Response, request

from contract import logs, settings, web
from contract.errors import BadRequest, Forbidden, GatekeeperError, NotFound, TooLarge, Unavailable
from contract.later import (
    DEFERRED,
    MAX_QUEUED_BYTES,
    Accepted,
    OwnerQuery,
    OwnersListQuery,
    OwnersQuery,
    QueueRequest,
    RequestList,
    RequestStatus,
    WebhookSecret,
)
from contract.peers import Peers
from contract.webhooks import shown, target
from orchestrator import metrics
from orchestrator.claims import Claims
from orchestrator.console import views
from orchestrator.console.state import Watching
from orchestrator.cursors import Cursors
from orchestrator.deliveries import Deliveries
from orchestrator.kept import Kept
from orchestrator.load import Load
from orchestrator.outside import Inside, Outside
from orchestrator.settings import Settings, outside_of, secret_of, sender_of
from orchestrator.statements import Done, Proxies, Statements
from orchestrator.store import Store
from orchestrator.webhooks import Webhooks, secret_for
from orchestrator.workers import Workers

ACCEPTED_ROLES: Final = ("gatekeeper",)
_READY_FOR_S: Final = 1.0
_READY_WITHIN_S: Final = 2.0
_COUNTED: Final = "count"
_KEPT: Final = "kept"
# As for the end of a request (orchestrator/claims.py), which waits for it.
_KEPT_WITHIN_S: Final = 30.0


def create_app(config: Settings | None = None, proxies: Proxies | None = None) -> Flask:
    """The orchestrator as a WSGI application; without a config, the one that the file in ORCHESTRATOR_CONFIG gives.

    Starts its workers. Raises SettingsError.
    """
    config = config or settings.load_named("ORCHESTRATOR_CONFIG", Settings)
    logs.configure(config.log_level)
    peers = _proxies(config)
    statements = Statements(proxies or peers, config.ledger_keeps_s)
    store, claims = Store(statements), Claims(statements, config.lease_ms, config.ledger_keeps_s)
    workers = Workers(claims, _kept(statements, config), statements, config)
    load = Load(lambda: store.counts(_COUNTED), config.most_queued, config.most_queued_per_owner)
    app = Flask("orchestrator")
    web.install(app)
    if config.tls is not None:
        app.before_request(_check_role)
    outside, secret = outside_of(config), secret_of(config)
    webhooks = Webhooks(statements, config.lease_ms + config.webhook_timeout_ms)
    deliveries = Deliveries(webhooks, sender_of(config, outside), secret, config)
    _add_posting(app, partial(_check, config, outside), store, load, workers)
    _add_looking(app, store, Cursors(secret))
    _add_secrets(app, secret)
    _add_state(app, store, workers)
    views.add(app, _watching(config, peers, load, workers))
    app.extensions["workers"] = workers
    app.extensions["leaving"] = partial(_leave, workers, deliveries)
    _begin(workers, deliveries)
    if config.metrics_listen:
        metrics.serve(config.metrics_listen, config.slots, lambda: _waiting(load))
    return app


def _begin(workers: Workers, deliveries: Deliveries) -> None:
    workers.start()
    atexit.register(workers.close)
    deliveries.start()
    atexit.register(deliveries.close)


def _leave(workers: Workers, deliveries: Deliveries) -> None:
    workers.stop()
    deliveries.stop()


def _kept(statements: Statements, config: Settings) -> Kept:
    def ask(sql: str, params: Sequence[Any]) -> Done:
        return statements.ask(sql, params, request_id=_KEPT, within_s=_KEPT_WITHIN_S)

    return Kept(ask, config.max_kept_bytes_per_owner, config.most_kept_per_owner)


def _proxies(config: Settings) -> Peers:
    most = 4 * config.slots + 64  # what its slots and its callers may want at once
    return Peers(config.proxies, "proxy", config.tls, connect_timeout_ms=config.connect_timeout_ms, most_in_flight=most)


def _check_role() -> None:
    """Raises Forbidden. What is for operators looks after itself (orchestrator/console/views.py)."""
    if request.blueprint != views.OPERATORS:
        web.check_roles(request.environ.get("gunicorn.socket"), ACCEPTED_ROLES)


def _watching(config: Settings, proxies: Peers, load: Load, workers: Workers) -> Watching:
    asked = proxies, len(config.proxies)
    return Watching(config.name, asked, load.counts, (workers, config.slots), metrics.ended_so_far)


def _waiting(load: Load) -> float:
    try:
        load.refresh()
    except GatekeeperError:
        return float("nan")
    return load.total("queued")


def _add_posting(app: Flask, check: Callable[[QueueRequest], None], store: Store, load: Load, workers: Workers) -> None:
    @app.post("/new-requests")
    def accept() -> Response:
        message = web.read_message(QueueRequest)
        check(message)
        load.check(message.owner)
        state = store.add(message, web.request_id())
        metrics.accepted()
        workers.wake()
        return web.json_response(Accepted(message.id, state), 202)


def _check(config: Settings, outside: Outside, message: QueueRequest) -> None:
    """Raises TooLarge, BadRequest, and Forbidden for what no key makes safe to run twice, or is the queue's own."""
    if message.request.effect not in DEFERRED:
        raise Forbidden("only reads and writes can be run later", rule="deferred_effect")
    if len(msgspec.json.encode(message.request)) > MAX_QUEUED_BYTES:
        raise TooLarge(f"a request for later may have {MAX_QUEUED_BYTES >> 10} KiB")
    if (message.run_at_ms or 0) > (time.time() + config.most_ahead_s) * 1000:
        raise BadRequest(f"run_at may be {config.most_ahead_s} s ahead at most", rule="run_at")
    if message.webhook is not None:
        _check_webhook(message.webhook, outside)


def _check_webhook(url: str, outside: Outside) -> None:
    """Raises BadRequest for an address that is known to be inside; what a name means is looked at when it is sent."""
    try:
        outside.check_literal(target(url).host)
    except ValueError as error:
        raise BadRequest(str(error), rule="webhook_address") from None
    except Inside:
        raise BadRequest("the webhook's address is inside, where none is sent", rule="webhook_address") from None


def _add_secrets(app: Flask, secret: bytes) -> None:
    @app.get("/webhook-secret")
    def webhook_secret() -> Response:
        owner = web.query_message(OwnerQuery).owner
        return web.json_response(WebhookSecret(shown(secret_for(owner, secret))))


def _add_looking(app: Flask, store: Store, cursors: Cursors) -> None:
    @app.get("/new-requests/<id_>")
    def look(id_: str) -> Response:
        query = web.query_message(OwnersQuery)
        return web.json_response(_one(store, cursors, id_, query))

    @app.delete("/new-requests/<id_>")
    def cancel(id_: str) -> Response:
        query = web.query_message(OwnersQuery)
        return web.json_response(store.cancel(id_, query.owner, web.request_id()).status())

    @app.get("/new-requests")
    def listed() -> Response:
        return web.json_response(_listed(store, cursors, web.query_message(OwnersListQuery)))


def _one(store: Store, cursors: Cursors, id_: str, query: OwnersQuery) -> RequestStatus:
    purpose = f"result {query.owner} {id_}"
    number = cursors.read(purpose, query.cursor)[0] if query.cursor else 0
    row = store.one(id_, query.owner, web.request_id())
    status, kept = row.status(), row.kept
    if kept is None or status.result is None:
        if number:
            raise NotFound("the request has no result")
        return status
    if number:
        rows = store.page(row, number, web.request_id())
        status = msgspec.structs.replace(status, result=msgspec.structs.replace(status.result, rows=rows))
    following = cursors.sign(purpose, [number + 1]) if number + 1 < kept.pages else None
    return msgspec.structs.replace(status, next_cursor=following)


def _listed(store: Store, cursors: Cursors, query: OwnersListQuery) -> RequestList:
    purpose = f"list {query.owner} {query.state or ''}"
    before = tuple(cursors.read(purpose, query.cursor)) if query.cursor else None
    rows = store.listed(query.owner, query.state, before, query.limit + 1, web.request_id())
    page = rows[: query.limit]
    more = len(rows) > query.limit
    following = cursors.sign(purpose, [page[-1].accepted_ms, page[-1].id]) if more else None
    return RequestList([row.status() for row in page], following)


def _add_state(app: Flask, store: Store, workers: Workers) -> None:
    ready = _Ready(store)

    @app.get("/readyz")
    def readyz() -> Response:
        if workers.is_stopping:
            raise Unavailable("the orchestrator is about to end", rule="draining")
        ready()
        return Response("ready\n", mimetype="text/plain")


class _Ready:
    """Whether the queue answers, asked once a second at most. Raises GatekeeperError when it does not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known_until = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._known_until:
            self._store.check(web.request_id(), _READY_WITHIN_S)
            self._known_until = time.monotonic() + _READY_FOR_S
