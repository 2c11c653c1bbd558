"""Calls of procedures and changes of the schema, through a proxy: what they answer, and what stays when they fail."""

from collections.abc import Iterator

import pytest

from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import ALL, LocalProxy, proxy_before, wait_until

SCHEMA = "gk_calls"
_OBJECTS = (
    "CREATE TABLE gk_calls.t (id INT PRIMARY KEY, a INT)",
    "CREATE PROCEDURE gk_calls.none() UPDATE t SET a = a + 1",
    "CREATE PROCEDURE gk_calls.as_caller() SQL SECURITY INVOKER UPDATE t SET a = a + 1",
    "CREATE PROCEDURE gk_calls.several() BEGIN UPDATE t SET a = a + 1; SELECT id FROM t ORDER BY id; SELECT 'second';"
    " UPDATE t SET a = a + 1 WHERE id = 1; END",
    "CREATE PROCEDURE gk_calls.fails() BEGIN UPDATE t SET a = a + 1; SELECT 'first'; INSERT INTO t VALUES (1, 1); END",
    "CREATE PROCEDURE gk_calls.commits() BEGIN UPDATE t SET a = a + 1; COMMIT; SELECT 'kept' AS was; END",
    "CREATE PROCEDURE gk_calls.commits_and_fails() BEGIN UPDATE t SET a = a + 1; COMMIT; INSERT INTO t VALUES (1, 1);"
    " END",
    "CREATE PROCEDURE gk_calls.sleeps() BEGIN UPDATE t SET a = a + 1; SELECT SLEEP(60); END",
    "CREATE PROCEDURE gk_calls.adds(IN what INT) UPDATE t SET a = a + what",
    "INSERT INTO gk_calls.t VALUES (1, 0), (2, 0), (3, 0)",
)
_AS_IT_WAS = [[1, 0], [2, 0], [3, 0]]

pytestmark = pytest.mark.usefixtures("any_beginning")


@pytest.fixture(scope="module")
def proxy(cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    with cluster.open_to_the_accounts(SCHEMA), proxy_before(cluster, tmp_path_factory.mktemp("calls")) as proxy:
        proxy.wait_for("up", *ALL)
        yield proxy


@pytest.fixture(autouse=True)
def schema(cluster: LiveCluster) -> Iterator[None]:
    """The schema as it was, whatever the test before did."""
    cluster.run_all((f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}", *_OBJECTS))
    yield
    cluster.run_all((f"DROP DATABASE {SCHEMA}",))


def rows(proxy: LocalProxy) -> object:
    return proxy.ask("SELECT * FROM t ORDER BY id", database=SCHEMA, implementation="direct")["rows"]


# procedure: the rows of the answer, the rows that were changed, what is in the table then
ANSWERS = {
    "none": ([], 3, [[1, 1], [2, 1], [3, 1]]),
    "as_caller": ([], 3, [[1, 1], [2, 1], [3, 1]]),
    "several": ([[1], [2], [3]], 4, [[1, 2], [2, 1], [3, 1]]),
    "commits": ([["kept"]], 3, [[1, 1], [2, 1], [3, 1]]),
}


@pytest.mark.parametrize(("procedure", "expected"), ANSWERS.items(), ids=ANSWERS)
def test_a_call_answers_its_first_result_set_and_counts_all_changes(
    proxy: LocalProxy, procedure: str, expected: tuple[object, int, object]
) -> None:
    answer = proxy.ask(f"CALL {procedure}()", effect="call", database=SCHEMA)
    assert (answer["rows"], answer["affected_rows"], rows(proxy)) == expected
    assert (answer["node"], answer["attempts"], answer["truncated"]) == ("manager", 1, False)


def test_the_connection_is_clean_after_a_call_with_several_results(cluster: LiveCluster, proxy: LocalProxy) -> None:
    threads = set()
    for _ in range(5):
        proxy.ask("CALL several()", effect="call", database=SCHEMA)
        threads |= {tuple(row) for row in proxy.ask("SELECT CONNECTION_ID()", effect="call", database=SCHEMA)["rows"]}
    assert len(threads) == 1
    assert rows(proxy) == [[1, 10], [2, 5], [3, 5]]


def test_parameters_are_bound_in_a_call(proxy: LocalProxy) -> None:
    proxy.ask("CALL adds(?)", params=[7], effect="call", database=SCHEMA)
    assert rows(proxy) == [[1, 7], [2, 7], [3, 7]]


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
def test_a_call_whose_rows_are_cut_off_is_run_to_its_end(proxy: LocalProxy, accept: str) -> None:
    response = proxy.post("CALL several()", accept=accept, effect="call", database=SCHEMA, max_rows=1)
    assert response.status_code == 200
    assert rows(proxy) == [[1, 2], [2, 1], [3, 1]]


# procedure, its limits, error and rule: the outcome, what is in the table then
FAILURES = {
    "an error after a result": ("fails", {}, 1062, None, "rolled_back", _AS_IT_WAS),
    "an error after a commit": ("commits_and_fails", {}, 1062, None, "unknown", [[1, 1], [2, 1], [3, 1]]),
    "the time limit": ("sleeps", {"timeout_ms": 300}, 1969, None, "rolled_back", _AS_IT_WAS),
    "too many changes": ("several", {"max_affected_rows": 3}, None, "max_affected_rows", "rolled_back", _AS_IT_WAS),
    "too many changes, committed": (
        "commits", {"max_affected_rows": 2}, None, "max_affected_rows", "unknown", [[1, 1], [2, 1], [3, 1]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_what_a_failed_call_leaves_is_what_its_outcome_says(
    proxy: LocalProxy, case: tuple[str, dict[str, int], int | None, str | None, str, object]
) -> None:
    procedure, limits, errno, rule, outcome, left = case
    problem = proxy.problem(f"CALL {procedure}()", effect="call", database=SCHEMA, **limits)
    assert (problem.get("mysql_errno"), problem.get("rule"), problem["outcome"]) == (errno, rule, outcome)
    assert rows(proxy) == left


def test_a_call_within_its_limit_of_changes_stays(proxy: LocalProxy) -> None:
    assert proxy.ask("CALL several()", effect="call", database=SCHEMA, max_affected_rows=4)["affected_rows"] == 4
    assert rows(proxy) == [[1, 2], [2, 1], [3, 1]]


def test_a_change_of_the_schema_goes_to_the_manager_and_counts_on_every_node(
    proxy: LocalProxy, cluster: LiveCluster
) -> None:
    for statement in (
        "CREATE TABLE n (id INT PRIMARY KEY)",
        "ALTER TABLE n ADD COLUMN b INT",
        "CREATE INDEX i ON n (b)",
        "RENAME TABLE n TO m",
    ):
        answer = proxy.ask(statement, effect="schema", database=SCHEMA, implementation="random", max_affected_rows=0)
        assert (answer["node"], answer["columns"], answer["rows"]) == ("manager", [], [])
    assert {columns(cluster, node, "m") for node in ALL} == {("id", "b")}
    proxy.ask("DROP TABLE m", effect="schema", database=SCHEMA)


@pytest.mark.parametrize("insert", ["INSERT INTO t VALUES (9, 9)", "EXECUTE IMMEDIATE 'INSERT INTO t VALUES (9, 9)'"])
def test_rows_that_come_as_a_change_of_the_schema_are_rolled_back(proxy: LocalProxy, insert: str) -> None:
    problem = proxy.problem(insert, effect="schema", database=SCHEMA)
    assert (problem["status"], problem["rule"], problem["outcome"]) == (403, "not_a_definition", "rolled_back")
    assert rows(proxy) == _AS_IT_WAS


def test_a_change_of_the_schema_that_fails_in_part_has_an_unknown_outcome(proxy: LocalProxy) -> None:
    problem = proxy.problem("DROP TABLE t, nosuch", effect="schema", database=SCHEMA)
    assert (problem["mysql_errno"], problem["outcome"], problem["retryable"]) == (1051, "unknown", False)
    assert proxy.problem("SELECT * FROM t", database=SCHEMA, implementation="direct")["mysql_errno"] == 1146
    problem = proxy.problem("ALTER TABLE nosuch ADD COLUMN b INT", effect="schema", database=SCHEMA)
    assert (problem["mysql_errno"], problem["outcome"]) == (1146, "rolled_back")


def test_a_change_of_the_schema_that_nobody_waits_for_goes_on_and_the_nodes_stay_alike(
    proxy: LocalProxy, cluster: LiveCluster
) -> None:
    """Ended by the server's time limit, it would have gone on at the other nodes alone."""
    cluster.run_all(
        (
            f"CREATE TABLE {SCHEMA}.large (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(200))",
            f"INSERT INTO {SCHEMA}.large (a) SELECT REPEAT('x', 200) FROM rental.payment p, rental.language l"
            " LIMIT 100000",
        )
    )
    alter = "ALTER TABLE large ADD COLUMN b INT, ALGORITHM=COPY"
    problem = proxy.problem(alter, effect="schema", database=SCHEMA, timeout_ms=20)
    assert (problem["status"], problem["outcome"]) == (504, "unknown")
    wait_until(lambda: {columns(cluster, node, "large") for node in ALL} == {("id", "a", "b")}, 60)
    assert {row.engine_state for row in cluster.status().values()} == {"Synced"}


def columns(cluster: LiveCluster, node: str, table: str) -> tuple[str, ...]:
    query = "SELECT column_name FROM information_schema.columns WHERE table_schema = '{}' AND table_name = '{}'"
    return tuple(name for (name,) in cluster.run(node, query.format(SCHEMA, table) + " ORDER BY ordinal_position"))
