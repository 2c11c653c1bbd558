"""An orchestrator's slots, before a pretended queue: how many run at once, how each ends, what a drain leaves."""

import json
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from contract.errors import DatabaseRefused, GatekeeperError, Unavailable, UpstreamFailed
from contract.messages import Idempotency, ProxyRequest
from contract.peers import Reply
from deploy import processes
from orchestrator import workers as subject
from orchestrator.claims import Claim
from orchestrator.settings import Settings
from orchestrator.statements import Statements, keyed
from orchestrator.states import MOST_VANISHED
from orchestrator.workers import Workers

ANSWER = {"node": "data1", "columns": [], "rows": [], "affected_rows": 1, "last_insert_id": None, "truncated": False}
WRITE = ProxyRequest(query="UPDATE t SET a = 1", effect="write")


class Queue:
    """A queue in memory. `ends`: what was written of each claim's end, `tried` so often; `error`: what that meets."""

    def __init__(self, count: int = 0, attempts: int = 1) -> None:
        body = msgspec.json.encode(WRITE).decode()
        self.waiting = [Claim(f"r{number}", "ann", "token", attempts, 3, body) for number in range(count)]
        self.ends: list[tuple[Any, ...]] = []
        self.error: GatekeeperError | None = None
        self.tried = 0

    def take(self, most: int, crowding: Collection[str]) -> list[Claim]:
        self.waiting.sort(key=lambda claim: claim.owner in crowding)
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def take_one(self, but: Collection[str]) -> list[Claim]:
        taken = [claim for claim in self.waiting if claim.owner not in but][:1]
        self.waiting = [claim for claim in self.waiting if claim not in taken]
        return taken

    def body(self, claim: Claim) -> str:
        return claim.body or ""

    def done(self, claim: Claim, _answer: bytes, _pages: Sequence[bytes]) -> None:
        self._end(claim.id, "done")

    def ended(self, claim: Claim, state: str, _problem: object) -> None:
        self._end(claim.id, state)

    def put_back(self, claim: Claim, _problem: object, pause_ms: int, *, counts: bool) -> None:
        self._end(claim.id, "queued", pause_ms > 0, counts)

    def renew(self, _claims: object) -> None:
        """Leases last."""

    def bury(self) -> None:
        """There is nothing old."""

    def _end(self, *end: Any) -> None:
        self.tried += 1
        if self.error:
            raise self.error
        self.ends.append(end)


class Kept:
    """What is kept: how much was counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str]] = []

    def count(self, id_: str, owner: str, size: int) -> None:
        assert size > 0
        self.counted.append((id_, owner))

    def remove(self, _retention_s: int) -> int:
        return 0

    def shrink(self) -> int:
        return 0


class Proxies:
    """Proxies that answer when `go` is set, with `error` where there is one. `most`: requests at once."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.error: GatekeeperError | None = None
        self.now = self.most = 0
        self._lock = threading.Lock()

    def post(self, body: bytes, **_: Any) -> Reply:
        assert json.loads(body)["idempotency"]["owner"] == "/orchestrator"
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go.wait(30)
        with self._lock:
            self.now -= 1
        if self.error:
            raise self.error
        return Reply(200, {}, json.dumps(ANSWER).encode())


@contextmanager
def working(queue: Queue, proxies: Proxies, slots: int = 2) -> Iterator[Workers]:
    settings = Settings(
        name="o", listen="127.0.0.1:1", proxies=("x",), secret="", runtime_directory="", slots=slots, poll_ms=10
    )
    workers = Workers(queue, Kept(), Statements(proxies), settings)  # type: ignore[arg-type]  # it has what is called
    workers.start()
    try:
        yield workers
    finally:
        proxies.go.set()
        workers.stop()
        wait_until(lambda: workers.busy == 0)


def wait_until(holds: Callable[[], bool]) -> None:
    processes.wait_until(holds, timeout_s=30, what="the workers")


def test_no_more_run_at_once_than_there_are_slots_and_all_are_done() -> None:
    queue, proxies = Queue(7), Proxies()
    with working(queue, proxies) as workers:
        wait_until(lambda: proxies.now == 2)
        assert (workers.busy, len(queue.waiting)) == (2, 5)
        proxies.go.set()
        wait_until(lambda: len(queue.ends) == 7)
    assert proxies.most == 2
    assert sorted(queue.ends) == [(f"r{number}", "done") for number in range(7)]


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_who_has_its_share_of_the_slots_lets_others_go_first(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_FAIR_EVERY_S", 0)
    queue, proxies = Queue(10 * slots), Proxies()
    with working(queue, proxies, slots) as workers:
        wait_until(lambda: proxies.now == slots - slots // 4)
        queue.waiting.append(msgspec.structs.replace(queue.waiting[0], id="bob's", owner="bob"))
        proxies.go.set()
        wait_until(lambda: len(queue.ends) == 10 * slots + 1)
        assert workers.busy <= slots
    place = queue.ends.index(("bob's", "done"))
    assert place < 4 * slots, "it came after all that its owner had found there"


def test_the_last_slots_are_for_those_who_have_none_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_FAIR_EVERY_S", 0)
    queue, proxies = Queue(20), Proxies()
    with working(queue, proxies, 8) as workers:
        wait_until(lambda: proxies.now == 6)
        for number, name in enumerate(("bob", "bob", "eve")):
            queue.waiting.append(msgspec.structs.replace(queue.waiting[0], id=f"{name}'s {number}", owner=name))
        wait_until(lambda: proxies.now == 8)
        assert workers.busy == 8
        assert [claim.owner for claim in queue.waiting] == [*["ann"] * 14, "bob"]


REFUSED = DatabaseRefused("no", outcome="rolled_back", mysql_errno=1062)
LOST = UpstreamFailed("lost", outcome="unknown")


@pytest.mark.parametrize(
    ("error", "attempts", "end"),
    [
        (REFUSED, 1, ("r0", "failed")),
        (LOST, 1, ("r0", "queued", True, True)),
        (LOST, 3, ("r0", "dead")),
        (Unavailable("no proxy"), 3, ("r0", "queued", True, False)),
        (Unavailable("no proxy"), 4 + MOST_VANISHED, ("r0", "dead")),
    ],
    ids=["refused", "lost", "lost for the last time", "no proxy", "vanished too often"],
)
def test_an_attempt_that_fails_is_written_as_what_it_was(
    error: GatekeeperError, attempts: int, end: tuple[Any, ...]
) -> None:
    queue, proxies = Queue(1, attempts), Proxies()
    proxies.error = error
    proxies.go.set()
    with working(queue, proxies):
        wait_until(lambda: bool(queue.ends))
    assert queue.ends == [end]


def test_an_end_that_can_not_be_written_leaves_its_slot_free() -> None:
    queue, proxies = Queue(5), Proxies()
    queue.error = Unavailable("no proxy")
    proxies.go.set()
    with working(queue, proxies) as workers:
        wait_until(lambda: queue.tried == 5 and workers.busy == 0)
        queue.error = None
        queue.waiting = Queue(1).waiting
        wait_until(lambda: queue.ends == [("r0", "done")])


def test_one_that_is_told_to_end_begins_nothing_more_and_ends_what_it_has_begun() -> None:
    queue, proxies = Queue(3), Proxies()
    with working(queue, proxies, slots=1) as workers:
        wait_until(lambda: proxies.now == 1)
        workers.stop()
        closing = threading.Thread(target=workers.close)
        closing.start()
        proxies.go.set()
        closing.join(30)
        assert not closing.is_alive()
    assert (queue.ends, len(queue.waiting)) == ([("r0", "done")], 2)


def test_what_does_not_end_in_time_is_given_back_without_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "DRAIN_S", 0.0)
    queue, proxies = Queue(1), Proxies()
    with working(queue, proxies) as workers:
        wait_until(lambda: proxies.now == 1)
        workers.stop()
        workers.close()
        assert queue.ends == [("r0", "queued", False, False)]


def test_a_write_has_its_requests_id_as_key_of_nobody_else_and_a_read_has_none() -> None:
    assert keyed(WRITE, "id").idempotency == Idempotency("id", "/orchestrator")
    assert keyed(msgspec.structs.replace(WRITE, effect="read"), "id").idempotency is None
