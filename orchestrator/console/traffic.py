"""Rates and times of the last seconds, from what proxies have counted since they started. Pure but for the samples."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from contract.console import QUEUE_TRAFFIC, ImplementationView, NodeAsSeen, NodeView, ProxyView, StatsAnswer
from contract.implementations import IMPLEMENTATIONS

OVER_S: Final = 12.0
_FORGOTTEN_AFTER_S: Final = 600.0
_MOST_PROXIES: Final = 64
_MOST_SAMPLES: Final = 32


class Sample(msgspec.Struct, frozen=True):
    """What a proxy said, and when (monotonic clock)."""

    at: float
    stats: StatsAnswer


class Change(msgspec.Struct, frozen=True):
    """What happened at a proxy in some seconds. `answered`: by implementation and node, as `Answered.counts`."""

    seconds: float
    bounds_ms: Sequence[float]
    answered: Mapping[tuple[str, str], Sequence[int]]
    failures: Mapping[str, int]
    errors: Mapping[str, int]


class Samples:
    """What proxies said lately, by their names. One that says nothing more is forgotten after ten minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, deque[Sample]] = {}

    def add(self, at: float, answers: Iterable[StatsAnswer]) -> None:
        """Takes what was said, and forgets what is too old."""
        with self._lock:
            for stats in answers:
                name = stats.about.proxy
                if name in self._of or len(self._of) < _MOST_PROXIES:
                    self._of.setdefault(name, deque(maxlen=_MOST_SAMPLES)).append(Sample(at, stats))
            for name, kept in list(self._of.items()):
                while len(kept) > 1 and kept[-1].at - kept[0].at > OVER_S:
                    kept.popleft()
                if at - kept[-1].at > _FORGOTTEN_AFTER_S:
                    del self._of[name]

    def last(self) -> dict[str, Sample]:
        """Each proxy's last words."""
        with self._lock:
            return {name: kept[-1] for name, kept in sorted(self._of.items())}

    def changes(self, now: float) -> dict[str, Change]:
        """What happened lately at those proxies that still say something, and said something before."""
        with self._lock:
            lately = {name: tuple(kept) for name, kept in self._of.items() if now - kept[-1].at <= OVER_S}
        found = {name: change(samples) for name, samples in lately.items()}
        return {name: each for name, each in found.items() if each is not None}


def change(samples: Sequence[Sample]) -> Change | None:
    """What happened between the first sample and the last, or since the proxy's start if it lies in between."""
    last = samples[-1]
    for first in samples[:-1]:
        answered = _grown(_counts(first.stats), _counts(last.stats))
        if answered is not None and last.at > first.at:
            failures = _difference(_failures(first.stats), _failures(last.stats))
            errors = _difference(first.stats.errors, last.stats.errors)
            return Change(last.at - first.at, last.stats.bounds_ms, answered, failures, errors)
    return None


def _counts(stats: StatsAnswer) -> dict[tuple[str, str], Sequence[int]]:
    return {(each.implementation, each.node): each.counts for each in stats.answered}


def _failures(stats: StatsAnswer) -> dict[str, int]:
    return {node.name: node.failures for node in stats.about.nodes}


def _grown(
    before: Mapping[tuple[str, str], Sequence[int]], after: Mapping[tuple[str, str], Sequence[int]]
) -> dict[tuple[str, str], Sequence[int]] | None:
    """What was added; None where something became less, so that the proxy has begun anew."""
    grown: dict[tuple[str, str], Sequence[int]] = {}
    for name, counts in after.items():
        old = before.get(name, [0] * len(counts))
        grown[name] = [new - past for past, new in zip(old, counts, strict=True)]
    lost = before.keys() - after.keys()
    return None if lost or any(added < 0 for counts in grown.values() for added in counts) else grown


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What was added to counters of their own; a node that came back has begun anew."""
    return {name: count - (past if (past := before.get(name, 0)) <= count else 0) for name, count in after.items()}


def implementations(changes: Iterable[Change]) -> list[ImplementationView]:
    """The rates and times by implementation, those that are known first, whether they were asked for or not."""
    per_s: dict[str, float] = dict.fromkeys((*IMPLEMENTATIONS, QUEUE_TRAFFIC), 0.0)
    counts: dict[str, list[int]] = {}
    bounds: Sequence[float] = ()
    for each in changes:
        bounds = each.bounds_ms
        for (name, _), added in each.answered.items():
            per_s[name] = per_s.get(name, 0.0) + sum(added) / each.seconds
            so_far = counts.setdefault(name, [0] * len(added))
            counts[name] = [one + other for one, other in zip(so_far, added, strict=False)]
    return [
        ImplementationView(name, round(rate, 2), *(_shown(bounds, counts.get(name, ()), q) for q in (0.5, 0.95, 0.99)))
        for name, rate in per_s.items()
    ]


def quantile_ms(bounds_ms: Sequence[float], counts: Sequence[int], q: float) -> float | None:
    """The time that a part `q` of the requests kept to, taken as even within a bucket; None without requests.

    Past the last bound nothing is known but that bound.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, seen, lower = q * total, 0, 0.0
    for upper, count in zip(bounds_ms, counts, strict=False):
        if count and seen + count >= wanted:
            return lower + (upper - lower) * (wanted - seen) / count
        seen, lower = seen + count, upper
    return lower


def _shown(bounds_ms: Sequence[float], counts: Sequence[int], q: float) -> float | None:
    found = quantile_ms(bounds_ms, counts, q)
    return None if found is None else round(found, 2)


def nodes(last: Mapping[str, Sample], changes: Mapping[str, Change], now: float) -> list[NodeView]:
    """Each node, as the proxies know it that have said something lately, or else did last."""
    fresh = {name: sample for name, sample in last.items() if now - sample.at <= OVER_S} or last
    seen: dict[str, list[NodeAsSeen]] = {}
    for name, sample in fresh.items():
        for status in sample.stats.about.nodes:
            seen.setdefault(status.name, []).append(NodeAsSeen(name, status))
    requests = _per_node(changes.values())
    total = sum(requests.values())
    ages = {name: _age_ms(sample, now) for name, sample in fresh.items()}
    return [_node(name, views, ages, changes, (requests.get(name, 0.0), total)) for name, views in seen.items()]


def _age_ms(sample: Sample, now: float) -> int:
    return max(0, round((now - sample.at) * 1000))


def _per_node(changes: Iterable[Change]) -> dict[str, float]:
    """Clients' requests a second, by node."""
    found: dict[str, float] = {}
    for each in changes:
        for (implementation, node), counts in each.answered.items():
            if implementation != QUEUE_TRAFFIC:
                found[node] = found.get(node, 0.0) + sum(counts) / each.seconds
    return found


def _node(
    name: str,
    seen: Sequence[NodeAsSeen],
    ages: Mapping[str, int],
    changes: Mapping[str, Change],
    requests: tuple[float, float],
) -> NodeView:
    """`requests`: a second, at this node and at all of them."""
    per_s, total = requests
    states = {view.status.state for view in seen}
    pings = [view.status.ping_ms for view in seen if view.status.ping_ms is not None]
    known = [changes[view.proxy] for view in seen if view.proxy in changes]
    failures = sum(each.failures.get(name, 0) / each.seconds for each in known)
    return NodeView(
        name=name,
        role=seen[0].status.role,
        state=states.pop() if len(states) == 1 else "disputed",
        age_ms=min(ages[view.proxy] for view in seen),
        ping_ms=round(min(pings), 3) if pings else None,
        per_s=round(per_s, 2) if known else None,
        failures_per_s=round(failures, 3) if known else None,
        share=round(per_s / total, 4) if known and total else None,
        seen=seen,
    )


def proxies(last: Mapping[str, Sample], changes: Mapping[str, Change], now: float) -> list[ProxyView]:
    """Each proxy that has said something in the last minutes."""
    return [_proxy(sample, changes.get(name), now) for name, sample in last.items()]


def _proxy(sample: Sample, lately: Change | None, now: float) -> ProxyView:
    about = sample.stats.about
    errors = (
        {code: round(count / lately.seconds, 3) for code, count in lately.errors.items() if count} if lately else {}
    )
    return ProxyView(about.proxy, about.engine, about.tunnel, about.inventory_problem, _age_ms(sample, now), errors)
