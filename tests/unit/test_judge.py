import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import Forbidden, GatekeeperError, StatementUnparsable
from gatekeeper.analysis import MAX_CHARACTERS, Analysis
from gatekeeper.analysis.apart import Stopped
from gatekeeper.judge import CACHED_STATEMENTS, MAX_REMEMBERED_CHARACTERS, Judge, Refusal, Verdict
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

    [roles.watched]
    kinds = ["select"]
    read = ["shop.orders"]
    default_database = "shop"
    max_rows = 5
    report_only = true
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


def test_what_is_known_of_a_refused_statement_is_kept_beside_its_refusal(judge: Judge) -> None:
    judged = judge.look("reader", "DELETE FROM orders WHERE qty = 7", "shop")
    assert isinstance(judged.outcome, Refusal)
    assert judged.analysis
    assert (judged.outcome.rule, judged.analysis.kind, judged.analysis.effect) == ("kind", "delete", "write")
    assert (judged.reads, judged.writes, judged.database) == (("shop.orders",), ("shop.orders",), "shop")
    assert judged.digest == judge.look("clerk", "DELETE FROM orders WHERE qty = 8", "shop").digest


def test_a_statement_whose_analysis_was_ended_is_refused_by_its_digest(judge: Judge) -> None:
    def ended(_text: str, _schema: str | None) -> Analysis:
        raise Stopped("TimeoutError")

    text = "SELECT " + "(" * 12 + "{}" + ")" * 12
    judged = Judge(POLICY, ended).look("clerk", text.format(1), None)
    assert isinstance(judged.outcome, Refusal)
    assert (judged.outcome.rule, judged.digest) == ("limit", judge.look("clerk", text.format(2), None).digest)


NOT_UNDERSTOOD = {
    "not parsed": ("SELECT a FROM t WHERE x = {} GROUP", True),
    "a construct": ("SELECT a FROM t WHERE x = {} INTO OUTFILE 'x'", True),
    "not lexed": ("SELECT @a, {}", False),
    "large": ("SELECT a FROM t WHERE x = {} GROUP" + " " * 66_000, False),
}


@pytest.mark.parametrize(("text", "is_named"), NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_what_is_not_understood_has_the_digest_of_its_tokens_where_it_has_tokens(
    judge: Judge, text: str, is_named: bool
) -> None:
    first, second = (judge.look("clerk", text.format(number), None) for number in (1, 2))
    assert isinstance(first.outcome, Refusal)
    assert (first.digest is not None) == is_named
    assert first.digest == second.digest
    assert first.analysis is None


REPORTED = {
    "a kind": ("DELETE FROM orders WHERE id = 1", None, "kind", "write"),
    "a table": ("SELECT id FROM staff", None, "read", "read"),
    "a function": ("SELECT SLEEP(1)", None, "function", "read"),
    "another database": ("SELECT id FROM orders", "pub", "database", "read"),
    "a kind that only some roles have": ("SHOW TABLES", None, "kind", "read"),
    "a call": ("CALL tidy(1)", None, "kind", "call"),
    "a definition": ("DROP TABLE orders", None, "kind", "schema"),
}


@pytest.mark.parametrize(("text", "database", "rule", "effect"), REPORTED.values(), ids=REPORTED)
def test_in_report_only_mode_what_the_policy_is_against_runs_with_its_own_effect(
    judge: Judge, text: str, database: str | None, rule: str, effect: str
) -> None:
    judged = judge.look("watched", text, database)
    assert isinstance(judged.outcome, Verdict)
    assert judged.reported
    assert (judged.reported.rule, judged.outcome.effect, judged.outcome.role.max_rows) == (rule, effect, 5)
    assert judged.outcome.database == (database or "shop")
    assert judge.judge("watched", text, database) is judged.outcome


def test_in_report_only_mode_what_is_allowed_is_not_reported(judge: Judge) -> None:
    assert judge.look("watched", "SELECT id FROM orders", None).objection is None


STILL_REFUSED = {
    "not lexed": ("SELECT @a", "character"),
    "two statements": ("SELECT 1; SELECT 2", "multiple_statements"),
    "a construct": ("SELECT 1 INTO @a", "character"),
    "a locking read": ("SELECT id FROM orders FOR UPDATE", "locking_read"),
    "too large": ("SELECT " + "(" * 60 + "1" + ")" * 60, "limit"),
    "too long": ("SELECT 1" + " " * MAX_CHARACTERS, "too_long"),
    "not parsed": ("SELECT FROM", None),
    "a setting": ("SET NAMES latin1", "kind"),
    "a transaction": ("START TRANSACTION", "kind"),
    "a grant, though its effect is known": ("GRANT ALL ON orders TO ann", "kind"),
    "a user": ("CREATE USER ann", "kind"),
    "a lock": ("LOCK TABLES orders WRITE", "kind"),
    "a prepared statement": ("PREPARE s FROM 'SELECT 1'", "kind"),
    "an administrator's statement": ("KILL 1", "kind"),
}


@pytest.mark.parametrize(("text", "rule"), STILL_REFUSED.values(), ids=STILL_REFUSED)
def test_in_report_only_mode_what_no_policy_allows_is_refused(judge: Judge, text: str, rule: str | None) -> None:
    outcome = judge.look("watched", text, None).outcome
    assert isinstance(outcome, Refusal)
    assert outcome.rule == rule


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


def test_a_short_statement_that_names_very_much_is_not_remembered(judge: Judge) -> None:
    columns = ",".join(f"z{number}" for number in range(20))
    wide = f"SELECT {columns} FROM {','.join(f't{number}' for number in range(40))}"
    assert len(wide) < 300
    first, second = judge.look("clerk", wide, None), judge.look("clerk", wide, None)
    assert first == second
    assert first is not second
    assert judge.look("clerk", "SELECT id FROM orders", None) is judge.look("clerk", "SELECT id FROM orders", None)


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
