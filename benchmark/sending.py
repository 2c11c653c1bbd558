"""Sends the same statement many times, some at once, and counts what came back, by implementation and node."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import msgspec

from benchmark.measurement import Sample
from client.gateway import Client
from client.settings import Access
from client.values import Params
from contract.errors import GatekeeperError


class Job(msgspec.Struct, frozen=True):
    """What to send: `requests` times, `concurrency` at once, the implementations in turn."""

    requests: int
    concurrency: int
    implementations: tuple[str, ...]
    query: str
    params: Params | None
    database: str | None
    timeout_ms: int


class Outcome(msgspec.Struct, frozen=True):
    """What became of one request: answered by a node, or an error of that code. `latency_us`: until then."""

    implementation: str
    node: str | None
    code: str | None
    latency_us: int


class Line(msgspec.Struct, frozen=True):
    """All requests of an implementation to a node; `node` is null where none answered. Latencies of answers only.

    `errors`: how many there were of each code.
    """

    implementation: str
    node: str | None
    requests: int
    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    errors: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    """What happened to all that was sent."""

    requests: int
    answered: int
    seconds: float
    interrupted: bool
    lines: list[Line]


def send(job: Job, access: Access, stop: threading.Event) -> Report:
    """Sends until all are done, `stop` is set or the user interrupts. Raises ValueError for a wrong URL or key."""
    Client(access.url, access.key).close()  # a wrong one is found here
    turns = zip(range(job.requests), itertools.cycle(job.implementations), strict=False)
    lock = threading.Lock()
    begin = time.perf_counter()
    with ThreadPoolExecutor(job.concurrency) as pool:
        futures = [pool.submit(_worker, job, access, turns, lock, stop) for _ in range(job.concurrency)]
        interrupted = not _waited(futures, stop)
    outcomes = [outcome for future in futures for outcome in future.result()]
    return report_of(outcomes, time.perf_counter() - begin, interrupted=interrupted)


def report_of(outcomes: Sequence[Outcome], seconds: float, *, interrupted: bool = False) -> Report:
    """The outcomes, counted. Pure."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.implementation, outcome.node or ""), []).append(outcome)
    return Report(
        requests=len(outcomes),
        answered=sum(outcome.code is None for outcome in outcomes),
        seconds=seconds,
        interrupted=interrupted,
        lines=[_line(group, seconds) for _, group in sorted(groups.items())],
    )


def _waited(futures: "Iterable[Future[list[Outcome]]]", stop: threading.Event) -> bool:
    """Waits for the workers; False when the user interrupted, after which each ends with its request under way."""
    try:
        wait(futures)
    except KeyboardInterrupt:
        stop.set()
        return False
    return not stop.is_set()


def _worker(
    job: Job, access: Access, turns: Iterator[tuple[int, str]], lock: threading.Lock, stop: threading.Event
) -> list[Outcome]:
    """One of those that send at once, with connections of its own."""
    outcomes = []
    with Client(access.url, access.key, timeout_ms=job.timeout_ms) as client:
        while not stop.is_set():
            with lock:
                turn = next(turns, None)
            if turn is None:
                break
            outcomes.append(_send_one(job, client, turn[1]))
    return outcomes


def _send_one(job: Job, client: Client, implementation: str) -> Outcome:
    node = code = None
    sent = time.perf_counter()
    try:
        node = client.answer(job.query, job.params, implementation=implementation, database=job.database).node
    except GatekeeperError as error:
        code = error.code
    return Outcome(implementation, node, code, int((time.perf_counter() - sent) * 1e6))


def _line(group: Sequence[Outcome], seconds: float) -> Line:
    latencies = Counter(outcome.latency_us for outcome in group if outcome.code is None)
    sample = Sample(seconds, latencies)
    return Line(
        implementation=group[0].implementation,
        node=group[0].node,
        requests=len(group),
        per_second=round(sample.per_second, 1),
        p50_ms=sample.percentile_ms(50) if latencies else None,
        p99_ms=sample.percentile_ms(99) if latencies else None,
        errors=dict(Counter(outcome.code for outcome in group if outcome.code is not None)),
    )
