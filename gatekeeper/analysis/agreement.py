"""Does sqlglot's tree account for the statement? Checks that hold where its parser is more lenient than a server.

Only kinds of node that are known to mean what they say are let through; no clause's keyword may have become a name; as
many SELECTs as were written must be there; and every name that was written must be found in the tree.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from sqlglot import exp

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.analysis.lexer import QUOTED, WORD, Token
from gatekeeper.analysis.placed import Places
from gatekeeper.analysis.words import GRAMMAR, STRUCTURAL, words

# Functions are judged by name, on tokens (functions.py); their classes are let through but for those that need no
# parentheses or can stand for a table.
_NAMES = frozenset({exp.Identifier, exp.Var})
_FUNCTIONS_REFUSED: frozenset[type[exp.Expr]] = frozenset({exp.NextValueFor, exp.JSONTable, exp.Apply})
_QUERIES = (exp.Select, exp.Union, exp.Except, exp.Intersect)
# MySQL and MariaDB reserve BINARY; MariaDB takes SQL_CACHE for a modifier where it follows SELECT, whatever comes then.
_NO_NAMES = STRUCTURAL | words("BINARY HIGH_PRIORITY SQL_BUFFER_RESULT SQL_CACHE SQL_NO_CACHE")
# Servers read a key of one integer column by this name too, and fold the letter I each in its own way.
_ROW_ID = re.compile("_row[i\u0130\u0131]d", re.IGNORECASE)
_GROUPING = (exp.Window, exp.AggFunc, exp.JSONObjectAgg)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In)
_NODES = frozenset(
    getattr(exp, name)
    for name in words(
        # statements and their clauses
        """
        Select Union Except Intersect Subquery With CTE Insert Update Delete Values Schema OnConflict
        Returning From Join Table TableAlias Alias Lateral Partition IndexTableHint Where Group Rollup Having
        Order Ordered Limit Offset Distinct Window WindowSpec
        """
        # names, literals and types
        """
        Column Identifier Star Literal Null Boolean Placeholder Var Introducer Tuple Paren Interval
        IntervalSpan DataType DataTypeParam CharacterSet JSONPath JSONPathRoot JSONKeyValue JSONValue
        """
        # operators
        """
        EQ NEQ NullSafeEQ LT LTE GT GTE Add Sub Mul Div IntDiv Mod Neg BitwiseAnd BitwiseOr BitwiseXor
        BitwiseNot BitwiseLeftShift BitwiseRightShift Not Is Like In Between Escape Any All
        """
    )
)


def check(tree: exp.Expr, tokens: Sequence[Token]) -> None:
    """Raises Forbidden (rules construct, reserved_word) or StatementUnparsable for a tree that may be a misreading."""
    found: Counter[str] = Counter()
    selects = 0
    for node in tree.walk():
        if not _known(node):
            raise Forbidden(f"{node.key.upper()} is not accepted within a statement", rule="construct")
        if isinstance(node, exp.Select):
            selects += 1
            _check_list(node)
        if type(node) in _NAMES:
            found[node.name.upper()] += 1
        _check_name(node)
        _check_group(node)
        _check_rows(node)
    if selects != sum(token.word == "SELECT" for token in tokens):
        raise StatementUnparsable("not understood: a SELECT was read in more than one way")
    missing = Counter(_names(tokens)) - found
    if missing:
        raise StatementUnparsable(f"not understood near {next(iter(missing))[:64]}")


def _check_list(select: exp.Select) -> None:
    """No server's grammar has a SELECT without a list; servers were seen to crash where one was let through."""
    if not select.expressions:
        raise StatementUnparsable("not understood: a SELECT without a list")


def _known(node: exp.Expr) -> bool:
    kind = type(node)
    return kind in _NODES or (isinstance(node, exp.Func) and kind not in _FUNCTIONS_REFUSED)


def _check_name(node: exp.Expr) -> None:
    """An unquoted name or variable of the tree that is a clause's keyword is a misreading."""
    if type(node) is exp.Identifier and not node.args.get("quoted") and node.name.upper() in _NO_NAMES:
        raise Forbidden(f"{node.name} is a reserved word; as a name it needs backticks", rule="reserved_word")
    if type(node) is exp.Identifier and _ROW_ID.fullmatch(node.name):
        raise Forbidden("_rowid is another name for a key's column: name that", rule="construct")


def _check_group(node: exp.Expr) -> None:
    """Aggregates and windows belong in a query. Servers refuse them elsewhere, but MariaDB 11.8.9 crashes.

    It does so on `DELETE FROM t ORDER BY COUNT(*)`, UPDATE alike, and on `DELETE FROM t RETURNING SUM(a) OVER ()`.
    """
    if _groups(node) and node.find_ancestor(*_QUERIES) is None:
        raise Forbidden("an aggregate or window function is not accepted outside of a query", rule="construct")


def _groups(node: exp.Expr) -> bool:
    return isinstance(node, _GROUPING) or (type(node) is exp.Anonymous and node.name.upper() == "JSON_ARRAYAGG")


def _check_rows(node: exp.Expr) -> None:
    """A row that is compared with a query's row holds no aggregate or window, nor does that query.

    MariaDB 10.11.19 crashes on `SELECT (1, MAX(a)) = (SELECT t.b, 2) FROM t`, with each operator, and in IN's list.
    """
    if not isinstance(node, _COMPARISONS):
        return
    operands = (node.this, node.args.get("expression"), *node.expressions)
    if any(map(_is_row_of_query, operands)) and any(map(_groups, node.walk())):
        raise Forbidden("a row with an aggregate or window is not compared with a query's", rule="construct")


def _is_row_of_query(operand: exp.Expr | None) -> bool:
    """Whether it is a query of several columns, or of unknown ones, in parentheses or not."""
    while isinstance(operand, (exp.Paren, exp.Subquery)):
        operand = operand.this
    if not isinstance(operand, _QUERIES):
        return False
    columns = operand.selects
    return len(columns) != 1 or columns[0].is_star


def _names(tokens: Sequence[Token]) -> Iterable[str]:
    """The names that must be found in the tree: quoted, or neither a function nor a word of the grammar in place."""
    places = Places(tokens)
    for at, token in enumerate(tokens):
        if token.kind == QUOTED:
            yield token.text[1:-1].replace("``", "`").upper()
        elif token.kind == WORD and not _opens(tokens, at) and not (token.word in GRAMMAR and places.is_placed(at)):
            yield token.text.upper()


def _opens(tokens: Sequence[Token], at: int) -> bool:
    return at + 1 < len(tokens) and tokens[at + 1].kind == "("
