"""Statements from a grammar: SELECT with joins, subqueries, CTEs, windows and set operations, and the four writes.

Most speak of tables that some role may use, some of those that none may: a statement that is wrong in one place and
right in all others asks more of a judge than noise does.
"""

import re
from collections.abc import Callable
from random import Random

from gatekeeper.analysis import ALLOWED_FUNCTIONS
from tests.fuzz.features import TEMPLATES
from tests.fuzz.world import COLUMNS, FORBIDDEN_COLUMNS


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_DEEPEST = 3
_FUNCTIONS = _listed(
    "COUNT MAX MIN SUM AVG UPPER LENGTH COALESCE CONCAT IFNULL NULLIF MD5 HEX ABS ROUND JSON_EXTRACT GROUP_CONCAT"
    " DATE LEFT IF leak secret_db.leak SLEEP LOAD_FILE NEXTVAL LAST_INSERT_ID DATABASE USER VERSION EXTRACTVALUE"
)
_ALLOWED = sorted(ALLOWED_FUNCTIONS)
_LITERALS = ("1", "0", "-1", "'x'", "''", "NULL", "?", "'2024-01-01'", "1.5", "TRUE", "0x41", "'$.lang'", "DEFAULT")
_OPERATORS = _listed("= <> < >= <=> + - * / % DIV AND OR XOR LIKE REGEXP || && & << COLLATE")
_JOINS = (" JOIN ", " LEFT JOIN ", ", ", " NATURAL JOIN ", " CROSS JOIN ", " STRAIGHT_JOIN ", " RIGHT JOIN ")
_SET_OPERATORS = (" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ")
_FRAMES = (
    " ROWS UNBOUNDED PRECEDING",
    " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
    " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    " ROWS BETWEEN ? PRECEDING AND 1 FOLLOWING",
)
_HOLE = re.compile("<([tucdklew])>")


class Grammar:
    """Makes statements by a source of chance: the same source, the same statements."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._scope: list[tuple[str, tuple[str, ...]]] = []

    def statement(self) -> str:
        """One statement of any kind."""
        makers: tuple[Callable[[], str], ...] = (self._insert, self._update, self._delete)
        self._scope = []
        if self._chance.random() < 0.1:
            return self._other()
        if self._chance.random() < 0.6:
            return self._with() + self._query(0)
        return self._chance.choice(makers)()

    def feature(self) -> str:
        """One statement from a template."""
        tables = self._chance.sample(list(COLUMNS), 2)
        if self._chance.random() < 0.12:
            tables[self._chance.randrange(2)] = self._chance.choice(list(FORBIDDEN_COLUMNS))
        columns = [{**COLUMNS, **FORBIDDEN_COLUMNS}[name] for name in tables]
        same = [self._chance.choice(names) for names in columns]
        self._scope = list(zip(tables, columns, strict=True))[: self._chance.choice((1, 1, 2))]
        fillings: dict[str, Callable[[], str]] = {
            "t": lambda: tables[0],
            "u": lambda: tables[1],
            "c": lambda: self._chance.choice(columns[0]),
            "d": lambda: self._chance.choice(columns[1]),
            "k": lambda: same[0],
            "l": lambda: same[1],
            "e": lambda: self._expression(2),
            "w": lambda: self._condition(2),
        }
        return _HOLE.sub(lambda hole: fillings[hole[1]](), self._chance.choice(TEMPLATES))

    def _other(self) -> str:
        """What is no query and no change of rows: it tells of tables, or of how a statement would run."""
        table = self._table("").split(" ")[0]
        forms = (
            f"EXPLAIN {self._query(1)}",
            f"EXPLAIN {self._update()}",
            f"TABLE {table} LIMIT 1",
            f"VALUES ({self._expression(1)}, 1), (2, 3)",
            f"DESCRIBE {table}",
            f"SHOW COLUMNS FROM {table}",
            f"SHOW CREATE TABLE {table}",
            f"SHOW INDEX FROM {table}",
            "SHOW TABLES",
            "CALL p_leak()",
            "CALL secret_db.p_leak()",
        )
        return self._chance.choice(forms)

    def _maybe(self, probability: float, make: Callable[[], str]) -> str:
        return make() if self._chance.random() < probability else ""

    def _with(self) -> str:
        def cte() -> str:
            name = self._chance.choice(("x", "y", "customers", "staff"))
            text = f"WITH {self._maybe(0.2, lambda: 'RECURSIVE ')}{name} AS ({self._query(1)}) "
            self._scope.append((name, ("id", "name", "email")))
            return text

        return self._maybe(0.15, cte)

    def _query(self, depth: int) -> str:
        text = self._select(depth)
        if depth < _DEEPEST and self._chance.random() < 0.12:
            text += self._chance.choice(_SET_OPERATORS) + self._select(depth + 1)
        return text

    def _select(self, depth: int) -> str:
        outer = list(self._scope)
        tables = self._from(depth)
        items = ", ".join(self._item(depth) for _ in range(self._chance.choice((1, 1, 2, 3))))
        text = f"SELECT {self._maybe(0.1, lambda: 'DISTINCT ')}{items}{tables}"
        text += self._maybe(0.5, lambda: f" WHERE {self._condition(depth)}")
        text += self._maybe(0.15, lambda: f" GROUP BY {self._column()}")
        text += self._maybe(0.08, lambda: f" HAVING {self._condition(depth)}")
        text += self._maybe(0.2, lambda: f" ORDER BY {self._expression(depth)}")
        text += self._maybe(0.2, lambda: f" LIMIT {self._chance.choice(('1', '2', '?', '1 OFFSET 1'))}")
        text += self._maybe(0.02, lambda: self._chance.choice((" FOR UPDATE", " INTO @x", " LOCK IN SHARE MODE")))
        self._scope = outer
        return text

    def _from(self, depth: int) -> str:
        if self._chance.random() < 0.04:
            return ""
        text = " FROM " + self._source(depth)
        while self._chance.random() < 0.3:
            join = self._chance.choice(_JOINS)
            text += join + self._source(depth)
            if join.strip() in {"JOIN", "LEFT JOIN", "RIGHT JOIN"}:
                text += self._chance.choice((f" ON {self._condition(depth)}", " USING (id)", " USING (id, name)"))
        return text

    def _source(self, depth: int) -> str:
        alias = f"t{len(self._scope)}"
        if depth < _DEEPEST and self._chance.random() < 0.12:
            return self._derived(depth, alias)
        return self._table(alias)

    def _derived(self, depth: int, alias: str) -> str:
        """A derived table: with names of its own for its columns, LATERAL, a WITH within, or a table's name."""
        alias = self._chance.choice((alias, alias, alias, "staff", "customers"))
        lateral = self._maybe(0.15, lambda: "LATERAL ")
        outer = list(self._scope)
        text = f"{lateral}({self._with()}{self._query(depth + 1)}) {alias}"
        self._scope = [*outer, (alias, ("id", "name", "password"))]
        return text + self._maybe(0.25, lambda: self._chance.choice((" (id)", " (id, name)", " (email, password)")))

    def _table(self, alias: str) -> str:
        """A table, now and then by its schema, by an alias, or one that nobody may use."""
        tables = FORBIDDEN_COLUMNS if self._chance.random() < 0.04 else COLUMNS
        name = self._chance.choice(list(tables))
        written = name
        if "." not in name and self._chance.random() < 0.2:
            written = self._chance.choice((f"shop.{name}", f"`shop`.`{name}`", f"`{name}`"))
        if self._chance.random() < 0.5:
            self._scope.append((name.rpartition(".")[2], tables[name]))
            return written
        self._scope.append((alias, tables[name]))
        return f"{written}{self._chance.choice((' ', ' AS '))}{alias}"

    def _column(self) -> str:
        if not self._scope:
            return "id"
        table, columns = self._chance.choice(self._scope)
        column = self._chance.choice(columns)
        return self._chance.choice((column, f"{table}.{column}", f"{table}.`{column}`"))

    def _item(self, depth: int) -> str:
        draw = self._chance.random()
        if draw < 0.1:
            return "*"
        if draw < 0.15 and self._scope:
            return f"{self._chance.choice(self._scope)[0]}.*"
        return self._expression(depth) + self._maybe(0.2, lambda: f" AS {self._chance.choice(('a', 'name', '`key`'))}")

    def _condition(self, depth: int) -> str:
        return f"{self._column()} {self._chance.choice(_OPERATORS[:5])} {self._expression(depth + 1)}"

    def _expression(self, depth: int) -> str:
        draw = self._chance.random()
        if draw < 0.45 or depth >= _DEEPEST:
            return self._column() if draw < 0.3 else self._chance.choice(_LITERALS)
        forms: tuple[Callable[[int], str], ...] = (
            self._operation,
            self._call,
            self._subquery,
            self._case,
            self._window,
            self._in,
        )
        return self._chance.choices(forms, weights=(4, 5, 2, 1, 1, 1))[0](depth + 1)

    def _operation(self, depth: int) -> str:
        return f"({self._expression(depth)} {self._chance.choice(_OPERATORS)} {self._expression(depth)})"

    def _call(self, depth: int) -> str:
        arguments = ", ".join(self._expression(depth) for _ in range(self._chance.choice((0, 1, 1, 1, 2, 3))))
        return f"{self._chance.choice(self._chance.choice((_FUNCTIONS, _ALLOWED)))}({arguments})"

    def _subquery(self, depth: int) -> str:
        return f"{self._maybe(0.3, lambda: 'EXISTS ')}({self._query(depth)})"

    def _case(self, depth: int) -> str:
        return f"CASE WHEN {self._condition(depth)} THEN {self._expression(depth)} ELSE {self._column()} END"

    def _window(self, depth: int) -> str:
        function = self._chance.choice(("ROW_NUMBER()", "RANK()", f"SUM({self._column()})", f"LAG({self._column()})"))
        frame = self._maybe(0.4, lambda: self._chance.choice(_FRAMES))
        return f"{function} OVER (PARTITION BY {self._column()} ORDER BY {self._expression(depth)}{frame})"

    def _in(self, depth: int) -> str:
        inside = self._query(depth) if self._chance.random() < 0.5 else "1, 2, 'x'"
        return f"{self._column()} IN ({inside})"

    def _insert(self) -> str:
        verb = self._chance.choice(("INSERT INTO", "INSERT IGNORE INTO", "INSERT", "REPLACE INTO"))
        table = self._table("")
        columns = self._chance.sample(self._scope[-1][1], 2)
        text = f"{verb} {table.split(' ')[0]} ({', '.join(columns)}) "
        if self._chance.random() < 0.6:
            text += f"VALUES ({self._expression(1)}, {self._expression(1)})"
        else:
            text += f"SELECT {self._expression(1)}, {self._expression(1)}{self._from(1)}"
        text += self._maybe(0.2, lambda: f" ON DUPLICATE KEY UPDATE {columns[0]} = {self._expression(1)}")
        return text + self._maybe(0.15, lambda: f" RETURNING {self._item(1)}")

    def _update(self) -> str:
        tables = self._from(1).removeprefix(" FROM ") or self._source(1)
        changes = ", ".join(f"{self._column()} = {self._expression(1)}" for _ in range(self._chance.choice((1, 1, 2))))
        return f"UPDATE {tables} SET {changes}" + self._maybe(0.8, lambda: f" WHERE {self._condition(1)}")

    def _delete(self) -> str:
        if self._chance.random() < 0.7:
            text = f"DELETE FROM {self._table('').split(' ')[0]}"
        else:
            tables = self._from(1)
            names = [name for name, _ in self._scope] or ["orders"]
            targets = ", ".join(self._chance.sample(names, self._chance.randint(1, min(2, len(names)))))
            text = self._chance.choice((f"DELETE {targets}{tables}", f"DELETE FROM {targets} USING{tables[5:]}"))
        text += self._maybe(0.8, lambda: f" WHERE {self._condition(1)}")
        return text + self._maybe(0.1, lambda: f" RETURNING {self._item(1)}")
