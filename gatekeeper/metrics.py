"""What Prometheus reads on the port that `metrics_listen` names: of all workers together."""

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, multiprocess, start_http_server

from contract.settings import split_address
from contract.succession import when_free

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

_requests = Counter("gatekeeper_requests_total", "Requests by status and error code.", ("status", "code"))
_duration = Histogram("gatekeeper_request_seconds", "Time from a request's key to its answer.", buckets=_SECONDS)
_reported = Counter("gatekeeper_reported_total", "Requests that passed in report-only mode, by rule.", ("rule",))
_not_recorded = Counter("gatekeeper_record_failures_total", "Times that a statement could not be recorded.")


def answered(status: int, code: str | None, elapsed_s: float) -> None:
    """Counts a request that was answered."""
    _child(str(status), code or "").inc()
    _duration.observe(elapsed_s)


def reported(rule: str | None) -> None:
    """Counts a request that the policy would have refused by the rule."""
    _reported.labels(rule or "").inc()


def not_recorded() -> None:
    """Counts a statement that could not be recorded."""
    _not_recorded.inc()


@lru_cache(maxsize=256)
def _child(status: str, code: str) -> Counter:
    return _requests.labels(status, code)


def serve(listen: str) -> None:
    """Answers `/metrics` on HOST:PORT for all workers, in a thread, as soon as a predecessor has left the port."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no annotations
    host, port = split_address(listen)
    when_free(lambda: start_http_server(port, host, registry=registry), "metrics")
