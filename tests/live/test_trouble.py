"""A proxy whose world is not in order: keys, passwords, hosts, the inventory, labels. What it does and says."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import NoReturn

import msgspec
import pytest

from contract.inventory import InventoryError, Machine, render
from contract.settings import SettingsError
from proxy import breaker
from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import ALL, LocalProxy, proxy_before, wait_until
from tests.live.test_routing import relayed

pytestmark = pytest.mark.usefixtures("any_beginning")


@pytest.fixture(scope="module")
def proxy(cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    with proxy_before(cluster, tmp_path_factory.mktemp("proxy")) as proxy:
        proxy.wait_for("up", *ALL)
        yield proxy


@pytest.mark.parametrize("tunnel", ["openssh", "sshtunnel"])
def test_a_host_with_another_key_is_refused_and_said(cluster: LiveCluster, tmp_path: Path, tunnel: str) -> None:
    lines = cluster.place.known_hosts.read_text().splitlines()
    names = [line.partition(" ")[0] for line in lines]
    keys = [line.partition(" ")[2] for line in lines]
    forged = tmp_path / "known_hosts"
    # Each node has the key of the next one, but for the first, which has its own.
    forged.write_text(
        "".join(f"{name} {key}\n" for name, key in zip(names, [keys[0], *keys[2:], keys[1]], strict=True))
    )
    with proxy_before(cluster, tmp_path, known_hosts=str(forged), tunnel=tunnel) as proxy:
        proxy.wait_for("up", "manager")
        for name in ("data1", "data2", "data3"):
            wait_until(lambda name=name: "host's key" in proxy.node(name).detail)  # type: ignore[misc]
            assert proxy.node(name).state == "down"
        assert proxy.ask("SELECT 1", implementation="random")["node"] == "manager"


@pytest.mark.parametrize("tunnel", ["openssh", "sshtunnel"])
def test_each_backend_carries_statements_and_is_rebuilt_when_it_is_cut(
    cluster: LiveCluster, tmp_path: Path, tunnel: str
) -> None:
    with proxy_before(cluster, tmp_path, tunnel=tunnel) as proxy:
        proxy.wait_for("up", *ALL)
        assert len(proxy.ask("SELECT * FROM film")["rows"]) == 1000
        node = next(node for node in proxy.app.extensions["cluster"].nodes if node.name == "data1")
        node._link._tunnel.close()
        wait_until(lambda: proxy.node("data1").tunnel_restarts == 1)
        proxy.wait_for("up", "data1")
        assert proxy.ask("SELECT 1")["rows"] == [[1]]


def test_a_node_that_answers_pings_and_loses_requests_is_left_out_until_it_works(
    proxy: LocalProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = next(node for node in proxy.app.extensions["cluster"].nodes if node.name == "data1")
    node.close_idle()
    monkeypatch.setattr(breaker, "_FIRST_S", 5.0)

    def lost(_timeout_s: float) -> NoReturn:
        raise OSError("lost")

    with monkeypatch.context() as patched:
        patched.setattr(node.pools["read"], "_connect", lost)
        for failures in range(node.counts.failures, node.counts.failures + 5):
            proxy.wait_for("up", "data1")
            while node.counts.failures == failures:  # each is answered by another node
                reads(proxy, 1)
        wait_until(lambda: "breaker" in proxy.node("data1").detail)
        failures = node.counts.failures
        assert "data1" not in reads(proxy, 30)
        assert node.counts.failures == failures
    wait_until(lambda: "data1" in reads(proxy, 5))
    proxy.wait_for("up", "data1")


def reads(proxy: LocalProxy, number: int) -> list[str]:
    """The nodes that answered so many reads."""
    return [proxy.ask("SELECT 1", implementation="random")["node"] for _ in range(number)]


def test_a_wrong_password_leaves_no_node_and_is_said_without_the_password(cluster: LiveCluster, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.touch(mode=0o600)
    changed = {name: "wrong" if "password" in name else value for name, value in cluster.accounts.items()}
    accounts.write_text("".join(f'{name} = "{value}"\n' for name, value in changed.items()))
    with proxy_before(cluster, tmp_path, accounts=str(accounts)) as proxy:
        wait_until(lambda: "1045" in proxy.node("data1").detail)
        problem = proxy.problem("SELECT 1")
        assert (problem["status"], problem["outcome"], problem["retryable"]) == (503, "not_executed", True)
        assert proxy.app.test_client().get("/readyz").status_code == 503
        assert cluster.accounts["reader_password"] not in proxy.app.test_client().get("/nodes").text


def test_accounts_that_others_can_read_are_refused(cluster: LiveCluster, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(cluster.place.accounts.read_text())
    accounts.chmod(0o644)
    with (
        pytest.raises(SettingsError, match="readable by its owner only"),
        proxy_before(cluster, tmp_path, accounts=str(accounts)),
    ):
        pass


def test_an_unreachable_node_is_down_and_the_others_answer(cluster: LiveCluster, tmp_path: Path) -> None:
    def bend(machine: Machine) -> Machine:
        return msgspec.structs.replace(machine, ssh_port=1) if machine.name == "data1" else machine

    with proxy_before(cluster, tmp_path, bend) as proxy:
        proxy.wait_for("up", "manager", "data2", "data3")
        assert {proxy.ask("SELECT 1", implementation="random")["node"] for _ in range(30)} == {"data2", "data3"}
        assert proxy.node("data1").state == "down"


def test_a_way_that_falls_silent_is_found_and_left(cluster: LiveCluster, tmp_path: Path) -> None:
    with relayed(cluster, tmp_path) as (proxy, relays):
        relays["data1"].silent = True
        started = time.monotonic()
        for _ in range(20):
            assert proxy.ask("SELECT 1", implementation="random", timeout_ms=20_000)["rows"] == [[1]]
        proxy.wait_for("down", "data1")
        assert time.monotonic() - started < 60
        relays["data1"].silent = False
        proxy.wait_for("up", "data1", timeout_s=30)


def test_a_changed_inventory_is_followed_within_2_s_and_a_broken_one_is_not(
    cluster: LiveCluster, tmp_path: Path
) -> None:
    with proxy_before(cluster, tmp_path) as proxy:
        proxy.wait_for("up", *ALL)
        inventory = Path(proxy.settings.inventory)
        good = inventory.read_text()

        def change(text: str) -> None:
            new = inventory.with_suffix(".new")
            new.write_text(text)
            new.replace(inventory)

        change(render(cluster.machine(name) for name in ("manager", "data1")))
        wait_until(lambda: [node.name for node in proxy.known().nodes] == ["manager", "data1"])
        change(good.replace("manager,manager", "manager,boss"))
        wait_until(lambda: "unknown role 'boss'" in (proxy.known().inventory_problem or ""))
        assert proxy.ask("SELECT 1", implementation="random")["node"] == "data1"
        change(good)
        wait_until(lambda: proxy.known().inventory_problem is None)
        proxy.wait_for("up", *ALL)


def test_an_inventory_without_a_manager_is_refused_at_the_start(cluster: LiveCluster, tmp_path: Path) -> None:
    inventory = tmp_path / "without.csv"
    inventory.write_text(render([cluster.machine("data1")]))
    with pytest.raises(InventoryError, match="no manager"), proxy_before(cluster, tmp_path, inventory=str(inventory)):
        pass


@pytest.mark.parametrize(
    "write",
    [
        "INSERT INTO film_actor VALUES (1, 1)",
        "UPDATE film SET title = title",
        "DELETE FROM payment",
        "REPLACE INTO language VALUES (1, 'x')",
        "CREATE TABLE rental.x (a INT)",
        "TRUNCATE TABLE film",
        "DROP TABLE film",
        "SELECT * FROM film FOR UPDATE",
        "SELECT 1 INTO OUTFILE '/tmp/gatekeeper-must-not-write'",
        "SELECT GET_LOCK('a', 0) FROM mysql.user",
        "SET GLOBAL read_only = 1",
        "CREATE TEMPORARY TABLE rental.x (a INT)",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE film",
        "SELECT 1; DELETE FROM payment",
    ],
)
def test_a_write_that_is_labelled_a_read_is_refused_by_the_server(proxy: LocalProxy, write: str) -> None:
    problem = proxy.problem(write, effect="read")
    assert (problem["status"], problem["outcome"]) == (422, "rolled_back")
    assert problem["mysql_errno"]


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE film", "CREATE TABLE x (a INT)", "SELECT * FROM mysql.user", "GRANT ALL ON *.* TO gk_writer"],
)
def test_even_the_writer_may_only_change_rows_of_the_applications_schemas(proxy: LocalProxy, statement: str) -> None:
    assert proxy.problem(statement, effect="write")["status"] == 422


def test_no_session_state_goes_from_one_request_to_the_next(proxy: LocalProxy) -> None:
    only_one = {"implementation": "direct", "effect": "write"}
    for statement in (
        "SET @leak = 1",
        "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
        "SET SESSION time_zone = '+05:00'",
        "SET NAMES latin1",
        "START TRANSACTION",
        "CREATE TEMPORARY TABLE leaked (a INT)",
    ):
        proxy.post(statement, **only_one)
        rows = proxy.ask("SELECT @leak, @@sql_mode, @@time_zone, @@character_set_client, @@in_transaction", **only_one)[
            "rows"
        ]
        assert rows == [
            [None, "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION", "+00:00", "utf8mb4", 0]
        ]
    assert proxy.problem("SELECT * FROM leaked", **only_one)["mysql_errno"] in {1146, 1142}


def test_a_reader_session_is_read_only_and_stays_so(proxy: LocalProxy) -> None:
    proxy.post("SET SESSION tx_read_only = 0", implementation="direct")
    assert proxy.ask("SELECT @@tx_read_only", implementation="direct")["rows"] == [[1]]


def test_an_unknown_schema_is_an_error_and_the_statement_does_not_run_in_the_one_before(proxy: LocalProxy) -> None:
    proxy.ask("SELECT 1", implementation="direct", effect="write")
    before = proxy.ask("SELECT COUNT(*) FROM payment", implementation="direct")["rows"]
    problem = proxy.problem(
        "DELETE FROM payment WHERE payment_id = 1", implementation="direct", effect="write", database="nosuch"
    )
    assert problem["mysql_errno"] in {1044, 1049}
    assert proxy.ask("SELECT COUNT(*) FROM payment", implementation="direct")["rows"] == before


def test_a_statement_is_ended_at_its_limit_and_does_not_go_on_in_the_server(
    proxy: LocalProxy, cluster: LiveCluster
) -> None:
    problem = proxy.problem("SELECT SLEEP(60)", timeout_ms=500, implementation="direct")
    assert (problem["status"], problem["outcome"], problem["mysql_errno"]) == (504, "rolled_back", 1969)
    wait_until(lambda: not sleeping(cluster))


def test_a_server_that_does_not_keep_its_limit_is_cut_off_and_told_to_stop(
    proxy: LocalProxy, cluster: LiveCluster
) -> None:
    """A statement may take the server's limit away from itself; the proxy's own still stands."""
    started = time.monotonic()
    problem = proxy.problem(
        "SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(60)", timeout_ms=500, implementation="direct"
    )
    assert (problem["status"], problem["outcome"]) == (504, "rolled_back")
    assert time.monotonic() - started < 20
    wait_until(lambda: not sleeping(cluster))


@pytest.mark.parametrize("query", ["UPDATE payment SET amount = amount + 1", "DELETE FROM payment RETURNING amount"])
def test_a_write_that_changes_more_rows_than_it_may_is_rolled_back(
    proxy: LocalProxy, cluster: LiveCluster, query: str
) -> None:
    def state() -> object:
        return cluster.run("manager", "SELECT COUNT(*), SUM(amount) FROM rental.payment")

    before = state()
    problem = proxy.problem(query, effect="write", max_affected_rows=100)
    assert (problem["status"], problem["rule"], problem["outcome"]) == (403, "max_affected_rows", "rolled_back")
    assert state() == before
    few = proxy.ask("UPDATE payment SET amount = amount + 1 WHERE payment_id < 4", effect="write", max_affected_rows=3)
    assert few["affected_rows"] == 3
    assert state() != before
    proxy.ask("UPDATE payment SET amount = amount - 1 WHERE payment_id < 4", effect="write", max_affected_rows=3)
    assert state() == before


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_an_answer_is_cut_off_at_the_bytes_that_it_may_have(proxy: LocalProxy, accept: str) -> None:
    response = proxy.post("SELECT payment_id FROM payment ORDER BY payment_id", accept=accept, max_bytes=100)
    assert 0 < len(response.data) < 2_000


def test_a_stream_ends_at_its_deadline_and_says_so(proxy: LocalProxy, cluster: LiveCluster) -> None:
    query = "SELECT a.payment_id, b.payment_id, SLEEP(0.01) FROM payment a, payment b"
    response = proxy.post(query, accept="application/x-ndjson", timeout_ms=700, max_rows=10**9, implementation="direct")
    *_, last = response.text.splitlines()
    assert '"deadline_exceeded"' in last
    assert proxy.node("manager").in_flight == 0


def sleeping(cluster: LiveCluster) -> bool:
    return bool(cluster.run("manager", "SELECT 1 FROM information_schema.processlist WHERE info LIKE '%SLEEP(60)'"))


def test_too_many_requests_at_once_are_refused_at_once(cluster: LiveCluster, tmp_path: Path) -> None:
    with proxy_before(cluster, tmp_path, max_in_flight=2) as proxy:
        proxy.wait_for("up", *ALL)
        answers: list[int] = []
        busy = [
            Thread(target=lambda: answers.append(proxy.post("SELECT SLEEP(2)").status_code), daemon=True)
            for _ in range(2)
        ]
        for thread in busy:
            thread.start()
        wait_until(lambda: sum(node.in_flight for node in proxy.known().nodes) == 2)
        response = proxy.post("SELECT 1")
        assert (response.status_code, response.get_json()["outcome"]) == (503, "not_executed")
        assert response.headers["Retry-After"] == "1"
        for thread in busy:
            thread.join(10)
        assert answers == [200, 200]


def test_a_node_whose_connections_are_all_taken_is_passed_over(cluster: LiveCluster, tmp_path: Path) -> None:
    with proxy_before(cluster, tmp_path, pool_size=1) as proxy:
        proxy.wait_for("up", *ALL)
        busy = Thread(target=lambda: proxy.post("SELECT SLEEP(2)", implementation="direct"), daemon=True)
        busy.start()
        wait_until(lambda: proxy.node("manager").in_flight == 1)
        problem = proxy.problem("SELECT 1", implementation="direct", timeout_ms=300)
        assert problem["outcome"] == "not_executed"
        busy.join(10)


def test_what_a_killed_proxy_left_in_its_directory_is_removed(cluster: LiveCluster, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gk-") as runtime:
        left = Path(runtime) / "data1-000000.sock"
        left.touch()
        with proxy_before(cluster, tmp_path, runtime_directory=runtime) as proxy:
            proxy.wait_for("up", *ALL)
            assert not left.exists()
        assert list(Path(runtime).iterdir()) == []
