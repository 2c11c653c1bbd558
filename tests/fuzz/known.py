"""What a server refuses and the policy rightly does not: each case was looked at, and is as narrow as could be.

What is asked about here is the `bare` statement.

- A function of the gatekeeper's list that this server lacks is looked for among the stored ones (docs/policy.md).
- Who has rights on some columns is told 1143 for one that is not there.
- With RETURNING or ON DUPLICATE KEY UPDATE, MariaDB wants SELECT on columns that an INSERT fills, whatever it reads.
- In VALUES, also in a subquery there, a column of the table is the new row's; MySQL wants SELECT on it.
- MariaDB wants INSERT on columns of the new row that VALUES reads, though none but those that are listed is filled.
- The servers want SELECT on the target of `DELETE t FROM t`.
"""

import re
from typing import Final

from pymysql.constants import ER

from gatekeeper.analysis import ALLOWED_FUNCTIONS
from tests.fuzz.world import COLUMNS, FILLED

# Errors that say: you may not. 1792 is "cannot execute statement in a READ ONLY transaction", 1290 an option that
# forbids it (files), 1148, 3948 and 4166 LOCAL INFILE, 1227 an administrator's privilege, 1410 GRANT, 1370 routines,
# 1345 and 1356 what lies under a view.
MAY_NOT: Final = {
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.PROCACCESS_DENIED_ERROR,
    ER.NONEXISTING_GRANT,
    1148,
    1290,
    1345,
    1356,
    1410,
    1792,
    3948,
    4166,
}
_WRITTEN_COLUMNS = frozenset(FILLED.split(", "))
_INSERTS = frozenset({"insert", "replace"})
_DENIED = re.compile(r"([A-Z, ]+) command denied .* column '([^']*)' in table '([^']*)'")
_ROUTINE = re.compile(r"routine '\w+\.([^']*)'")
_VALUES = re.compile(r"\b(?:VALUES?|SELECT)\b", re.IGNORECASE)
_LIST_END = re.compile(r"\b(?:VALUES?|SELECT|SET)\b", re.IGNORECASE)
_ROW_ALIAS = re.compile(r"\)\s*AS\s+`?(\w+)", re.IGNORECASE)
_DUPLICATE = re.compile(r"\bDUPLICATE\s+KEY\s+UPDATE\b", re.IGNORECASE)
_RETURNING = re.compile(r"\bRETURNING\b", re.IGNORECASE)
# `DELETE t FROM`, or `DELETE FROM t USING` where that is no JOIN's.
_DELETE_FROM = re.compile(r"\bDELETE\b.*?\bFROM\b(?:[^()]*?\bUSING\b(?!\s*\())?", re.IGNORECASE | re.DOTALL)
# A string or quoted name, or a comment, outside of those.
_COMMENT = re.compile(
    r"""('(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `[^`]*`) | /\*.*?\*/ | --(?=\s|\Z)[^\n]* | \#[^\n]*""",
    re.DOTALL | re.VERBOSE,
)
_EXPLAIN = re.compile(r"\s*(?:EXPLAIN|DESCRIBE|DESC)\b(?:\s+FORMAT\s*=\s*\w+)?\s*", re.IGNORECASE)


def bare(kind: str, sql: str) -> tuple[str, str]:
    """A statement's kind and its text without comments; of EXPLAIN, those of the statement that it explains."""
    text = _COMMENT.sub(lambda found: found[1] or " ", sql)
    if kind != "explain":
        return kind, text
    explained = _EXPLAIN.sub("", text, count=1)
    return explained.lstrip("( \n").partition(" ")[0].lower(), explained


def is_known(errno: int, text: str, kind: str, sql: str) -> bool:
    """Whether the text of the error and the statement alone show one of the cases."""
    if errno == ER.PROCACCESS_DENIED_ERROR:
        routine = _ROUTINE.search(text)
        return bool(routine and routine[1].lower() in ALLOWED_FUNCTIONS)
    denied = _DENIED.search(text) if errno == ER.COLUMNACCESS_DENIED_ERROR else None
    if denied is None:
        return False
    right, _, table = denied.groups()
    if kind not in _INSERTS or "INSERT" not in right:
        return False
    return not any(fills(sql, name) for name in COLUMNS.get(table.lower(), ()) if name not in _WRITTEN_COLUMNS)


def may_lack(errno: int) -> bool:
    """Whether it may be that the column is not there: then the server says so to an account with all rights."""
    return errno == ER.COLUMNACCESS_DENIED_ERROR


def only_filled(errno: int, text: str, kind: str, sql: str) -> tuple[str, str] | None:
    """The table and column of the new row that a server takes for one that is read; None where it may be another's.

    Whether it reads it besides, by its value, is for the server to say (influence.py).
    """
    denied = _DENIED.search(text) if errno == ER.COLUMNACCESS_DENIED_ERROR and kind in _INSERTS else None
    if denied is None or denied[1].strip() != "SELECT":
        return None
    column, table = denied[2].lower(), denied[3].lower()
    if column not in COLUMNS.get(table, ()):  # an alias, which is no table that is filled
        return None
    shown = any("*" in part or _has(part, column) for part in _RETURNING.split(sql)[1:])
    return (table, column) if not shown and (fills(sql, column) or _only_new_row(sql, table)) else None


def _only_new_row(sql: str, table: str) -> bool:
    """Whether an INSERT has no place where a stored row of its table could be meant."""
    named = len(re.findall(rf"\b{re.escape(table)}\b", sql, re.IGNORECASE))
    return named == 1 and not _DUPLICATE.search(sql) and not _RETURNING.search(sql)


def as_select(sql: str) -> str | None:
    """The SELECT that reads what a DELETE with several tables reads; None for other statements."""
    selecting, replaced = _DELETE_FROM.subn("SELECT 1 FROM", sql, count=1)
    return selecting if replaced else None


def fills(sql: str, column: str) -> bool:
    """Whether an INSERT names the column before its values, or gives it another one where the key is there already."""
    given = _DUPLICATE.split(sql)[1:]
    assigned = rf"\b{re.escape(column)}`?\s*="
    return _has(_VALUES.split(sql)[0], column) or any(re.search(assigned, part, re.IGNORECASE) for part in given)


def uses(sql: str, column: str) -> bool:
    """Whether an INSERT names the column elsewhere than where it is filled: in its list, assigned to, in VALUES()."""
    name = rf"(?:`?\w+`?\.)*`?{re.escape(column)}`?"
    filled = rf"\bVALUES?\s*\(\s*{name}\s*\)|(?:\bSET|\bUPDATE|,)\s*{name}\s*="
    alias = _ROW_ALIAS.search(sql)  # what is qualified by it is the new row's
    if alias:
        filled += rf"|\b{alias[1]}`?\.`?{re.escape(column)}`?"
    left = re.sub(filled, ",", sql, flags=re.IGNORECASE)
    listed = _has(_LIST_END.split(sql)[0], column)
    return len(re.findall(rf"\b{re.escape(column)}\b", left, re.IGNORECASE)) > listed


def _has(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) is not None
