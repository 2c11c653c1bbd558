"""What gatekeepers tell: collected in a worker, kept by an orchestrator, bounded at both whatever comes."""

import json
import socket
import threading
from typing import Any

import msgspec
import pytest

from contract.console import MAX_SUMMARY_BYTES, MOST_DIGESTS, MOST_REFUSALS, Refused, Slow, Summary
from contract.peers import Peers
from deploy import processes
from gatekeeper import telling
from gatekeeper.recent import Ended, Recent
from gatekeeper.telling import Telling
from orchestrator.console.told import OVER_S, Told
from tests.unit.clock_fixtures import Clock

DIGEST = "0123456789abcdef"
GOOD = Ended(200, None, None, "allowed", "demo", DIGEST, "select", 2.0)
REFUSED = Ended(403, "forbidden", "column", "refused", "demo", DIGEST, "select", 1.0)


def summary(*refusals: Refused, digests: tuple[Slow, ...] = (), worker: int = 1, requests: int = 10) -> Summary:
    return Summary(worker, 2000, requests, 0, 0, 0, list(refusals), list(digests))


def digest(number: int) -> str:
    return f"{number:016x}"


def test_requests_are_counted_by_what_became_of_them() -> None:
    clock = Clock()
    recent = Recent(clock)
    for ended in (GOOD, GOOD, REFUSED, msgspec.structs.replace(GOOD, status=502, code="upstream_failed")):
        recent.add(ended)
    clock.now += 2
    told = recent.summary()
    assert (told.requests, told.refused, told.failed, told.span_ms) == (4, 1, 1, 2000)
    assert told.digests == [Slow(DIGEST, "select", 2, 4.0, 2.0)]
    assert told.refusals == [Refused(1, 2000, "forbidden", rule="column", key="demo", digest=DIGEST)]
    assert recent.summary().requests == 0


def test_what_a_database_refuses_is_no_refusal_of_the_gatekeeper() -> None:
    recent = Recent()
    recent.add(msgspec.structs.replace(GOOD, status=422, code="database_refused"))
    told = recent.summary()
    assert (told.refused, told.refusals, told.digests) == (1, [], [])


def test_what_passes_in_report_only_mode_is_told_as_that() -> None:
    recent = Recent()
    recent.add(msgspec.structs.replace(GOOD, verdict="reported", rule="function"))
    (told,) = recent.summary().refusals
    assert (told.reported, told.rule, told.count) == (True, "function", 1)


def test_a_workers_memory_and_its_summary_are_bounded_and_what_is_left_out_is_counted() -> None:
    recent = Recent()
    for number in range(5000):
        recent.add(msgspec.structs.replace(GOOD, digest=digest(number), elapsed_ms=float(number)))
        recent.add(msgspec.structs.replace(REFUSED, digest=digest(number), key="k" * 64, rule="r" * 64))
    told = recent.summary()
    assert len(told.refusals) == MOST_REFUSALS
    assert len(told.digests) == MOST_DIGESTS
    assert told.left_out == 10_000 - MOST_REFUSALS - MOST_DIGESTS
    assert len(msgspec.json.encode(told)) < MAX_SUMMARY_BYTES / 2
    assert msgspec.json.decode(msgspec.json.encode(told), type=Summary) == told


def test_a_flood_of_strangers_is_one_line_and_hides_nobody() -> None:
    recent = Recent()
    for _ in range(10_000):
        recent.add(Ended(401, "unauthenticated", None, "refused", None, None, None, 0.1))
    recent.add(REFUSED)
    assert [(each.code, each.count) for each in recent.summary().refusals] == [
        ("unauthenticated", 10_000),
        ("forbidden", 1),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "SELECT * FROM t"},
        {"key": "<b>"},
        {"rule": "x" * 65},
        {"code": "<script>"},
        {"count": -1},
        {"count": 1 << 60},
        {"text": "SELECT 1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_has_not_the_form_of_a_summary_is_refused(change: dict[str, Any]) -> None:
    refused = {"count": 1, "ms_ago": 1, "code": "forbidden"}
    members = {"worker": 1, "span_ms": 1, "requests": 1, "refused": 1, "failed": 0, "left_out": 0, "digests": []}
    good = json.dumps({**members, "refusals": [refused]}).encode()
    assert msgspec.json.decode(good, type=Summary).refusals == [Refused(1, 1, "forbidden")]
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps({**members, "refusals": [{**refused, **change}]}).encode(), type=Summary)


def test_the_same_reason_of_several_workers_is_one_with_its_latest_time() -> None:
    clock = Clock()
    told = Told(clock)
    told.take("gatekeeper1", summary(Refused(2, 500, "forbidden", rule="column")))
    clock.now += 40
    told.take("gatekeeper1", summary(Refused(3, 1000, "forbidden", rule="column"), worker=2))
    told.take("gatekeeper2", summary(Refused(1, 0, "rate_limited", rule="rate")))
    shown = [(each.gatekeeper, each.rule, each.count, each.last_ms_ago) for each in told.refusals()]
    assert shown == [("gatekeeper2", "rate", 1, 0), ("gatekeeper1", "column", 5, 1000)]


def test_the_slowest_in_the_mean_come_first() -> None:
    told = Told()
    told.take("gatekeeper1", summary(digests=(Slow("a1", "select", 10, 100, 80), Slow("b2", "update", 1, 50, 50))))
    told.take("gatekeeper2", summary(digests=(Slow("a1", "select", 10, 300, 90),)))
    shown = [(each.digest, each.count, each.mean_ms, each.max_ms) for each in told.digests()]
    assert shown == [("b2", 1, 50.0, 50.0), ("a1", 20, 20.0, 90.0)]


def test_after_some_minutes_it_is_forgotten() -> None:
    clock = Clock()
    told = Told(clock)
    told.take("gatekeeper1", summary(Refused(2, 0, "forbidden"), digests=(Slow("a1", "select", 1, 1, 1),)))
    clock.now += OVER_S + 1
    assert (told.refusals(), told.digests(), told.left_out()) == ([], [], 0)


def test_a_gatekeepers_rate_is_that_of_its_workers_that_live() -> None:
    clock = Clock()
    told = Told(clock)
    for requests in (10, 30):
        told.take("gatekeeper1", summary(worker=1, requests=requests))
        told.take("gatekeeper1", summary(worker=2, requests=requests))
        clock.now += 2
    (shown,) = told.gatekeepers()
    assert (shown.workers, shown.per_s, shown.age_ms) == (2, 20.0, 2000)
    clock.now += 10
    (shown,) = told.gatekeepers()
    assert (shown.workers, shown.per_s, shown.age_ms) == (0, 0.0, 12_000)
    clock.now += 600
    assert told.gatekeepers() == []


def test_whatever_gatekeepers_send_an_orchestrator_keeps_so_much_and_no_more() -> None:
    clock = Clock()
    told = Told(clock)
    for number in range(3000):
        refusals = [Refused(1, 0, "forbidden", digest=digest(number * 64 + each)) for each in range(MOST_REFUSALS)]
        digests = tuple(Slow(digest(number * 20 + each), "select", 1, 1, 1) for each in range(MOST_DIGESTS))
        told.take(f"g{number % 50}", summary(*refusals, digests=digests, worker=number))
        clock.now += 0.01
    assert max(each.workers for each in told.gatekeepers()) <= 64
    assert len(told.refusals()) == 50
    assert len(told.digests()) == 20
    slots = [slot for _, slot in told._slots(clock.now)]
    assert len(slots) <= 50 * OVER_S / 30
    assert max(len(slot.refusals) for slot in slots) == max(len(slot.digests) for slot in slots) == 200
    assert told.left_out() > 0


def test_of_too_many_gatekeepers_the_one_that_was_silent_for_longest_goes() -> None:
    clock = Clock()
    told = Told(clock)
    for number in range(65):
        told.take(f"g{number}", summary())
        clock.now += 0.1
    names = {each.name for each in told.gatekeepers()}
    assert names == {f"g{number}" for number in range(1, 65)}


class Orchestrators:
    """Orchestrators that keep what they are told."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.told: list[Summary] = []
        self.some = threading.Event()

    def tell_each(self, path: str, body: bytes) -> list[int | None]:
        assert path == "/summaries"
        self.told.append(msgspec.json.decode(body, type=Summary))
        self.some.set()
        return self.statuses


def test_a_worker_tells_again_and_again_and_an_orchestrator_that_is_not_there_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling, "_EVERY_S", 0.01)
    recent, orchestrators = Recent(), Orchestrators(None, 403)
    recent.add(GOOD)
    telling_ = Telling(recent, orchestrators)
    try:
        processes.wait_until(lambda: len(orchestrators.told) >= 3, timeout_s=30, what="the third summary")
    finally:
        telling_.stop()
    assert sum(each.requests for each in orchestrators.told) == 1


def test_an_orchestrator_that_can_not_be_reached_misses_what_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    peers = Peers((f"http://127.0.0.1:{port}",) * 2, "orchestrator", None, connect_timeout_ms=1000, most_in_flight=4)
    assert peers.tell_each("/summaries", b"{}") == [None, None]
