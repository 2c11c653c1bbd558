"""How gunicorn serves the gatekeeper.

`gunicorn --config python:gatekeeper.gunicorn_conf "gatekeeper.app:create_app()"`. Its address takes plain HTTP and must
be a loopback one: nginx stands before it where clients come from elsewhere.
"""

import os
from pathlib import Path
from typing import Any

from contract.serving import HTTP_OPTIONS
from contract.settings import load_named
from contract.succession import has_predecessor, limit_takeover, retire_predecessor, say_failure
from contract.tls import tls_options
from gatekeeper.settings import Settings

_settings = load_named("GATEKEEPER_CONFIG", Settings)
tls_options(None, _settings.listen)

bind = _settings.listen
proc_name = _settings.name
workers = _settings.workers
worker_class = "contract.serving.Worker"
worker_connections = 1_000
timeout = 60
loglevel = "warning"
globals().update(HTTP_OPTIONS)
post_worker_init = retire_predecessor
on_exit = say_failure

# The workers share their counts through files here; prometheus_client reads the variable when it is first imported.
_counts = Path(_settings.runtime_directory) / "metrics"
_counts.mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_counts)


def on_starting(_server: Any) -> None:
    """Removes the counts that a killed gatekeeper left; a predecessor's workers still count in theirs."""
    if not has_predecessor():
        for left in _counts.glob("*.db"):
            left.unlink(missing_ok=True)


def when_ready(server: Any) -> None:
    """Serves the metrics of all workers from the master process."""
    limit_takeover(server)
    from gatekeeper import metrics  # noqa: PLC0415 prometheus_client looks at the environment when it is imported

    if _settings.metrics_listen:
        metrics.serve(_settings.metrics_listen)


def child_exit(_server: Any, worker: Any) -> None:
    """Drops the gauges of a worker that ended."""
    from prometheus_client import multiprocess  # noqa: PLC0415 as above

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no annotations
