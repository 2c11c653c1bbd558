"""Hedged reads: the first answer counts, and whatever the other one took is given back (proxy/hedging.py)."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Unavailable
from contract.messages import ProxyRequest
from proxy.hedging import Hedging
from tests.live.proxy_fixtures import wait_until

READ = ProxyRequest(query="SELECT 1", effect="read")


class Running:
    def __init__(self, nodes: "Nodes") -> None:
        self._nodes = nodes
        self.closed = 0

    def work(self, lease: Any, _statements: Sequence[str]) -> tuple[str, "Running"]:
        name: str = lease.node.name
        self._nodes.answer[name]()
        if lease.connection.is_interrupted.is_set():
            raise ConnectionError
        return name, self

    def close(self) -> None:
        self.closed += 1


class Nodes:
    """A router before two nodes, `a` and `b`, each of which does something before it answers."""

    def __init__(self) -> None:
        self.answer: dict[str, Callable[[], Any]] = {"a": lambda: None, "b": lambda: None}
        self.leases: list[Any] = []
        self.killed: list[str] = []
        self.begun: list[Running] = []
        self.is_known = True
        self.hedging = Hedging(self)  # type: ignore[arg-type]

    def run(
        self, _request: ProxyRequest, work: Any, *, avoid: str | None = None, chosen: Callable[[str], None]
    ) -> tuple[Any, Any]:
        name = "b" if avoid == "a" else "a"
        chosen(name)
        lease = SimpleNamespace(effect="read", released=0)
        lease.connection = SimpleNamespace(thread_id=7, is_interrupted=threading.Event())
        lease.connection.interrupt = lease.connection.is_interrupted.set
        lease.node = SimpleNamespace(name=name, kill=lambda *_: self.killed.append(name))

        def release() -> None:
            lease.released += 1

        lease.release = release
        self.leases.append(lease)
        try:
            return work(lease, ["SELECT 1"]), lease
        except Exception:
            lease.release()
            raise

    def has_answered(self, _request: ProxyRequest) -> bool:
        return self.is_known

    def ask(self) -> str:
        def begin() -> Running:
            self.begun.append(Running(self))
            return self.begun[-1]

        (name, won), lease = self.hedging.run(READ, begin)
        lease.release()
        won.close()
        return name

    def is_quiet(self) -> bool:
        """Whether all that was taken was given back, once."""
        return all(lease.released == 1 for lease in self.leases) and all(each.closed == 1 for each in self.begun)


@pytest.fixture
def nodes() -> Nodes:
    made = Nodes()
    for _ in range(50):
        assert made.ask() == "a"
    assert made.is_quiet()
    made.leases.clear()
    made.begun.clear()
    return made


def test_nothing_is_asked_twice_before_it_is_known_how_long_reads_take() -> None:
    nodes = Nodes()
    nodes.answer["a"] = lambda: threading.Event().wait(0.05)
    assert nodes.hedging.delay_s is None
    assert (nodes.ask(), len(nodes.leases)) == ("a", 1)


def test_many_reads_at_once_give_back_all_that_they_took_once(nodes: Nodes) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: nodes.ask(), range(400))) <= {"a", "b"}
    wait_until(nodes.is_quiet)


def test_a_read_that_was_never_answered_is_not_asked_twice(nodes: Nodes) -> None:
    """It may be one that makes servers crash."""
    nodes.is_known = False
    nodes.answer["a"] = lambda: threading.Event().wait(0.1)
    assert (nodes.ask(), len(nodes.leases)) == ("a", 1)


def test_a_read_that_is_slow_is_answered_by_another_node_and_the_slow_one_ended(nodes: Nodes) -> None:
    def until_interrupted() -> None:
        assert nodes.leases[0].connection.is_interrupted.wait(30)

    nodes.answer["a"] = until_interrupted
    assert nodes.ask() == "b"
    wait_until(nodes.is_quiet)
    assert nodes.killed == ["a"]


def test_the_first_one_may_still_be_faster(nodes: Nodes) -> None:
    second = threading.Event()
    nodes.answer["a"] = lambda: second.wait(30)

    def slower() -> None:
        second.set()
        assert nodes.leases[1].connection.is_interrupted.wait(30)

    nodes.answer["b"] = slower
    assert nodes.ask() == "a"
    wait_until(nodes.is_quiet)
    assert nodes.killed == ["b"]


def test_where_the_second_one_fails_the_first_ones_answer_is_waited_for(nodes: Nodes) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise Unavailable("no healthy node")

    nodes.answer |= {"a": lambda: failed.wait(30), "b": fail}
    assert nodes.ask() == "a"
    wait_until(nodes.is_quiet)
    assert nodes.killed == []


def test_where_both_fail_the_first_error_is_told(nodes: Nodes) -> None:
    begun = threading.Event()

    def fail(why: str) -> Callable[[], None]:
        def failing() -> None:
            begun.wait(30) if why == "a" else begun.set()
            raise Unavailable(why)

        return failing

    nodes.answer |= {"a": fail("a"), "b": fail("b")}
    with pytest.raises(Unavailable) as failure:
        nodes.ask()
    assert failure.value.detail == "a"
    wait_until(nodes.is_quiet)
