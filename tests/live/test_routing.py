"""Where requests go: the strategies on a real cluster, as pings and the inventory change and nodes die."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from contract.inventory import Machine
from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import ALL, LocalProxy, proxy_before, wait_until
from tests.live.relay import Relay

FILM = "SELECT film_id, title FROM film WHERE film_id = ?"


@pytest.fixture(scope="module")
def proxy(cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    with proxy_before(cluster, tmp_path_factory.mktemp("proxy")) as proxy:
        proxy.wait_for("up", *ALL)
        yield proxy


def test_every_implementation_gives_the_same_rows_and_direct_names_the_manager(proxy: LocalProxy) -> None:
    answers = {name: proxy.ask(FILM, params=[42], implementation=name) for name in ("direct", "random", "ping")}
    assert answers["direct"]["node"] == "manager"
    assert answers["random"]["node"].startswith("data")
    assert answers["ping"]["node"].startswith("data")
    rows = [answer["rows"] for answer in answers.values()]
    assert rows[0][0][0] == 42
    assert rows == [rows[0]] * 3
    assert [answer["implementation"] for answer in answers.values()] == ["direct_hit", "random_hit", "customized_hit"]


def test_random_hit_spreads_evenly_over_the_data_nodes(proxy: LocalProxy) -> None:
    nodes = Counter(proxy.ask("SELECT 1", implementation="random_hit")["node"] for _ in range(3000))
    assert set(nodes) == {"data1", "data2", "data3"}
    # Chi-square with two degrees of freedom: above 18.4 by chance once in ten thousand runs.
    assert sum((count - 1000) ** 2 / 1000 for count in nodes.values()) < 18.4


def test_a_write_goes_to_the_manager_whatever_the_implementation(proxy: LocalProxy) -> None:
    answer = proxy.ask(
        "UPDATE film SET rental_rate = rental_rate WHERE film_id = 1", effect="write", implementation="random_hit"
    )
    assert answer["node"] == "manager"


def test_a_slow_way_is_avoided_and_taken_again_when_it_is_fast(cluster: LiveCluster, tmp_path: Path) -> None:
    with relayed(cluster, tmp_path) as (proxy, relays):
        relays["data1"].delay_s = relays["data3"].delay_s = 0.02
        wait_until(lambda: favourite(proxy) == "data2", 30)
        relays["data2"].delay_s, relays["data3"].delay_s = 0.04, 0.0
        wait_until(lambda: favourite(proxy) == "data3", 30)
        assert proxy.node("data2").state == "up"


def favourite(proxy: LocalProxy) -> str:
    """The node that twenty requests in a row were sent to; none when there were several."""
    nodes = {proxy.ask("SELECT 1", implementation="ping")["node"] for _ in range(20)}
    return nodes.pop() if len(nodes) == 1 else ""


@contextmanager
def relayed(cluster: LiveCluster, directory: Path) -> Iterator[tuple[LocalProxy, dict[str, Relay]]]:
    """A proxy whose way to each node leads through a relay."""
    relays = {name: Relay((cluster.node(name).address, cluster.description.ssh_port)) for name in ALL}
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(known_through(cluster, relays))

    def through_relay(machine: Machine) -> Machine:
        return msgspec.structs.replace(machine, ssh_port=relays[machine.name].port)

    try:
        with proxy_before(cluster, directory, through_relay, known_hosts=str(known_hosts)) as proxy:
            proxy.wait_for("up", *ALL)
            yield proxy, relays
    finally:
        for relay in relays.values():
            relay.close()


def known_through(cluster: LiveCluster, relays: dict[str, Relay]) -> str:
    """The hosts' keys, under the relays' ports."""
    lines = cluster.place.known_hosts.read_text().splitlines()
    keys = {line.partition("]")[0].lstrip("["): line.partition(" ")[2] for line in lines}
    addresses = {name: cluster.node(name).address for name in ALL}
    return "".join(f"[{addresses[name]}]:{relays[name].port} {keys[addresses[name]]}\n" for name in ALL)
