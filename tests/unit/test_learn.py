"""The policy that is learnt from records: it allows all of them, and nothing in it is more than they need."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import Forbidden
from gatekeeper.analysis import KINDS, Analysis, analyse
from gatekeeper.judge import Judge
from gatekeeper.policy import Policy, Role, decide, parse
from gatekeeper.policy.learn import NothingLearnt, learn
from gatekeeper.policy.model import Kind
from gatekeeper.policy.render import render
from gatekeeper.recording import Asked, Record

WEB = Asked("web", "shop", names_database=False, implementation="customized_hit", names_implementation=False)
SEEN = datetime(2026, 11, 23, tzinfo=UTC)


def recorded(*texts: str, asked: Asked = WEB, rule: str | None = None) -> list[Record]:
    return [Record(asked, analyse(text, asked.database), rule, SEEN) for text in texts]


def learnt(records: Iterable[Record], **options: Any) -> Role:
    """The role of the printed policy, which must be one that would be taken."""
    return parse(render("web", learn(records, "web", **options))).roles["web"]


def test_a_name_can_turn_nothing_that_is_read_around_it() -> None:
    names = ["a\u202e]", "b\u009b31m", "c\u2028", "d\xa0"]
    found = learn(recorded(*(f"SELECT `{name}` FROM orders" for name in names)), "web", columns=True)
    printed = render("web", found)
    assert printed.replace("\n", "").isprintable()
    assert sorted(parse(printed).roles["web"].read_columns["shop.orders"]) == names


def allows(role: Role, statement: Analysis) -> bool:
    try:
        decide(role, statement)
    except Forbidden:
        return False
    return True


STATEMENTS = {
    "a read": (["SELECT a FROM orders WHERE b = 1"], {"kinds": ["select"], "read": ["shop.orders"]}),
    "two of one table": (
        ["SELECT a FROM orders", "DELETE FROM orders WHERE a = 1"],
        {"kinds": ["delete", "select"], "read": ["shop.orders"], "write": ["shop.orders"]},
    ),
    "a write that reads nothing": (
        ["INSERT INTO orders (a) VALUES (1)"],
        {"kinds": ["insert"], "write": ["shop.orders"]},
    ),
    "functions beyond those of everybody": (
        ["SELECT UPPER('a'), SLEEP(1), VERSION()"],
        {"kinds": ["select"], "functions": ["sleep", "version"]},
    ),
    "a procedure": (["CALL pub.tidy(1)"], {"kinds": ["call"], "procedures": ["pub.tidy"]}),
    "no condition": (
        ["UPDATE orders SET a = 1"],
        {"kinds": ["update"], "write": ["shop.orders"], "where_required": False},
    ),
    "an explained one": (
        ["EXPLAIN DELETE FROM orders WHERE a = 1"],
        {"kinds": ["delete", "explain"], "read": ["shop.orders"], "write": ["shop.orders"]},
    ),
    "all tables shown": (
        ["SHOW TABLES", "SELECT a FROM orders", "SELECT seq FROM seq_1_to_9", "SELECT a FROM pub.news"],
        {"kinds": ["select", "show"], "read": ["pub.news", "shop.*", "shop.seq_1_to_9"]},
    ),
}


@pytest.mark.parametrize(("texts", "members"), STATEMENTS.values(), ids=STATEMENTS)
def test_statements_are_learnt(texts: list[str], members: dict[str, Any]) -> None:
    found = learnt(recorded(*texts))
    expected = msgspec.convert(
        {"kinds": [], "default_database": found.default_database, "implementations": ["customized_hit"], **members},
        Role,
    )
    assert found == expected


def test_whole_tables_are_learnt_unless_columns_are_asked_for() -> None:
    records = recorded(
        "SELECT a, B, COUNT(*) FROM orders WHERE c = 1",
        "SELECT COUNT(*) FROM visits",
        "SELECT * FROM news",
        "INSERT INTO orders (a, d) VALUES (1, 2)",
        "REPLACE INTO visits (a) VALUES (1)",
        "INSERT INTO news VALUES (1)",
        "DELETE FROM marks WHERE a = 1",
    )
    assert learnt(records).read_columns == learnt(records).write_columns == {}
    found = learnt(records, columns=True)
    assert found.read_columns == {"shop.orders": ("a", "b", "c"), "shop.visits": (), "shop.marks": ("a",)}
    assert found.write_columns == {"shop.orders": ("a", "d")}
    assert all(allows(found, record.statement) for record in records)


WAYS = {
    "the default": ([WEB], {"default_database": "shop", "implementations": ["customized_hit"]}),
    "another default implementation": (
        [WEB._replace(implementation="random_hit")],
        {"default_implementation": "random_hit", "implementations": ["random_hit"]},
    ),
    "one named beside the default": (
        [WEB, WEB._replace(implementation="direct_hit", names_implementation=True)],
        {"default_implementation": "customized_hit", "implementations": ["customized_hit", "direct_hit"]},
    ),
    "named ones only": (
        [WEB._replace(implementation="direct_hit", names_implementation=True)],
        {"default_implementation": "direct_hit", "implementations": ["direct_hit"]},
    ),
    "a named database": ([WEB._replace(names_database=True)], {"default_database": None}),
    "several default databases": ([WEB, WEB._replace(database="pub")], {"default_database": None}),
    "none and one": ([WEB, WEB._replace(database="pub", names_database=True)], {"default_database": "shop"}),
}


@pytest.mark.parametrize(("ways", "members"), WAYS.values(), ids=WAYS)
def test_how_statements_were_asked_for_is_learnt(ways: list[Asked], members: dict[str, Any]) -> None:
    found = learnt([record for asked in ways for record in recorded("SELECT a FROM orders", asked=asked)])
    expected = msgspec.convert({"kinds": ["select"], "read": found.read, **members}, Role)
    assert {name: getattr(found, name) for name in members} == {name: getattr(expected, name) for name in members}


def test_the_policy_says_how_many_statements_need_each_line() -> None:
    texts = ("SELECT a FROM orders", "SELECT b FROM orders", "SELECT a FROM news", "UPDATE news SET a = 1 WHERE b = 1")
    shown = render("web", learn(recorded(*texts), "web"))
    assert "Learnt from 4 distinct statements" in shown
    assert '    "select",  # 3\n    "update",  # 1\n' in shown
    assert '    "shop.news",  # 2\n    "shop.orders",  # 2\n' in shown
    assert '    "shop.*",  # 1, for SHOW TABLES\n' in render("web", learn(recorded("SHOW TABLES"), "web"))


def test_a_statement_of_several_files_or_ways_counts_once() -> None:
    records = recorded("SELECT a FROM orders") + recorded("SELECT a FROM orders", asked=WEB._replace(role="web"))
    assert '"shop.orders",  # 1\n' in render("web", learn(records, "web"))


NEVER = {
    "a kind of no policy": ("START TRANSACTION", WEB, "no policy allows transaction"),
    "a table in no database": ("SELECT a FROM t", WEB._replace(database=None), '"t" is in no database'),
    "a name that no policy can write": ("SELECT a FROM `a b`.t", WEB, "a policy can't name"),
}


@pytest.mark.parametrize(("text", "asked", "reason"), NEVER.values(), ids=NEVER)
def test_what_no_policy_can_allow_is_left_out_and_named(text: str, asked: Asked, reason: str) -> None:
    records = recorded("SELECT a FROM orders") + recorded(text, asked=asked)
    shown = render("web", learn(records, "web"))
    assert f"as {reason}" in shown
    assert parse(shown).roles["web"].kinds == {"select"}
    with pytest.raises(NothingLearnt, match="nothing that was recorded"):
        learn(recorded(text, asked=asked), "web")


def test_a_database_without_tables_is_named_as_one_that_stays_shut() -> None:
    shown = render("web", learn(recorded("SELECT 1", asked=WEB._replace(names_database=True)), "web"))
    assert "# Requests that name the database shop stay refused" in shown
    assert "# No default_database: no table of it is used, shop." in render("web", learn(recorded("SELECT 1"), "web"))


def test_what_the_policy_was_against_is_learnt_unless_it_is_left_out() -> None:
    records = recorded("SELECT a FROM orders") + recorded("SELECT a FROM secret", rule="read")
    assert learnt(records).read == ("shop.orders", "shop.secret")
    assert learnt(records, allowed_only=True).read == ("shop.orders",)


KEPT = parse(
    """
    [roles.web]
    kinds = ["select"]
    read = ["shop.*", "pub.*"]
    max_rows = 7
    max_affected_rows = 0
    expires = 2027-01-31T18:00:00+01:00
    record = true
    report_only = true

    [roles.web.hidden]
    "shop.staff" = ["password"]
    "pub.news" = ["author"]

    [roles.web.limits]
    rate_per_second = 0.5
    burst = 3
    """
)


def test_what_no_statement_shows_is_kept_from_the_role_as_it_is_where_that_is_given() -> None:
    records = recorded("SELECT id FROM staff")
    assert learnt(records).hidden == {}
    found = parse(render("web", learn(records, "web", keep=KEPT))).roles["web"]
    kept = KEPT.roles["web"]
    assert found.hidden == {"shop.staff": ("password",)}
    for member in ("max_rows", "max_affected_rows", "max_result_bytes", "expires", "limits"):
        assert getattr(found, member) == getattr(kept, member), member
    assert (found.read, found.record, found.report_only) == (("shop.staff",), False, False)


def test_columns_that_are_closed_now_stay_closed_where_the_role_is_kept() -> None:
    text = """
        [roles.web]
        kinds = ["select", "update"]
        read = ["shop.*"]
        write = ["shop.*"]
        read_columns = {"shop.staff" = ["id", "Name", "age"], "shop.other" = ["a"]}
        write_columns = {"shop.staff" = ["name"]}
    """
    texts = ("SELECT id, NAME FROM staff", "SELECT pay, a FROM orders", "UPDATE staff SET name = 'x' WHERE id = 1")
    for columns, read in ((False, {"shop.staff": ("id", "Name", "age")}), (True, {"shop.staff": ("id", "Name")})):
        found = learnt(recorded(*texts), keep=parse(text), columns=columns)
        assert found.read_columns == read | ({"shop.orders": ("a", "pay")} if columns else {})
        assert found.write_columns == {"shop.staff": ("name",)}
    shown = render("web", learn(recorded("SELECT * FROM staff"), "web", keep=parse(text)))
    assert "rule column." in shown


def test_what_a_kept_column_stands_against_is_named() -> None:
    records = recorded("SELECT id FROM staff", "SELECT password FROM staff")
    shown = render("web", learn(records, "web", keep=KEPT))
    assert f"# Still refused: {records[1].statement.digest} (select), rule column." in shown
    with pytest.raises(NothingLearnt, match="has no role app; it has web"):
        learn(recorded("SELECT 1", asked=WEB._replace(role="app")), "app", keep=KEPT)


NOTHING: dict[str, tuple[list[Record], str]] = {
    "no record": ([], "the files are empty"),
    "another role's": (recorded("SELECT 1", asked=WEB._replace(role="batch")), "role web; there are records of batch"),
    "refused ones only": (recorded("SELECT 1", rule="kind"), "was against everything"),
}


@pytest.mark.parametrize(("records", "reason"), NOTHING.values(), ids=NOTHING)
def test_where_there_is_nothing_to_learn_from_it_is_said_why(records: list[Record], reason: str) -> None:
    with pytest.raises(NothingLearnt, match=reason):
        learn(records, "web", allowed_only=True)


def test_names_of_any_form_stay_what_they_are_and_break_no_line() -> None:
    texts = ('SELECT `a"b`, `c\\d` FROM `größe-1`', "SELECT `x#y` FROM `two words`")
    found = learnt(recorded(*texts), columns=True)
    assert found.read_columns == {"shop.größe-1": ('a"b', "c\\d"), "shop.two words": ("x#y",)}


TABLES = st.tuples(st.sampled_from(("shop", "pub")), st.sampled_from(("a", "A", "b c", "seq_1_to_2", "é", "E")))
COLUMN_NAMES = st.sampled_from(("x", "X", "y", "*", "zé"))
FUNCTIONS = st.frozensets(st.sampled_from(("sleep", "version", "upper", "own")), max_size=3)
DEFINING = frozenset(kind for kind in get_args(Kind) if "_" in kind or kind == "truncate")
JUDGED = sorted(set(get_args(Kind)) & set(KINDS))


@st.composite
def analyses(draw: st.DrawFn) -> Analysis:
    """Anything that an analysis may say, also what no statement says."""
    kind = draw(st.sampled_from(JUDGED))
    explained = draw(st.sampled_from(("select", "update", "replace"))) if kind == "explain" else None
    reads, writes = draw(st.frozensets(TABLES, max_size=3)), draw(st.frozensets(TABLES, max_size=2))
    if (explained or kind) not in {"insert", "replace", "update", "delete"} | DEFINING - {"create_table"}:
        writes = frozenset()
    if kind == "show":
        reads |= {("shop", "*")}
    tables = {name: draw(st.frozensets(COLUMN_NAMES, max_size=3)) for name in reads | writes}
    return Analysis(
        kind=kind,
        effect="write" if writes else "read",
        digest="",
        functions=draw(FUNCTIONS),
        reads=reads,
        writes=writes,
        columns_read=frozenset((*table, column) for table in reads for column in tables[table]),
        columns_written=frozenset((*table, column) for table in writes for column in tables[table] | {"x"}),
        has_where=draw(st.booleans()),
        procedures=draw(st.frozensets(TABLES, max_size=2)) if kind == "call" else frozenset(),
        defines=draw(st.frozensets(TABLES, min_size=1, max_size=2)) if kind in DEFINING else frozenset(),
        explained=explained,
    )


def smaller(role: Role) -> Iterable[tuple[str, Role]]:
    """The role without one grant, for each of them."""
    for member in ("kinds", "read", "write", "define", "functions", "procedures"):
        values = getattr(role, member)
        for value in values:
            rest = type(values)(other for other in values if other != value)
            yield f"{member}: {value}", msgspec.structs.replace(role, **{member: rest})
    for member in ("read_columns", "write_columns"):
        for table, names in getattr(role, member).items():
            for name in names:
                rest = {**getattr(role, member), table: tuple(other for other in names if other != name)}
                yield f"{member}: {table} {name}", msgspec.structs.replace(role, **{member: rest})
    if not role.where_required:
        yield "where_required", msgspec.structs.replace(role, where_required=True)


@settings(deadline=None, max_examples=300)
@given(st.lists(analyses(), min_size=1, max_size=6), st.booleans())
def test_the_learnt_policy_allows_what_was_recorded_and_is_the_smallest_that_does(
    drawn: list[Analysis], columns: bool
) -> None:
    statements = [msgspec.structs.replace(each, digest=f"{number:016x}") for number, each in enumerate(drawn)]
    records = [Record(WEB, statement, None, SEEN) for statement in statements]
    shown = render("web", learn(records, "web", columns=columns))
    assert "Still refused" not in shown
    role = parse(shown).roles["web"]
    assert [statement for statement in statements if not allows(role, statement)] == []
    needless = [what for what, less in smaller(role) if all(allows(less, statement) for statement in statements)]
    assert needless == []


TEXTS = (
    "SELECT a FROM orders WHERE b = 1",
    "SELECT o.a, COUNT(*) FROM orders o JOIN pub.news n ON n.id = o.id GROUP BY o.a ORDER BY 2 LIMIT 5",
    "WITH x AS (SELECT id FROM orders) SELECT * FROM x",
    "INSERT INTO orders (a, b) SELECT a, b FROM pub.news ON DUPLICATE KEY UPDATE b = VALUES(b)",
    "REPLACE INTO orders (a) VALUES (1)",
    "UPDATE orders SET a = 1",
    "DELETE o FROM orders o JOIN pub.news n USING (id) WHERE n.a = 1",
    "EXPLAIN UPDATE orders SET a = 1 WHERE b = 2",
    "SHOW COLUMNS FROM orders",
    "SHOW TABLES FROM pub",
    "DESCRIBE orders",
    "TABLE orders",
    "CREATE TABLE made (id INT PRIMARY KEY, a VARCHAR(9))",
    "DROP TABLE made",
    "ALTER TABLE orders ADD COLUMN c INT",
    "CALL pub.tidy(1)",
    "SELECT VERSION(), SLEEP(0)",
)


@settings(deadline=None, max_examples=100)
@given(st.sets(st.sampled_from(TEXTS), min_size=1), st.booleans())
def test_under_the_learnt_policy_the_judge_takes_the_same_statements(texts: set[str], columns: bool) -> None:
    role = learnt(recorded(*sorted(texts)), columns=columns)
    judge = Judge(Policy({"web": role}), analyse)
    for text in texts:
        assert judge.judge("web", text, None)
