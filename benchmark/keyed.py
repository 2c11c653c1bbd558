"""What exactly-once costs: `python -m benchmark.keyed [--requests N] [--clients N ...]`.

Inserts of one row through the whole path of a local system, in three forms that take turns request by request: alone,
as the only statement of a transaction, and with an Idempotency-Key. Prints each form's median and 99th percentile, and
the ratio of its median to that of the insert alone.
"""

import argparse
import http.client
import itertools
import json
import statistics
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from benchmark import world
from benchmark.measurement import WARM_UP_S
from benchmark.shapes import INSERT, Keys

REQUESTS = 1_000
CLIENTS = (1, 8)
_NOTE = "kept for a moment"

Form = Callable[[int], tuple[dict[str, str], dict[str, object]]]
"""The headers and the body's members of an insert of that number."""


def _alone(number: int) -> tuple[dict[str, str], dict[str, object]]:
    return {}, {"query": INSERT.statement, "params": [number, _NOTE]}


def _transaction(number: int) -> tuple[dict[str, str], dict[str, object]]:
    return {}, {"statements": [{"query": INSERT.statement, "params": [number, _NOTE]}]}


def _keyed(number: int) -> tuple[dict[str, str], dict[str, object]]:
    return {"Idempotency-Key": uuid.uuid4().hex}, _alone(number)[1]


FORMS: Mapping[str, Form] = {"alone": _alone, "transaction": _transaction, "with a key": _keyed}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    options = _parser().parse_args(arguments)
    with world.started(lambda _host, _text: None) as local:
        for clients in options.clients:
            with ThreadPoolExecutor(clients) as pool:
                each = max(1, options.requests // clients)
                runs = [pool.submit(_latencies, local.services.gatekeeper_url, local.key, Keys(client), each)
                        for client in range(clients)]  # fmt: skip
                _print(clients, [run.result() for run in runs])
            local.clean()


def _latencies(url: str, key: str, keys: Keys, requests: int) -> dict[str, list[float]]:
    """Milliseconds of each form's requests, after a warm-up."""
    address = urlsplit(url)
    channel = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    found: dict[str, list[float]] = {name: [] for name in FORMS}
    counted_from = time.monotonic() + WARM_UP_S
    for name in itertools.cycle(FORMS):
        elapsed_ms = _exchange(channel, key, *FORMS[name](keys.take()))
        if time.monotonic() > counted_from:
            found[name].append(elapsed_ms)
        if min(map(len, found.values())) == requests:
            return found
    raise AssertionError("a cycle has no end")


def _exchange(
    channel: http.client.HTTPConnection, key: str, headers: Mapping[str, str], members: Mapping[str, object]
) -> float:
    body = json.dumps({**members, "database": "rental"}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
    started = time.perf_counter()
    channel.request("POST", "/endpoint", body, headers)
    response = channel.getresponse()
    answer = response.read()
    elapsed_ms = (time.perf_counter() - started) * 1000
    if response.status != 200 or json.loads(answer)["affected_rows"] != 1:
        raise RuntimeError(f"not the answer to an insert: {answer[:200]!r}")
    return elapsed_ms


def _print(clients: int, runs: Sequence[Mapping[str, Sequence[float]]]) -> None:
    base = 0.0
    for name in FORMS:
        latencies = [latency for run in runs for latency in run[name]]
        middle, slow = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
        base = base or middle
        print(
            f"{clients:3} clients  {name:12} {len(latencies):6} requests"
            f"  median {middle:7.2f} ms  p99 {slow:7.2f} ms  x{middle / base:.2f}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark.keyed", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each form (%(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="at once (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
