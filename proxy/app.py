"""The proxy's HTTP: `/endpoint`, `/transactions`, `/nodes`, `/stats`, its health. Its metrics are on another port."""

import atexit
from pathlib import Path

from flask import Flask, Response, request

from contract import logs, messages, settings, succession, web
from contract.console import StatsAnswer
from contract.errors import Unavailable
from contract.implementations import CUSTOMIZED_HIT
from contract.messages import EndpointQuery, NodesAnswer, ProxyRequest
from proxy import metrics, transaction_endpoint
from proxy.answering import Memory
from proxy.cluster import Cluster
from proxy.endpoint import ACCEPTED_ROLES, COUNTING_ROLES, Endpoint
from proxy.inventory import Inventory
from proxy.router import Router
from proxy.settings import Settings, accounts_of
from proxy.sweeping import Sweeper
from proxy.transactions import Transactions
from proxy.tunnels import opener


def create_app(config: Settings | None = None) -> Flask:
    """The proxy as a WSGI application; without a config, the one that the file in PROXY_CONFIG gives.

    Starts the cluster's probers. Raises SettingsError, InventoryError.
    """
    config = config or settings.load_named("PROXY_CONFIG", Settings)
    logs.configure(config.log_level)
    inventory = Inventory(Path(config.inventory))
    _clear(Path(config.runtime_directory))
    cluster = Cluster(config, inventory, accounts_of(config), opener(config))
    app = Flask("proxy")
    web.install(app)
    if config.tls is not None:
        web.require_roles(app, ACCEPTED_ROLES)
    router, memory = Router(cluster, config), Memory(config.max_collected_bytes)
    endpoint, transactions = Endpoint(router, memory, config), Transactions(router, config)
    app.extensions["plain"] = endpoint.answer_plain
    _add_endpoint(app, endpoint)
    transaction_endpoint.install(app, transactions, memory, config)
    _add_state(app, cluster, inventory, config)
    app.extensions["cluster"] = cluster
    sweeper = app.extensions["sweeper"] = Sweeper(cluster)
    app.extensions["leaving"] = transactions.close
    cluster.start()
    sweeper.start()
    transactions.start()
    # A worker that takes over from another should answer from its first request on.
    cluster.wait(config.connect_timeout_ms / 1000)
    atexit.register(cluster.stop)
    atexit.register(transactions.stop)
    atexit.register(sweeper.stop)
    if config.metrics_listen:
        metrics.serve(config.metrics_listen, lambda: [node.status() for node in cluster.nodes])
    return app


def _add_endpoint(app: Flask, endpoint: Endpoint) -> None:
    @app.post("/endpoint")
    def post_endpoint() -> Response:
        return answered(web.read_message(ProxyRequest))

    @app.get("/endpoint")
    def get_endpoint() -> Response:
        return answered(_read_of(web.query_message(EndpointQuery)))

    def answered(message: ProxyRequest) -> Response:
        peer = request.environ.get("gunicorn.socket")
        return web.response_to(endpoint.answer(message, web.negotiated(), web.request_id(), peer))


def _add_state(app: Flask, cluster: Cluster, inventory: Inventory, config: Settings) -> None:
    def known() -> NodesAnswer:
        statuses = [node.status() for node in cluster.nodes]
        return NodesAnswer(config.name, config.engine, config.tunnel, inventory.problem, statuses)

    @app.get("/nodes")
    def nodes() -> Response:
        return web.json_response(known())

    @app.get("/stats")
    def stats() -> Response:
        if config.tls is not None:
            web.check_roles(request.environ.get("gunicorn.socket"), COUNTING_ROLES)
        counted = metrics.answered_so_far(), metrics.errors_so_far()
        return web.json_response(StatsAnswer(known(), metrics.bounds_ms(), *counted))

    @app.get("/readyz")
    def readyz() -> Response:
        if not cluster.fit():
            raise Unavailable("no healthy node", rule="no_healthy_node")
        return Response("ready\n", mimetype="text/plain")


def _read_of(query: EndpointQuery) -> ProxyRequest:
    return ProxyRequest(
        query=query.query,
        implementation=query.implementation or CUSTOMIZED_HIT,
        database=query.database,
        timeout_ms=query.timeout_ms or messages.DEFAULT_TIMEOUT_MS,
        effect="read",
    )


def _clear(runtime_directory: Path) -> None:
    """Makes the directory for the tunnels' sockets, and removes those that a killed proxy left.

    Those of a predecessor, which is serving still, stay.
    """
    runtime_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if succession.has_predecessor():
        return
    for left in (*runtime_directory.glob("*.sock"), *runtime_directory.glob("*.ctl")):
        left.unlink(missing_ok=True)
