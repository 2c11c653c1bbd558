"""The second wall: whatever the gatekeeper's label says, the server refuses a write that comes as a read.

Every write of the shared corpus, where it is found, and of a list of the project's own goes to a proxy labelled `read`;
the attacks that are no writes go the same way, and nothing may change by any of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from deploy.engines.mariadb import Accounts, account_statements
from tests.fuzz import corpus
from tests.fuzz.statements import OWN
from tests.fuzz.world import SCHEMA
from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import ALL, LocalProxy, proxy_before

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
_TIMEOUT_MS = 5_000
ABSENT = "the shared corpus is not here; GATEKEEPER_CORPUS may name its directory"


def is_write(statement: str) -> bool:
    first = _FIRST_WORD.match(statement)
    return bool(first and _WRITE.fullmatch(first[1]))


OWN_WRITES = (*filter(is_write, OWN), *_OTHER_WRITES)


@pytest.fixture(scope="module")
def shop(cluster: LiveCluster) -> Iterator[LiveCluster]:
    """The cluster with the corpora's schemas, and the accounts' grants on `shop` as the engine gives them."""
    shared = corpus.directory()
    text = (shared / "schema.sql").read_text(encoding="utf-8") if shared else SCHEMA
    grants = [
        grant for grant in account_statements(Accounts(**cluster.accounts), ("shop",)) if grant.startswith("GRANT")
    ]
    _run(cluster, (f"DROP DATABASE IF EXISTS {schema}" for schema in _SCHEMAS))
    try:
        # Galera's sequences keep no numbers in memory, and it refuses to make others (error 1235).
        sequence = re.compile(r"^(CREATE SEQUENCE [\w.]+)(?: NOCACHE)?$", re.IGNORECASE)
        _run(cluster, (sequence.sub(r"\1 NOCACHE INCREMENT BY 0", statement) for statement in corpus.script(text)))
        _run(cluster, ("CREATE PROCEDURE secret_db.change() UPDATE shop.orders SET qty = 99", *grants))
        yield cluster
        _run(cluster, (re.sub(r"^GRANT (.*) TO ", r"REVOKE \1 FROM ", grant) for grant in grants))
    finally:
        _run(cluster, (f"DROP DATABASE IF EXISTS {schema}" for schema in _SCHEMAS))


def _run(cluster: LiveCluster, statements: Iterable[str]) -> None:
    with cluster.connect("manager") as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


@pytest.fixture(scope="module")
def proxy(shop: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    with proxy_before(shop, tmp_path_factory.mktemp("wall")) as proxy:
        proxy.wait_for("up", *ALL)
        yield proxy


@pytest.fixture
def unchanged(shop: LiveCluster) -> Iterator[None]:
    """All tables, the accounts, routines and grants among them, have the same checksums before and after the test."""
    before = checksums(shop)
    assert {"shop.orders", "secret_db.flags", "rental.film", "mysql.global_priv"} <= before.keys()
    yield
    assert checksums(shop) == before


def checksums(cluster: LiveCluster) -> dict[str, Any]:
    tables = cluster.run(
        "manager",
        "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables"
        " WHERE table_type IN ('BASE TABLE', 'SEQUENCE') AND (table_schema NOT IN"
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
