"""A statement that ends its own connection, as one that makes a server crash does."""

from collections.abc import Iterator

import pytest

from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import ALL, LocalProxy, proxy_before

ENDS_ITS_CONNECTION = "KILL CONNECTION CONNECTION_ID()"


@pytest.fixture
def proxy(cluster: LiveCluster, any_beginning: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    with proxy_before(cluster, tmp_path_factory.mktemp("crashing")) as proxy:
        proxy.wait_for("up", *ALL)
        yield proxy


@pytest.mark.parametrize(("effect", "nodes"), [("read", 2), ("write", 1)])
def test_a_read_that_ends_its_connection_is_carried_to_one_more_node_only(
    proxy: LocalProxy, effect: str, nodes: int
) -> None:
    problem = proxy.problem(ENDS_ITS_CONNECTION, effect=effect, implementation="random_hit")
    assert (problem["status"], problem["outcome"]) == (502, "rolled_back" if effect == "read" else "unknown")
    assert sum(node.failures for node in proxy.known().nodes) == nodes
