"""The strategies and a node's health, without a node."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from contract.errors import UnknownImplementation
from contract.implementations import CUSTOMIZED_HIT, DIRECT_HIT, IMPLEMENTATIONS, RANDOM_HIT, canonical
from proxy.health import Health
from proxy.strategies import choose


@dataclass(frozen=True)
class Node:
    name: str
    role: str
    ping_ms: float | None = 1.0
    in_flight: int = 0


MANAGER = Node("manager", "manager", 0.1)
DATA = [Node("data1", "data", 1.0), Node("data2", "data", 2.0), Node("data3", "data", 3.0)]
ALL = [MANAGER, *DATA]


@pytest.mark.parametrize(
    ("alias", "name"),
    [("direct", DIRECT_HIT), ("random", RANDOM_HIT), ("customized", CUSTOMIZED_HIT), ("ping", CUSTOMIZED_HIT)],
)
def test_an_alias_stands_for_its_implementation(alias: str, name: str) -> None:
    assert canonical(alias) == canonical(name) == name


def test_an_unknown_implementation_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownImplementation) as refusal:
        canonical("fastest")
    assert all(name in refusal.value.detail for name in IMPLEMENTATIONS)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_every_implementation_has_a_strategy(implementation: str) -> None:
    assert choose(implementation, ALL) in ALL


def test_direct_hit_is_the_manager_however_slow() -> None:
    assert choose(DIRECT_HIT, [Node("manager", "manager", 99.0), *DATA]).name == "manager"


def test_direct_hit_is_the_stand_alone_server_where_there_is_no_cluster() -> None:
    assert choose(DIRECT_HIT, [Node("db", "standalone")]).name == "db"


def test_random_hit_takes_each_data_node_and_never_the_manager() -> None:
    random.seed(1)
    hits = Counter(choose(RANDOM_HIT, ALL).name for _ in range(3000))
    assert set(hits) == {"data1", "data2", "data3"}
    # Chi-square with two degrees of freedom: above 13.8 by chance once in a thousand.
    assert sum((hits[name] - 1000) ** 2 / 1000 for name in hits) < 13.8


def test_customized_hit_is_the_data_node_with_the_lowest_ping() -> None:
    assert choose(CUSTOMIZED_HIT, ALL).name == "data1"


def test_customized_hit_shares_among_nodes_within_a_tenth_of_the_best_by_requests_in_flight() -> None:
    nodes = [Node("data1", "data", 1.0, 5), Node("data2", "data", 1.09, 2), Node("data3", "data", 1.2, 0)]
    assert choose(CUSTOMIZED_HIT, nodes).name == "data2"


def test_customized_hit_prefers_a_measured_node() -> None:
    assert choose(CUSTOMIZED_HIT, [Node("data1", "data", None), Node("data2", "data", 50.0)]).name == "data2"


@pytest.mark.parametrize("implementation", [RANDOM_HIT, CUSTOMIZED_HIT])
def test_without_a_data_node_the_manager_answers(implementation: str) -> None:
    assert choose(implementation, [MANAGER]).name == "manager"


def test_without_the_manager_a_data_node_answers() -> None:
    assert choose(DIRECT_HIT, DATA).name == "data1"


def up(ping_ms: float = 1.0) -> Health:
    return Health().answered(ping_ms, serving=True, engine_state="Synced")


def test_a_node_is_down_until_it_has_answered() -> None:
    assert Health().state == "down"
    assert up().state == "up"


def test_a_node_that_fails_is_suspect_and_after_three_probes_down() -> None:
    states = []
    health = up()
    for _ in range(3):
        health = health.failed("gone")
        states.append(health.state)
    assert states == ["suspect", "suspect", "down"]
    assert health.detail == "gone"


def test_many_failed_requests_make_a_node_suspect_but_never_down() -> None:
    health = up()
    for _ in range(100):
        health = health.suspected("lost")
    assert health.state == "suspect"


def test_a_node_that_answers_but_does_not_serve_is_down() -> None:
    health = up().answered(1.0, serving=False, engine_state="wsrep_ready=OFF")
    assert health.state == "down"
    assert "wsrep_ready=OFF" in health.detail


def test_the_ping_follows_a_change_within_a_few_probes_and_forgets_the_time_before_a_failure() -> None:
    health = up(1.0)
    for _ in range(10):
        health = health.answered(5.0, serving=True, engine_state="Synced")
    assert health.ping_ms == pytest.approx(5.0, rel=0.05)
    assert health.failed("gone").answered(2.0, serving=True, engine_state="Synced").ping_ms == 2.0
