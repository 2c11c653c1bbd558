"""What judging may cost, and the benchmark that measures it. Processor time, so that a busy machine does not count."""

import contextlib
import random
import time

import pytest

from benchmark import judge as benchmark
from contract.errors import Forbidden, GatekeeperError
from gatekeeper.analysis import analyse
from gatekeeper.analysis.lexer import MAX_CHARACTERS
from gatekeeper.judge import Judge
from gatekeeper.policy import parse

# The promise of docs/policy.md; measured: about a third of it.
WORST_MS = 100

POLICY = parse(
    """
    [roles.r]
    kinds = ["select", "insert", "values", "explain"]
    read = ["s.*"]
    write = ["s.*"]
    default_database = "s"
    """
)

HEAVY = {
    "additions": "SELECT a" + " + a" * 1_450,
    "columns": "SELECT " + "a," * 1_480 + "a FROM t",
    "conditions": "SELECT a FROM t WHERE a = 1" + " AND a = 1" * 730,
    "calls": "SELECT " + "CONCAT(a, b)," * 420 + "1",
    "subqueries": "SELECT " + "(SELECT 1)," * 195 + "1",
    "cases": "SELECT " + "CASE WHEN a THEN b END," * 420 + "1",
    "windows": "SELECT " + "SUM(a) OVER (PARTITION BY b ORDER BY c)," * 200 + "1",
    "nested types": "SELECT " + "DATE(DATE(DATE(a)))," * 75 + "1",
    "nested calls": "SELECT " + ("ABS(" * 36 + "1" + ")" * 36 + ",") * 24 + "1",
    "nested queries": "SELECT " + ("(SELECT " * 30 + "1" + ")" * 30 + ",") * 24 + "1",
    "joins": "SELECT 1 FROM a" + " JOIN b" * 9,
    "many columns of many tables": f"SELECT {','.join(f'c{i}' for i in range(99))} FROM a"
    + "".join(f", a AS a{i}" for i in range(99)),
    "rows": "INSERT INTO t VALUES (a, b)" + ", (a, b)" * 480,
    "literals": "SELECT a FROM t WHERE a IN (" + "1," * 14_900 + "1)",
    "values": "VALUES ROW(1, a)" + ", ROW(1, a)" * 410,
    "explained": "EXPLAIN SELECT a" + " + a" * 1_450,
    "a string": "SELECT '" + "''" * (MAX_CHARACTERS // 2 - 10) + "'",
    "a comment": "SELECT /*" + " *" * (MAX_CHARACTERS // 2 - 10) + "*/ 1",
}


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY)
def test_the_heaviest_statements_that_are_let_through_cost_little(text: str) -> None:
    Judge(POLICY, analyse).judge("r", text, None)
    assert cost_ms(text) < WORST_MS


REFUSED = {
    "too many joins": "SELECT 1 FROM a" + " JOIN b" * 24,
    "nested too deeply": "SELECT " + "CHAR(" * 20 + "1" + ")" * 20,
    "too many tokens": "SELECT a" + " + a" * 2_000,
    "too many tokens to read": "SELECT " + "a," * 120_000,
    "an open string": "SELECT '" + "a''" * (MAX_CHARACTERS // 3 - 10),
    "too long": "SELECT '" + "a" * MAX_CHARACTERS + "'",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_statement_beyond_the_limits_is_refused_as_fast(text: str) -> None:
    with pytest.raises(Forbidden):
        Judge(POLICY, analyse).judge("r", text, None)
    assert cost_ms(text) < WORST_MS


def cost_ms(text: str) -> float:
    """The least of three times, as a first one pays for imports."""
    costs = []
    for _ in range(3):
        judge = Judge(POLICY, analyse)
        begin = time.process_time()
        with contextlib.suppress(GatekeeperError):
            judge.judge("r", text, None)
        costs.append(time.process_time() - begin)
    return min(costs) * 1000


def test_the_worst_of_some_soups_costs_little() -> None:
    """`make bench` prints how much; here what grows out of hand is found, on a machine that does much else, too."""
    cost_s, text = benchmark.worst(200, benchmark.SEED)
    assert cost_s * 1000 < 5 * WORST_MS, text[:200]


def test_a_seed_gives_the_same_soups_and_some_of_them_are_understood() -> None:
    soups = [[benchmark.soup(source) for _ in range(300)] for source in (random.Random(3), random.Random(3))]
    assert soups[0] == soups[1]
    assert len(set(soups[0])) == 300
    assert any(_is_understood(text) for text in soups[0])


def _is_understood(text: str) -> bool:
    try:
        analyse(text, "s")
    except GatekeeperError:
        return False
    return True


def test_the_benchmark_prints_its_four_figures_and_the_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "REPEATS", 5)
    benchmark.main(["--soups", "5", "--seed", "17"])
    printed = capsys.readouterr().out
    for figure in ("a statement seen before", "a new point SELECT", "a new join", "the worst of 5 soups"):
        assert figure in printed
    assert "seed 17" in printed
