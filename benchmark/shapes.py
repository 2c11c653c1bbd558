"""What is asked: four shapes of statements, and for each of them questions with the rows that the database itself gave.

The same questions go to every target (benchmark/exchanges.py has how), and every answer is compared with these rows.
"""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeAlias

import msgspec

from deploy.providers.servers import AdminConnection

SCHEMA = "rental"
SEED = 20_240_229
INSERT_TABLE = "benchmark_insert"
# What stands for a key that is new each time; loads put one of as many digits in its place (`Keys`).
KEY = 900_000_000_000_000
KEY_MARK = str(KEY).encode()
RANGE_ROWS = 100

_NOTE = "kept for a moment"
_RANGES = 50  # each asked by many; more of them only make the load generators' files longer
_MOST_JOINED = 20  # what xmysql gives at most without being told otherwise
_CREATE_TABLE = f"CREATE OR REPLACE TABLE {SCHEMA}.{INSERT_TABLE} (id BIGINT PRIMARY KEY, note VARCHAR(40) NOT NULL)"

Value: TypeAlias = int | str | Decimal
Row: TypeAlias = tuple[Value, ...]


class Shape(msgspec.Struct, frozen=True):
    """One kind of statement. `columns`: of its answer, none for a write."""

    name: str
    title: str
    statement: str
    columns: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it changes rows."""
        return not self.columns


class Question(msgspec.Struct, frozen=True):
    """The parameters of a statement, and the rows that are right for them; a write changes one row."""

    params: tuple[int | str, ...]
    rows: tuple[Row, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """A shape with all its questions."""

    shape: Shape
    questions: tuple[Question, ...]


POINT = Shape(
    "point",
    "a film by its primary key",
    "SELECT film_id, title, rental_rate FROM film WHERE film_id = ?",
    ("film_id", "title", "rental_rate"),
)
RANGE = Shape(
    "range",
    f"{RANGE_ROWS} films by a range of keys",
    "SELECT film_id, title, rental_rate FROM film WHERE film_id BETWEEN ? AND ? ORDER BY film_id",
    ("film_id", "title", "rental_rate"),
)
JOIN = Shape(
    "join",
    "the actors of a film, a join of two tables",
    "SELECT a.actor_id, a.first_name, a.last_name FROM film_actor fa JOIN actor a ON a.actor_id = fa.actor_id "
    "WHERE fa.film_id = ? ORDER BY a.actor_id",
    ("actor_id", "first_name", "last_name"),
)
INSERT = Shape("insert", "an insert of a keyed row", f"INSERT INTO {INSERT_TABLE} (id, note) VALUES (?, ?)")  # noqa: S608

SHAPES = {shape.name: shape for shape in (POINT, RANGE, JOIN, INSERT)}


def prepare(connection: AdminConnection) -> dict[str, Asked]:
    """Makes the table that is written to, and the questions of every shape with their rows."""
    with connection.cursor() as cursor:
        cursor.execute(_CREATE_TABLE)
        cursor.execute(f"USE {SCHEMA}")
        cursor.execute("SELECT film_id, title, rental_rate FROM film ORDER BY film_id")
        films = cursor.fetchall()
        cursor.execute(
            "SELECT fa.film_id, a.actor_id, a.first_name, a.last_name FROM film_actor fa JOIN actor a USING (actor_id) "
            "ORDER BY fa.film_id, a.actor_id"
        )
        joined = cursor.fetchall()
    asked = (points_of(films), ranges_of(films), joins_of(joined), Asked(INSERT, (Question((KEY, _NOTE)),)))
    return {found.shape.name: found for found in asked}


def clean(connection: AdminConnection) -> None:
    """Removes all rows that were inserted, so that every run begins with the same table."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE TABLE {SCHEMA}.{INSERT_TABLE}")


class Keys:
    """Keys for the inserts of one client (below 66) in one run: up to a million, as many digits as KEY has.

    Another client has others, and so has another run within a day: what was still on its way when a run ended meets no
    key of the next. JavaScript's numbers hold them exactly.
    """

    def __init__(self, client: int) -> None:
        hundredths = int(time.time() * 100) % 10_000_000
        self._next = 100_000_000_000_000 + hundredths * 66_000_000 + client * 1_000_000

    def take(self) -> int:
        """The next key."""
        self._next += 1
        return self._next

    def put_into(self, request: bytes) -> bytes:
        """The request with the next key, if it is one of an insert."""
        return request.replace(KEY_MARK, str(self.take()).encode())


def points_of(films: tuple[Row, ...]) -> Asked:
    """A question for each film."""
    return Asked(POINT, tuple(Question((_key(row),), (row,)) for row in films))


def ranges_of(films: tuple[Row, ...]) -> Asked:
    """Some ranges of the films' keys, from the first to the last."""
    last_begin = len(films) - RANGE_ROWS
    begins = range(0, last_begin + 1, max(1, last_begin // (_RANGES - 1)))
    pieces = (films[begin : begin + RANGE_ROWS] for begin in begins)
    return Asked(RANGE, tuple(Question((_key(piece[0]), _key(piece[-1])), piece) for piece in pieces))


def joins_of(joined: tuple[Row, ...]) -> Asked:
    """A question for each film that has actors, but not more than every target gives at once; the first is its key."""
    return Asked(JOIN, tuple(_joins(joined)))


def _joins(joined: tuple[Row, ...]) -> Iterator[Question]:
    actors: dict[int, list[Row]] = {}
    for row in joined:
        actors.setdefault(_key(row), []).append(row[1:])
    for film, rows in actors.items():
        if len(rows) <= _MOST_JOINED:
            yield Question((film,), tuple(rows))


def _key(row: Row) -> int:
    return int(row[0])
