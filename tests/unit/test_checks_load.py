"""The load under which things are broken: what it sends, and what it notes down."""

import threading
from typing import Any, cast

import pytest

from client import Client
from contract.errors import UpstreamFailed
from contract.implementations import IMPLEMENTATIONS
from deploy.checks.breakage import FAULTS
from deploy.checks.failed import CheckFailed
from deploy.checks.load import Load
from deploy.cluster import checked


class Answer:
    """What a client's query gives, as far as the load looks at it."""

    def __init__(self, *rows: tuple[int, ...]) -> None:
        self.rows = rows
        self.attempts = 2


class Pretended:
    """A client that answers what was asked for. `loses`: whether every write's node is lost under it."""

    def __init__(self, *, loses: bool = False, wrong: bool = False) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._loses = loses
        self._wrong = wrong

    def query(self, sql: str, params: tuple[int], *, implementation: str | None, **_: str) -> Answer:
        self.asked.append((sql, implementation))
        if sql.startswith("INSERT"):
            if self._loses:
                raise UpstreamFailed("the node was lost before it answered", outcome="unknown")
            return Answer()
        return Answer((params[0] + self._wrong,))


def sent_by(client: Pretended, requests: int) -> Load:
    with Load(cast("Client", client)) as load:
        load.answer(requests)
    return load


def test_reads_of_each_kind_by_each_implementation_and_as_many_writes_are_sent() -> None:
    client = Pretended()
    load = sent_by(client, 200)
    kinds = [sent.kind for sent in load.sent]
    assert abs(kinds.count("read") - kinds.count("write")) <= 20
    reads = {asked for asked in client.asked if not asked[0].startswith("INSERT")}
    assert {implementation for _, implementation in reads} == set(IMPLEMENTATIONS)
    assert len(reads) == 3 * len(IMPLEMENTATIONS)
    assert all(sent.attempts == 2 and not sent.error for sent in load.sent)
    assert len({sent.number for sent in load.sent}) == len(load.sent)


def test_a_lost_write_is_noted_with_its_outcome_and_the_load_goes_on() -> None:
    load = sent_by(Pretended(loses=True), 40)
    lost = [sent for sent in load.sent if sent.error]
    assert {(sent.kind, sent.outcome) for sent in lost} == {("write", "unknown")}
    assert lost[0].error == "upstream_failed: the node was lost before it answered"


def test_a_read_with_another_row_than_was_asked_for_is_an_error() -> None:
    load = sent_by(Pretended(wrong=True), 20)
    assert {sent.kind for sent in load.sent if "instead of" in sent.error} == {"read"}


def test_requests_that_do_not_end_are_not_waited_for_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.checks.load._END_TIMEOUT_S", 0.2)
    released = threading.Event()

    class Silent(Pretended):
        def query(self, *_: Any, **__: Any) -> Answer:
            released.wait(60)
            return Answer()

    with Load(cast("Client", Silent())) as load:
        with pytest.raises(CheckFailed, match=r"5 requests did not end within 0\.2 s"):
            load.answer(5)
        released.set()


@pytest.mark.parametrize("engine", sorted(FAULTS))
def test_every_fault_is_one_of_a_machine_that_a_rehearsal_has(engine: str) -> None:
    ndb = {"ndb": {"source": "/nowhere", "sha256": "0" * 64}} if engine == "ndb" else {}
    cluster = checked({"provider": "fleet", "engine": engine} | ndb)
    assert {fault.node for fault in FAULTS[engine]} <= {wanted.name for wanted in cluster.wanted()}
