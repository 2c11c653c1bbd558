"""The second wall: whatever the gatekeeper's label says, the server refuses a write that comes as a read.

Every write of the shared corpus, where it is found, and of a list of the project's own goes to a proxy labelled `read`;
the attacks that are no writes go the same way, and nothing may change by any of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from proxy import openings
from tests.fuzz import corpus
from tests.fuzz.statements import OWN
from tests.fuzz.world import SCHEMA
from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import ALL, LocalProxy, proxy_before

CHECK = openings.check
_SCHEMAS = ("shop", "secret_db")
_FIRST_WORD = re.compile(r"(?:\s|\(|/\*[^!].*?\*/|#[^\n]*\n|--[ \t][^\n]*\n|/\*M?!\d*)*([A-Za-z]+)", re.DOTALL)
_WRITE = re.compile(
    "INSERT|REPLACE|UPDATE|DELETE|CREATE|DROP|ALTER|TRUNCATE|RENAME|GRANT|REVOKE|LOAD|LOCK|OPTIMIZE|REPAIR",
    re.IGNORECASE,
)
_OTHER_WRITES = (
    "WITH x AS (SELECT 1) UPDATE orders SET qty = 1",
    "SET STATEMENT sql_mode = '' FOR DELETE FROM orders",
    "EXECUTE IMMEDIATE 'DELETE FROM orders'",
    "BEGIN NOT ATOMIC DELETE FROM orders; END",
    "SELECT 1; DELETE FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT NEXTVAL(seq)",
    "SELECT id FROM customers INTO OUTFILE 'gatekeeper-must-not-write'",
    "CALL secret_db.change()",
    "CREATE TEMPORARY TABLE rental.x AS SELECT 1",
    "ANALYZE TABLE orders",
    "FLUSH TABLES",
    "KILL 1",
    "SHUTDOWN",
)
# With the administrator's rights, so that it is the account's own that must stop them.
_ROUTINES = (
    "CREATE PROCEDURE secret_db.change() UPDATE shop.orders SET qty = 99",
    "CREATE PROCEDURE shop.change() UPDATE shop.orders SET qty = 99",
    "CREATE FUNCTION shop.changed() RETURNS INT MODIFIES SQL DATA BEGIN UPDATE shop.orders SET qty = 99; RETURN 1; END",
)
_DML = re.compile("INSERT|REPLACE|UPDATE|DELETE", re.IGNORECASE)
_DDL = re.compile("CREATE|DROP|ALTER|TRUNCATE|RENAME|GRANT|REVOKE", re.IGNORECASE)
_DDL_BY_WAYS = (
    "BEGIN NOT ATOMIC DROP TABLE orders; END",
    "EXECUTE IMMEDIATE 'DROP TABLE orders'",
    "SET STATEMENT sql_mode = '' FOR DROP TABLE orders",
)
_DML_BY_WAYS = (
    "SET STATEMENT sql_mode = '' FOR DELETE FROM orders",
    "EXECUTE IMMEDIATE 'DELETE FROM orders'",
    "CREATE TABLE copied AS SELECT * FROM orders",
    "CREATE TABLE shop.copied LIKE shop.orders",
)
_ROUTINES_CALLED = (
    "CALL shop.change()",
    "SELECT shop.changed()",
    "DO shop.changed()",
    "EXECUTE IMMEDIATE 'CALL shop.change()'",
)
_NO_RIGHT = {1044, 1142, 1143, 1227, 1370, 1410}
_TIMEOUT_MS = 5_000
ABSENT = "the shared corpus is not here; GATEKEEPER_CORPUS may name its directory"


def begins_with(words: re.Pattern[str], statement: str) -> bool:
    first = _FIRST_WORD.match(statement)
    return bool(first and words.fullmatch(first[1]))


def is_write(statement: str) -> bool:
    return begins_with(_WRITE, statement)


OWN_WRITES = (*filter(is_write, OWN), *_OTHER_WRITES)


@pytest.fixture(scope="module")
def shop(cluster: LiveCluster) -> Iterator[LiveCluster]:
    """The cluster with the corpora's schemas, and the accounts' grants on `shop` as the engine gives them."""
    shared = corpus.directory()
    text = (shared / "schema.sql").read_text(encoding="utf-8") if shared else SCHEMA
    cluster.run_all(f"DROP DATABASE IF EXISTS {schema}" for schema in _SCHEMAS)
    try:
        # Galera's sequences keep no numbers in memory, and it refuses to make others (error 1235).
        sequence = re.compile(r"^(CREATE SEQUENCE [\w.]+)(?: NOCACHE)?$", re.IGNORECASE)
        cluster.run_all(sequence.sub(r"\1 NOCACHE INCREMENT BY 0", statement) for statement in corpus.script(text))
        cluster.run_all(_ROUTINES)
        with cluster.open_to_the_accounts("shop"):
            yield cluster
    finally:
        cluster.run_all(f"DROP DATABASE IF EXISTS {schema}" for schema in _SCHEMAS)


@pytest.fixture(scope="module")
def proxy(shop: LiveCluster, any_beginning: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    """A proxy that passes everything on: it is the server's own wall that is tried here."""
    with proxy_before(shop, tmp_path_factory.mktemp("wall")) as proxy:
        proxy.wait_for("up", *ALL)
        yield proxy


@pytest.fixture
def unchanged(shop: LiveCluster) -> Iterator[None]:
    """All tables, the accounts, routines and grants among them, have the same checksums before and after the test.

    But for the ledger, from which proxies remove what has expired.
    """
    before = checksums(shop)
    assert {"shop.orders", "secret_db.flags", "rental.film", "mysql.global_priv"} <= before.keys()
    yield
    assert checksums(shop) == before


def checksums(cluster: LiveCluster) -> dict[str, Any]:
    tables = cluster.run(
        "manager",
        "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables"
        " WHERE table_type IN ('BASE TABLE', 'SEQUENCE') AND table_name <> 'ledger' AND (table_schema NOT IN"
        " ('mysql', 'sys', 'information_schema', 'performance_schema')"
        " OR (table_schema = 'mysql' AND table_name IN ('global_priv', 'db', 'tables_priv', 'proc', 'event', 'func')))",
    )
    return dict(cluster.run("manager", f"CHECKSUM TABLE {', '.join(name for (name,) in tables)}"))


def as_a_read(proxy: LocalProxy, statement: str) -> tuple[int, dict[str, Any]]:
    response = proxy.post(statement, effect="read", database="shop", implementation="direct", timeout_ms=_TIMEOUT_MS)
    return response.status_code, response.get_json()


def test_every_write_of_our_own_is_refused_as_a_read(proxy: LocalProxy, unchanged: None) -> None:
    assert len(OWN_WRITES) > 45
    assert not_refused(proxy, OWN_WRITES) == []


def test_every_write_of_the_shared_corpus_is_refused_as_a_read(proxy: LocalProxy, unchanged: None) -> None:
    writes = [case["sql"] for case in corpus.cases("benign") if case["class"] == "write"]
    writes += [statement for statement in corpus.attacks() if is_write(statement)]
    if not writes:
        pytest.skip(ABSENT)
    assert len(writes) > 40
    assert not_refused(proxy, writes) == []


def not_refused(proxy: LocalProxy, statements: Iterable[str]) -> list[tuple[str, int, Any]]:
    """The statements that were not answered with the database's own error, rolled back."""
    answers = ((statement, *as_a_read(proxy, statement)) for statement in statements)
    return [
        (statement, status, answer)
        for statement, status, answer in answers
        if (status, answer.get("outcome")) != (422, "rolled_back") or not answer["mysql_errno"]
    ]


OTHER_LABELS = {
    "DDL as a read": ("read", _DDL, _DDL_BY_WAYS),
    "DDL as a write": ("write", _DDL, _DDL_BY_WAYS),
    "DDL as a call": ("call", _DDL, _DDL_BY_WAYS),
    "DML as a change of the schema": ("schema", _DML, _DML_BY_WAYS),
    "routines as a read": ("read", None, _ROUTINES_CALLED),
    "routines as a write": ("write", None, _ROUTINES_CALLED),
    "routines as a change of the schema": ("schema", None, _ROUTINES_CALLED),
}


@pytest.mark.parametrize(("label", "first_word", "more"), OTHER_LABELS.values(), ids=OTHER_LABELS)
def test_what_has_the_label_of_another_effect_is_refused_by_the_server(
    proxy: LocalProxy, unchanged: None, label: str, first_word: re.Pattern[str] | None, more: Sequence[str]
) -> None:
    statements = [*more, *(statement for statement in OWN_WRITES if first_word and begins_with(first_word, statement))]
    answers = ((statement, proxy.post(statement, effect=label, database="shop")) for statement in statements)
    found = {statement: refusal(answer.get_json()) for statement, answer in answers}
    # 1792: the session is READ ONLY; 1064: among our own there are some that MariaDB does not understand.
    also: set[Any] = {1064, 1792} if label == "read" else {1064}
    # An INSERT gets as far as its values (1364: one is missing), and is rolled back when nothing is wrong with it.
    also |= {1364, "not_a_definition"} if label == "schema" else set()
    assert {statement: why for statement, why in found.items() if why not in _NO_RIGHT | also} == {}
    assert list(found.values()).count(1064) <= len(found) // 5


def refusal(problem: dict[str, Any]) -> object:
    """The server's error or, where it has none, the proxy's rule; None where there was no refusal."""
    return problem.get("mysql_errno") or problem.get("rule")


ALWAYS_ALLOWED = (
    "SET PASSWORD = PASSWORD('stolen')",
    "SET STATEMENT tx_read_only = 0 FOR SET PASSWORD = PASSWORD('stolen')",
    "BEGIN NOT ATOMIC SET SESSION tx_read_only = 0; SET PASSWORD = PASSWORD('stolen'); END",
    "KILL USER CURRENT_USER()",
    "USE information_schema",
    "SET SESSION profiling = 1",
    "OPTIMIZE TABLE orders",
    "EXECUTE IMMEDIATE 'USE information_schema'",
)


@pytest.mark.parametrize("statement", ALWAYS_ALLOWED)
@pytest.mark.parametrize("label", ["read", "write", "call", "schema"])
def test_what_every_account_may_always_do_is_refused_by_the_proxy(
    proxy: LocalProxy, unchanged: None, label: str, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openings, "check", CHECK)
    assert proxy.problem(statement, effect=label, database="shop")["rule"] == "opening"


def test_a_caller_may_call_what_is_in_the_applications_schemas_alone(proxy: LocalProxy, shop: LiveCluster) -> None:
    before = shop.run("manager", "SELECT COUNT(*) FROM shop.orders WHERE qty = 99")
    assert proxy.problem("CALL secret_db.change()", effect="call", database="shop")["mysql_errno"] in _NO_RIGHT
    assert shop.run("manager", "SELECT COUNT(*) FROM shop.orders WHERE qty = 99") == before


@pytest.mark.parametrize("label", ["read", "write", "call", "schema"])
def test_every_accounts_session_is_pinned_and_stays_so(proxy: LocalProxy, label: str) -> None:
    where: dict[str, Any] = {"implementation": "direct", "effect": label, "database": None}
    for change in ("SET SESSION tx_read_only = 0", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SET NAMES latin1"):
        proxy.post(change, **where)
    pinned = "SELECT @@tx_read_only, @@sql_mode, @@character_set_client, @@autocommit, @@max_statement_time > 0"
    modes = "NO_DIR_IN_CREATE," if label == "schema" else ""
    modes += "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
    # DDL has no limit of the server's: ended at one node, it would go on at the others.
    assert proxy.ask(pinned, **where)["rows"] == [
        [int(label == "read"), modes, "utf8mb4", int(label != "schema"), int(label != "schema")]
    ]


def benign() -> list[str]:
    return [case["sql"] for case in corpus.cases("benign")]


@pytest.mark.parametrize(
    ("source", "least_answered"),
    [(lambda: OWN, 60), (benign, 80), (corpus.attacks, 20)],
    ids=["own", "shared ordinary ones", "shared attacks"],
)
def test_nothing_that_is_labelled_a_read_changes_anything(
    proxy: LocalProxy, unchanged: None, source: Callable[[], Sequence[str]], least_answered: int
) -> None:
    statements = source()
    if not statements:
        pytest.skip(ABSENT)
    answered = [as_a_read(proxy, statement)[0] for statement in statements]
    assert answered.count(200) >= least_answered
