"""How gunicorn serves the orchestrator: `gunicorn --config python:orchestrator.gunicorn_conf
"orchestrator.app:create_app()"`. One process, whose slots are one number; more orchestrators share the queue.
"""

from contract.serving import HTTP_OPTIONS
from contract.settings import load_named
from contract.succession import limit_takeover, retire_predecessor, say_failure
from contract.tls import tls_context, tls_options
from orchestrator.settings import Settings

_settings = load_named("ORCHESTRATOR_CONFIG", Settings)

bind = _settings.listen
proc_name = _settings.name
workers = 1
worker_class = "contract.serving.Worker"
worker_connections = 1_000
timeout = 60
loglevel = "warning"
ssl_context = tls_context
post_worker_init = retire_predecessor
when_ready = limit_takeover
on_exit = say_failure
globals().update(HTTP_OPTIONS | tls_options(_settings.tls, _settings.listen))
