"""Changed statements: tokens put in, taken out, exchanged, and pieces of one statement in another.

What is put in are the things that judges of SQL trip over: words of clauses, of other dialects, forbidden names, odd
quotes and white space, numbers that touch words.
"""

import re
from collections.abc import Sequence
from random import Random

from gatekeeper.analysis.words import GRAMMAR

_TOKEN = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"[^"]*"|`[^`]*`|\w+|\s+|.""", re.DOTALL)
_LONGEST_TOKEN = 40


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(";"))


_NAMES = _listed(
    "staff;shop.staff;secret_db.flags;password;flag;name;notes;customers;orders;products;seq;v_secret;*;c.*;customers.*"
    ";`notes`;c.notes;new.name;DEFAULT;1;'x';1e1;1.;0x1;N'a';x'41';_gbk'a';?;:p;(SELECT password FROM staff)"
    ";(SELECT notes FROM customers LIMIT 1);leak();sleep(0);nextval(seq);VALUES(name);ROW(1,2);(;);,;.;`;--;--?;#;@;{;}"
    ";:=;/*;*/;/*!;/*+ X */;\xa0;\n;\0;||;->'$.a';->>'$.a';_utf8mb4;_binary;X'41';b'1';N'x';{fn ;{d ;@@version;n.name"
    ";n.notes;_rowid;row_start;z.*;shop.;p0;INTERVAL;DATE;o.status;DEFAULT(notes);VALUES(notes);VALUE(notes);LENGTH(notes)"
)
_CLAUSES = _listed(
    "FROM;JOIN;UNION SELECT;AS;WITH;NATURAL JOIN;USING (id);WHERE;RETURNING *;ON DUPLICATE KEY UPDATE;LATERAL;TABLE"
    ";STRAIGHT_JOIN;PARTITION (p0);OVER ();GROUP BY 1 WITH ROLLUP;LIMIT 1;INTO;INTO @a;FOR UPDATE;IGNORE;QUICK;DUAL"
    ";EXISTS;NOT;INTERVAL 1 DAY;COLLATE utf8mb4_bin;MEMBER OF ('[1]');AGAINST ('x');MATCH (notes);SOUNDS LIKE;BINARY"
    ";AS n (a, b);LATERAL (SELECT notes FROM customers) z;FOR SYSTEM_TIME ALL;QUALIFY 1;INTERSECT ALL SELECT"
    ";MINUS SELECT;WITH x AS (SELECT notes FROM customers);USE INDEX ();OFFSET 1 ROWS;FETCH FIRST 1 ROW ONLY"
    ";CYCLE id RESTRICT;HISTORY;FULL JOIN;FILTER (WHERE 1);RETURNING name;ESCAPE '';ROLLUP (id);IGNORE NULLS;FROM FIRST"
    ";WINDOW w AS ();OVER w;CASE;END;VALUES;SET;DELETE;UPDATE;INSERT;REPLACE;SELECT;AS new;RECURSIVE;AGAINST;OF"
    ";CONVERT(notes USING utf8mb4);SQL_CACHE"
)
# Of other dialects, which the parser knows and servers don't, or read as a name.
_FOREIGN = _listed(
    "ONLY;FINAL;SAMPLE;QUALIFY;PIVOT;UNPIVOT;ASOF;SEMI;ANTI;GLOBAL;TOP;PREWHERE;SETTINGS;FORMAT;CLUSTER;DISTRIBUTE;SORT"
    ";UNNEST;APPLY;TABLESAMPLE;ORDINALITY;POSITIONAL;ARRAY;STRUCT;MAP;FILTER;WITHIN;RESPECT;NULLS;FIRST;LAST;ILIKE;GLOB"
    ";OVERLAPS;SIMILAR;NEXT;VALUE;PRIOR;CONNECT;START;MATCH_RECOGNIZE;AT;ZONE"
)


class Mutations:
    """Changes statements by a source of chance, which is asked in the same order for the same seed."""

    def __init__(self, chance: Random, statements: Sequence[str]) -> None:
        self._chance = chance
        self._torn: list[list[str]] = [_TOKEN.findall(statement) for statement in statements]
        self._pool = [token for tokens in self._torn for token in tokens if len(token) < _LONGEST_TOKEN]
        spaced = [[f" {word} " for word in words] for words in (_CLAUSES, sorted(GRAMMAR), _FOREIGN)]
        self._words: list[Sequence[str]] = [_NAMES, spaced[0], *spaced]

    def changed(self, statement: str) -> str:
        """The statement with one to six changes."""
        tokens = _TOKEN.findall(statement)
        for _ in range(self._chance.choice((1, 1, 1, 2, 2, 3, 4, 6))):
            self._change(tokens)
        return "".join(tokens)

    def _change(self, tokens: list[str]) -> None:
        makers = (self._put_in, self._take_out, self._exchange, self._swap, self._graft, self._squeeze)
        self._chance.choices(makers, weights=(50, 15, 10, 7, 10, 8))[0](tokens)

    def _any_word(self) -> str:
        if self._chance.random() < 0.3:
            return self._chance.choice(self._pool)
        return self._chance.choice(self._chance.choice(self._words))

    def _put_in(self, tokens: list[str]) -> None:
        tokens.insert(self._chance.randrange(len(tokens) + 1), self._any_word())

    def _take_out(self, tokens: list[str]) -> None:
        if tokens:
            del tokens[self._chance.randrange(len(tokens))]

    def _exchange(self, tokens: list[str]) -> None:
        if tokens:
            tokens[self._chance.randrange(len(tokens))] = self._any_word()

    def _swap(self, tokens: list[str]) -> None:
        if tokens:
            here, there = (self._chance.randrange(len(tokens)) for _ in range(2))
            tokens[here], tokens[there] = tokens[there], tokens[here]

    def _graft(self, tokens: list[str]) -> None:
        """A piece of another statement."""
        other = self._chance.choice(self._torn)
        first = self._chance.randrange(len(other))
        at = self._chance.randrange(len(tokens) + 1)
        tokens[at:at] = other[first : first + self._chance.randrange(1, 9)]

    def _squeeze(self, tokens: list[str]) -> None:
        """Without some of the white space."""
        tokens[:] = [token for token in tokens if not token.isspace() or self._chance.random() > 0.3]
