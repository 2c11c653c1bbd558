"""Words that servers do not reserve: in their place part of the grammar, and a column's name anywhere else."""

import pytest

from contract.errors import GatekeeperError
from gatekeeper.analysis import analyse
from gatekeeper.analysis.words import words

UNRESERVED = words(
    """
    any bit boolean charset current date datetime duplicate end escape expansion following json language member mode
    nchar of offset preceding query quick rollup row signed some sounds sql_buffer_result sql_no_cache time timestamp
    unbounded unknown value window year
    """
)
# What a server reads as the column, with an alias or an operator; a parser may take the word for something else.
FORMS = {
    "an alias in quotes": "SELECT {} 'a' FROM t",
    "an alias": "SELECT {} a FROM t",
    "a sum": "SELECT {} + 1 FROM t",
    "a member of a list": "SELECT 1, {} FROM t",
    "in an interval": "SELECT NOW() + INTERVAL {} DAY FROM t",
    "in a function": "SELECT CONCAT({}, 'a') FROM t",
    "a condition": "SELECT 1 FROM t WHERE {} = 1",
    "an order": "SELECT 1 FROM t ORDER BY {}",
    "compared": "SELECT 1 FROM t WHERE 1 > {}",
    "converted": "SELECT CONVERT({}, CHAR) FROM t",
    "cast": "SELECT CAST({} AS CHAR) FROM t",
    "denied": "SELECT NOT {} 'a' FROM t",
    "in a case": "SELECT CASE WHEN 1 THEN {} ELSE 2 END FROM t",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("word", sorted(UNRESERVED))
def test_a_column_whose_name_is_a_word_of_the_grammar_is_read_or_the_statement_refused(word: str, form: str) -> None:
    try:
        columns = analyse(form.format(word), "s").columns_read
    except GatekeeperError:
        return
    is_literal = word in {"date", "time", "timestamp"} and "{} 'a'" in form
    is_option = word.startswith("sql_") and form.startswith("SELECT {}")
    assert is_literal or is_option or ("s", "t", word) in columns


PLACED = {
    "types": "SELECT CAST(a AS SIGNED), CAST(a AS UNSIGNED INTEGER), CAST(a AS JSON), CONVERT(a, SIGNED)",
    "typed literals": "SELECT DATE '2024-01-01', TIME '10:00:00', TIMESTAMP '2024-01-01 10:00:00'",
    "json": "SELECT JSON_VALUE(a, '$.b' RETURNING SIGNED) FROM t",
    "units": "SELECT a + INTERVAL 1 YEAR, EXTRACT(YEAR FROM a), TIMESTAMPDIFF(YEAR, a, b) FROM t",
    "quantified": "SELECT a FROM t WHERE a = ANY (SELECT b FROM t) AND a > SOME (SELECT b FROM t)",
    "unknown": "SELECT a IS UNKNOWN, a IS NOT UNKNOWN FROM t",
    "case": "SELECT CASE a WHEN 1 THEN CASE WHEN b THEN 1 END ELSE 2 END FROM t",
    "frames": "SELECT SUM(a) OVER (ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t",
    "frames with numbers": "SELECT SUM(a) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING) FROM t",
    "full text": "SELECT MATCH (a) AGAINST ('x' IN BOOLEAN MODE) + MATCH (a) AGAINST ('x' IN NATURAL LANGUAGE MODE)",
    "expansion": "SELECT MATCH (a) AGAINST ('x' WITH QUERY EXPANSION) FROM t",
    "rollup": "SELECT a FROM t GROUP BY a WITH ROLLUP",
    "limit": "SELECT a FROM t LIMIT 10 OFFSET 20",
    "escape": "SELECT a FROM t WHERE a LIKE 'b' ESCAPE '|'",
    "sounds": "SELECT a FROM t WHERE a SOUNDS LIKE 'b'",
    "options": "SELECT DISTINCT SQL_NO_CACHE a FROM t",
    "duplicate": "INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2",
    "value": "INSERT INTO t (a) VALUE (1)",
    "quick": "DELETE LOW_PRIORITY QUICK FROM t WHERE a = 1",
    "member": "SELECT 1 MEMBER OF (a) FROM t",
    "a window": "SELECT SUM(a) OVER w FROM t WINDOW w AS (ORDER BY b)",
    "introducers": "SELECT _utf8mb4'a', _binary ? FROM t",
}


@pytest.mark.parametrize("text", PLACED.values(), ids=PLACED)
def test_the_grammars_words_are_accepted_in_their_places(text: str) -> None:
    assert analyse(text, "s").kind in {"select", "insert", "delete"}
