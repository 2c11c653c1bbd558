import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import Forbidden, GatekeeperError, StatementUnparsable
from gatekeeper.analysis import MAX_CHARACTERS
from gatekeeper.judge import CACHED_STATEMENTS, MAX_REMEMBERED_CHARACTERS, Judge
from gatekeeper.policy import parse

POLICY = parse(
    """
    [roles.clerk]
    kinds = ["select", "update"]
    read = ["shop.orders", "pub.*"]
    write = ["shop.orders"]
    default_database = "shop"
    max_rows = 7

    [roles.reader]
    kinds = ["select"]
    read = ["shop.orders"]
    """
)


@pytest.fixture
def judge() -> Judge:
    return Judge(POLICY)


def test_a_verdict_says_what_the_proxy_needs(judge: Judge) -> None:
    verdict = judge.judge("clerk", "UPDATE orders SET qty = 1 WHERE id = 2", None)
    assert (verdict.kind, verdict.effect, verdict.database, verdict.role.max_rows) == ("update", "write", "shop", 7)
    assert len(verdict.digest) == 16


def test_the_database_of_the_request_comes_before_the_roles(judge: Judge) -> None:
    assert judge.judge("clerk", "SELECT id FROM news", "pub").database == "pub"
    with pytest.raises(Forbidden, match=r"shop\.news"):
        judge.judge("clerk", "SELECT id FROM news", None)


REFUSED = {
    "another database": ("clerk", "SELECT 1", "mysql", "database"),
    "no database": ("reader", "SELECT id FROM orders", None, "database"),
    "an unknown role": ("ghost", "SELECT 1", None, "role"),
    "a kind of another role": ("reader", "UPDATE orders SET qty = 1 WHERE id = 2", "shop", "kind"),
    "two statements": ("clerk", "SELECT 1; SELECT 2", None, "multiple_statements"),
    "too long": ("clerk", "SELECT 1" + " " * MAX_CHARACTERS, None, "too_long"),
}


@pytest.mark.parametrize(("role", "text", "database", "rule"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_the_same_when_it_is_remembered(
    judge: Judge, role: str, text: str, database: str | None, rule: str
) -> None:
    errors: list[GatekeeperError] = []
    for _ in range(2):
        with pytest.raises(Forbidden) as refusal:
            judge.judge(role, text, database)
        errors.append(refusal.value)
    assert [error.rule for error in errors] == [rule, rule]
    assert errors[0].detail == errors[1].detail
    assert errors[0] is not errors[1]


def test_what_is_unparsable_stays_unparsable_when_remembered(judge: Judge) -> None:
    for _ in range(2):
        with pytest.raises(StatementUnparsable):
            judge.judge("clerk", "SELECT FROM", None)


def test_a_repeated_statement_is_not_judged_anew(judge: Judge) -> None:
    text = "SELECT id FROM orders WHERE id = ?"
    assert judge.judge("clerk", text, "shop") is judge.judge("clerk", text, "shop")


def test_a_verdict_of_one_role_or_database_is_not_anothers(judge: Judge) -> None:
    text = "SELECT id FROM orders"
    judge.judge("clerk", text, "shop")
    with pytest.raises(Forbidden):
        judge.judge("clerk", "SELECT id FROM orders", "mysql")
    assert judge.judge("reader", text, "shop").role.max_rows == 10_000


def test_a_long_statement_is_judged_but_not_remembered(judge: Judge) -> None:
    text = "SELECT id FROM orders WHERE id IN (" + "1, " * MAX_REMEMBERED_CHARACTERS + "2)"
    assert judge.judge("clerk", text, None) is not judge.judge("clerk", text, None)


def test_the_memory_is_bounded_and_forgets_the_oldest(judge: Judge) -> None:
    first = judge.judge("clerk", "SELECT 0", None)
    for number in range(CACHED_STATEMENTS):
        judge.judge("clerk", f"SELECT id AS c{number} FROM orders", None)
    assert judge.judge("clerk", "SELECT 0", None) is not first


def test_many_threads_get_the_same_verdicts(judge: Judge) -> None:
    begin = threading.Barrier(8)

    def ask(_: int) -> list[str]:
        begin.wait(timeout=30)
        return [judge.judge("clerk", f"SELECT id AS c{n} FROM orders", None).digest for n in range(200)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0])) == 200


PIECES = """
SELECT INSERT INTO REPLACE UPDATE DELETE FROM WHERE SET VALUES JOIN LEFT NATURAL ON USING ( ) , . * = - + ; ? :a 1 1.5
'x' "y" `z` orders shop staff id UNION ALL WITH RECURSIVE AS CASE WHEN THEN END NOT IN EXISTS BETWEEN AND LIKE GROUP BY
ORDER LIMIT HAVING OVER PARTITION ROWS PRECEDING INTERVAL DAY CAST CHAR BINARY DATE COUNT SLEEP LATERAL DUPLICATE KEY
RETURNING FOR LOCK TABLE DUAL DEFAULT NULL IGNORE QUICK SHOW COLUMNS DESCRIBE EXPLAIN CALL ROW
/* */ -- # @ { 0x41 _utf8mb4 N'x' -> := ||
""".split()  # noqa: SIM905 - a list literal would be a hundred lines
STATEMENTS = (
    "SELECT a.id, COUNT(*) FROM orders a JOIN pub.news b ON a.id = b.id WHERE a.qty > 1 GROUP BY a.id LIMIT 5",
    "WITH x (a) AS (SELECT id FROM orders) SELECT * FROM x WHERE a IN (SELECT id FROM pub.news)",
    "UPDATE orders o JOIN pub.news n ON n.id = o.id SET o.qty = n.qty + 1 WHERE o.id = ?",
    "INSERT INTO orders (id, qty) VALUES (1, 2), (3, DEFAULT) ON DUPLICATE KEY UPDATE qty = VALUES(qty)",
    "DELETE o FROM orders o LEFT JOIN pub.news n USING (id) WHERE n.id IS NULL",
)


def _judged(text: str) -> None:
    try:
        verdict = Judge(POLICY).judge("clerk", text, None)
    except (Forbidden, StatementUnparsable):
        return
    assert verdict.kind in {"select", "update"}


@settings(deadline=None, max_examples=300)
@given(st.text())
def test_any_text_is_judged_or_refused(text: str) -> None:
    _judged(text)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(("SELECT", "EXPLAIN", "SHOW", "DESC", "TABLE", "VALUES ROW(", "CALL")),
    st.lists(st.sampled_from(PIECES), max_size=30),
    st.sampled_from(("", " ")),
)
def test_any_soup_of_tokens_is_judged_or_refused(verb: str, pieces: list[str], between: str) -> None:
    _judged(f"{verb} {between.join(pieces)}")


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(STATEMENTS), st.lists(st.tuples(st.integers(0, 120), st.sampled_from(PIECES)), max_size=4))
def test_any_changed_statement_is_judged_or_refused(text: str, changes: list[tuple[int, str]]) -> None:
    for at, piece in changes:
        text = f"{text[:at]} {piece} {text[at:]}"
    _judged(text)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(STATEMENTS), st.integers(0, 120), st.integers(1, 20))
def test_any_torn_statement_is_judged_or_refused(text: str, at: int, length: int) -> None:
    _judged(text[:at] + text[at + length :])
