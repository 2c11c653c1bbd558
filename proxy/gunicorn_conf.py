"""How gunicorn serves the proxy: `gunicorn --config python:proxy.gunicorn_conf "proxy.app:create_app()"`.

One process, so that pools and measurements are one; docs/benchmarks.md has why gevent.
"""

from typing import Any

from contract.serving import HTTP_OPTIONS
from contract.settings import load_named
from contract.succession import has_predecessor, limit_takeover, retire_predecessor, say_failure
from contract.tls import tls_context, tls_options
from proxy.settings import Settings

_settings = load_named("PROXY_CONFIG", Settings)

bind = _settings.listen
proc_name = _settings.name
workers = 1
worker_class = "contract.serving.Worker"
worker_connections = 1_000
timeout = 60
loglevel = "warning"
ssl_context = tls_context
when_ready = limit_takeover
on_exit = say_failure
globals().update(HTTP_OPTIONS | tls_options(_settings.tls, _settings.listen))

# How long a new process waits for a node before it takes over without one: the old one has no more, perhaps.
_NODES_WITHIN_S = 15.0


def post_worker_init(worker: Any) -> None:
    """Takes over from a predecessor when a node is up, or none is to be had."""
    if has_predecessor():
        worker.wsgi.extensions["cluster"].wait(_NODES_WITHIN_S)
    retire_predecessor(worker)
