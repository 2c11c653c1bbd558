"""What Prometheus reads on the port that `metrics_listen` names; docs/operations.md lists the names."""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, start_http_server

from contract.settings import split_address
from contract.succession import when_free

_accepted = Counter("gatekeeper_queue_accepted_total", "Requests that were accepted for later.")
_ended = Counter("gatekeeper_queue_ended_total", "Requests that ended here, by their last state.", ("state",))
_retried = Counter("gatekeeper_queue_retries_total", "Attempts that will be followed by another, by code.", ("code",))
_busy = Gauge("gatekeeper_queue_slots_busy", "Slots in which a request runs.")
_slots = Gauge("gatekeeper_queue_slots", "Slots.")
_webhooks = Counter("gatekeeper_queue_webhooks_total", "Webhooks that were tried, by what they are then.", ("state",))
_waiting = Gauge("gatekeeper_queue_waiting", "Requests in the queue, of all orchestrators, when last counted.")


def accepted() -> None:
    """Counts a request that is in the queue now."""
    _accepted.inc()


def ended(state: str) -> None:
    """Counts a request that ended."""
    _ended.labels(state).inc()


def ended_so_far() -> dict[str, int]:
    """How many requests have ended here since the start, by their last state."""
    samples = (sample for family in _ended.collect() for sample in family.samples)
    return {each.labels["state"]: int(each.value) for each in samples if each.name.endswith("_total")}


def webhook(state: str) -> None:
    """Counts an attempt to deliver one, after which it is `sent`, `due` again or `failed`."""
    _webhooks.labels(state).inc()


def retried(code: str) -> None:
    """Counts an attempt that failed and will be followed by another."""
    _retried.labels(code).inc()


def busy(slots: int) -> None:
    """Says in how many slots something runs."""
    _busy.set(slots)


def serve(listen: str, slots: int, waiting: Callable[[], float]) -> None:
    """Answers `/metrics` on HOST:PORT, in a thread, as soon as a worker that is just ending has left the port."""
    _slots.set(slots)
    _waiting.set_function(waiting)
    host, port = split_address(listen)
    when_free(lambda: start_http_server(port, host), "metrics")
