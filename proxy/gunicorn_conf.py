"""How gunicorn serves the proxy: `gunicorn --config python:proxy.gunicorn_conf "proxy.app:create_app()"`.

One process, so that pools and measurements are one; docs/benchmarks.md has why gevent.
"""

from contract.serving import tls_context, tls_options
from contract.settings import load_named
from proxy.settings import Settings

_settings = load_named("PROXY_CONFIG", Settings)

bind = _settings.listen
proc_name = _settings.name
workers = 1
worker_class = "contract.serving.Worker"
worker_connections = 1_000
# A gatekeeper keeps its connections; one that the proxy closed first could cost a request.
keepalive = 3_600
graceful_timeout = 10
timeout = 60
limit_request_line = 8_190
loglevel = "warning"
ssl_context = tls_context
globals().update(tls_options(_settings.tls, _settings.listen))
