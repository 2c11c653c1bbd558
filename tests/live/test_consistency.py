"""A consistency token: what was written through one node is seen through another (issue 6)."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.cluster import Cluster
from proxy.node import Node
from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import LocalProxy, proxy_before

INSERT = "INSERT INTO rental.seen (name) VALUES (?)"
_TABLE = "CREATE TABLE rental.seen (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL)"


@pytest.fixture(scope="module")
def proxy(cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    cluster.run_all([_TABLE])
    try:
        with proxy_before(cluster, tmp_path_factory.mktemp("proxy")) as local:
            local.wait_for("up", "manager", "data1", "data2", "data3")
            yield local
    finally:
        cluster.run_all(["DROP TABLE rental.seen"])


def node_of(proxy: LocalProxy, name: str) -> Node:
    cluster: Cluster = proxy.app.extensions["cluster"]
    return next(node for node in cluster.nodes if node.name == name)


def seen_on(node: Node, name: str, token: str | None) -> int:
    """How many rows of that name a request with the token sees there."""
    setting = node.catching_up(token)
    connection = node.pools["read"].acquire(10, new=setting is not None)
    try:
        connection.use("rental", 20_000, setting)
        return int(connection.query(f"SELECT COUNT(*) FROM seen WHERE name = '{name}'", 1, 100).rows[0][0])
    finally:
        node.pools["read"].release(connection)


def test_a_read_with_the_token_waits_for_the_write_on_a_node_that_has_not_applied_it(
    cluster: LiveCluster, proxy: LocalProxy
) -> None:
    name, behind = secrets.token_hex(8), node_of(proxy, "data1")
    assert seen_on(behind, name, None) == 0  # a connection that is there already
    with ThreadPoolExecutor(1) as pool, cluster.connect("data1") as blocker, blocker.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        try:
            token = proxy.ask(INSERT, params=[name], effect="write")["consistency_token"]
            assert seen_on(behind, name, None) == 0
            waiting = pool.submit(seen_on, behind, name, token)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
        finally:
            cursor.execute("UNLOCK TABLES")
        assert waiting.result(30) == 1
    assert seen_on(behind, name, None) == 1


def test_on_the_node_that_wrote_it_nothing_is_waited_for(proxy: LocalProxy) -> None:
    answer = proxy.ask(INSERT, params=["x"], effect="write")
    wrote = node_of(proxy, answer["node"])
    assert wrote.catching_up(answer["consistency_token"]) is None


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
@pytest.mark.parametrize("implementation", ["direct_hit", "random_hit", "customized_hit"])
def test_what_was_written_is_read_at_once_by_every_implementation(
    proxy: LocalProxy, implementation: str, accept: str
) -> None:
    for _ in range(5):
        name = secrets.token_hex(8)
        token = proxy.ask(INSERT, params=[name], effect="write")["consistency_token"]
        response = proxy.post(
            "SELECT name FROM rental.seen WHERE name = ?",
            params=[name],
            implementation=implementation,
            effect="read",
            consistency_token=token,
            accept=accept,
        )
        assert name in response.text


def test_the_session_waits_no_more_for_the_next_request(proxy: LocalProxy) -> None:
    asked = "SELECT @@SESSION.wsrep_sync_wait"
    for node in ("data1", "data2", "data3"):
        with_token = node_of(proxy, node)
        seen_on(with_token, "x", "manager")
        connection = with_token.pools["read"].acquire(10)
        try:
            assert connection.query(asked, 1, 100).rows == [(0,)]
        finally:
            with_token.pools["read"].release(connection)


def test_answers_to_reads_have_no_token(proxy: LocalProxy) -> None:
    assert "consistency_token" not in proxy.ask("SELECT 1")
