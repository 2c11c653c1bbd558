"""A node that leaves the inventory: which rows count, and how it is let finish what it has."""

import threading
import time
from collections.abc import Iterator

import pytest

from contract.inventory import Machine, MachineRole, MachineState
from deploy.processes import wait_until
from proxy import cluster
from proxy.cluster import Prober, nodes_of

WITHIN_S = 10.0


def machine(name: str, role: MachineRole, state: MachineState = "running") -> Machine:
    return Machine(name, role, "root", "", "", "", "127.0.0.1", 22, 3306, state)


MACHINES = (
    machine("alone", "standalone"),
    machine("manager", "manager"),
    machine("data1", "data"),
    machine("data2", "data", "stopped"),
    machine("proxy1", "proxy"),
    machine("gatekeeper1", "gatekeeper"),
)


@pytest.mark.parametrize(
    ("engine", "names"),
    [("galera", ["manager", "data1"]), ("ndb", ["manager", "data1"]), ("standalone", ["alone"])],
)
def test_the_rows_that_run_and_are_of_the_engine_are_nodes(engine: str, names: list[str]) -> None:
    assert [node.name for node in nodes_of(engine, MACHINES)] == names


class StandIn:
    """A node that notes what is done with it."""

    name = "data1"

    def __init__(self) -> None:
        self.done: list[str] = []
        self.in_flight = 1
        self.probed = threading.Event()

    def probe(self) -> None:
        self.probed.set()

    def close_idle(self) -> None:
        self.done.append("idle")

    def close(self) -> None:
        self.done.append("all")


@pytest.fixture
def node() -> StandIn:
    return StandIn()


@pytest.fixture
def prober(node: StandIn) -> Iterator[Prober]:
    made = Prober(node, 0.01)  # type: ignore[arg-type]  # what a prober uses of a node
    assert node.probed.wait(WITHIN_S)
    yield made
    made.stop()
    made.join()


def test_what_is_under_way_ends_before_the_tunnel_is_closed(node: StandIn, prober: Prober) -> None:
    prober.leave()
    wait_until(lambda: node.done == ["idle"], timeout_s=WITHIN_S, what="the idle connections' end")
    assert not prober.ended
    node.probed.clear()
    assert not node.probed.wait(0.2), "it is probed no more"
    node.in_flight = 0
    wait_until(lambda: prober.ended, timeout_s=WITHIN_S, what="its end")
    assert node.done == ["idle", "all"]


def test_what_does_not_end_is_cut_off_after_a_time(
    node: StandIn, prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LEAVING_S", 0.3)
    started = time.monotonic()
    prober.leave()
    wait_until(lambda: prober.ended, timeout_s=WITHIN_S, what="its end")
    assert time.monotonic() - started > 0.25
    assert node.done == ["idle", "all"]


def test_a_proxy_that_ends_waits_for_no_node_that_is_leaving(node: StandIn, prober: Prober) -> None:
    prober.leave()
    wait_until(lambda: node.done == ["idle"], timeout_s=WITHIN_S, what="the idle connections' end")
    prober.stop()
    wait_until(lambda: prober.ended, timeout_s=WITHIN_S, what="its end")
    assert node.done == ["idle", "all"]
