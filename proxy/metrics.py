"""What Prometheus reads on the port that `metrics_listen` names; docs/operations.md lists the names."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from prometheus_client import REGISTRY, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.console import Answered
from contract.messages import NodeStatus
from contract.settings import split_address
from contract.succession import when_free

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

_duration = Histogram(
    "gatekeeper_proxy_statement_seconds",
    "Time from a request's arrival at the proxy to its answer.",
    ("implementation", "node"),
    buckets=_SECONDS,
)
_attempts = Counter("gatekeeper_proxy_retries_total", "Attempts beyond the first.", ("node",))
_hedged = Counter("gatekeeper_proxy_hedged_reads_total", "Reads that were asked of a second node.")
_errors = Counter("gatekeeper_proxy_errors_total", "Requests that ended in an error, by its code.", ("code",))


def answered(implementation: str, node: str, elapsed_ms: float, attempts: int) -> None:
    """Counts a request that was answered by a node."""
    _child(implementation, node).observe(elapsed_ms / 1000)
    if attempts > 1:
        _attempts.labels(node).inc(attempts - 1)


def hedged() -> None:
    """Counts a read that is asked of a second node."""
    _hedged.inc()


def failed(code: str) -> None:
    """Counts a request that ended in an error."""
    _errors.labels(code).inc()


def bounds_ms() -> list[float]:
    """What the times of answers are counted by, in milliseconds."""
    return [seconds * 1000 for seconds in _SECONDS]


def answered_so_far() -> list[Answered]:
    """What was answered since the start, by implementation and node; the counters are these metrics' own."""
    beneath: dict[tuple[str, str], list[int]] = {}
    for sample in _samples(_duration, "_bucket"):  # in the order of the bounds; each counts those before it too
        labels = sample.labels
        beneath.setdefault((labels["implementation"], labels["node"]), []).append(int(sample.value))
    return [Answered(*names, _differences(counts)) for names, counts in beneath.items()]


def errors_so_far() -> dict[str, int]:
    """How many requests have ended in an error since the start, by its code."""
    return {sample.labels["code"]: int(sample.value) for sample in _samples(_errors, "_total")}


def _samples(metric: Counter | Histogram, suffix: str) -> list[Any]:
    return [
        sample for family in metric.collect() for sample in family.samples if sample.name == f"{family.name}{suffix}"
    ]


def _differences(cumulative: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *cumulative])]


@lru_cache(maxsize=1024)
def _child(implementation: str, node: str) -> Histogram:
    return _duration.labels(implementation, node)


class NodeCollector(Collector):
    """Gives the nodes' state when Prometheus asks."""

    def __init__(self, statuses: Callable[[], Sequence[NodeStatus]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[Metric]:
        """One gauge for each thing known of a node."""
        up = GaugeMetricFamily("gatekeeper_proxy_node_up", "1 when the node is up.", labels=["node", "role"])
        ping = GaugeMetricFamily("gatekeeper_proxy_node_ping_seconds", "Smoothed round trip.", labels=["node"])
        flight = GaugeMetricFamily("gatekeeper_proxy_node_in_flight", "Requests being run.", labels=["node"])
        restarts = GaugeMetricFamily("gatekeeper_proxy_tunnel_restarts", "Tunnels replaced.", labels=["node"])
        for node in self._statuses():
            up.add_metric([node.name, node.role], float(node.state == "up"))
            flight.add_metric([node.name], node.in_flight)
            restarts.add_metric([node.name], node.tunnel_restarts)
            if node.ping_ms is not None:
                ping.add_metric([node.name], node.ping_ms / 1000)
        return [up, ping, flight, restarts]


def serve(listen: str, statuses: Callable[[], Sequence[NodeStatus]]) -> None:
    """Answers `/metrics` on HOST:PORT, in a thread, as soon as a worker that is just ending has left the port."""
    REGISTRY.register(NodeCollector(statuses))
    host, port = split_address(listen)
    when_free(lambda: start_http_server(port, host), "metrics")
