"""PyMySQL without any service: the limit through the tunnels, and the database alone. A process for each client."""

import contextlib
import random
from collections.abc import Iterator, Sequence

import pymysql

from benchmark import forked
from benchmark.errors import LoadFailed
from benchmark.forked import Ask
from benchmark.measurement import Sample
from benchmark.shapes import KEY, SCHEMA, Asked, Keys, Question
from proxy.connection import Login
from proxy.tunnels import LocalEnd

_TIMEOUT_S = 10


class DriverLoad:
    """Asks through the ends, of tunnels or of the servers' own; clients take them in turn. `host`: of a TCP end."""

    def __init__(self, ends: Sequence[LocalEnd], login: Login, asked: Asked, host: str = "127.0.0.1") -> None:
        self._ends = ends
        self._login = login
        self._asked = asked
        self._statement = asked.shape.statement.replace("?", "%s")
        self._host = host

    def check(self) -> None:
        """Asks once through every end. Raises LoadFailed."""
        for number in range(len(self._ends)):
            try:
                with self.connected(number) as ask:
                    if not ask(random.Random(number)):
                        raise LoadFailed("answered without the row")
            except pymysql.MySQLError as error:
                raise LoadFailed(f"can't be asked: {error}") from None

    def measure(self, clients: int, seconds: int) -> Sample:
        """One run. Raises LoadFailed."""
        return forked.measure(self.connected, clients, seconds)

    @contextlib.contextmanager
    def connected(self, number: int) -> Iterator[Ask]:
        """A connection of the client of that number. Raises pymysql.MySQLError."""
        keys = Keys(number)

        def ask(dice: random.Random) -> bool:
            question = dice.choice(self._asked.questions)
            cursor.execute(self._statement, _values(question, keys.take()))
            return tuple(cursor.fetchall()) == question.rows and (bool(question.rows) or cursor.rowcount == 1)

        with self._connect(self._ends[number % len(self._ends)]) as connection, connection.cursor() as cursor:
            yield ask

    def _connect(self, end: LocalEnd) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            user=self._login.user,
            password=self._login.password,
            unix_socket=end.unix_socket,
            host=self._host,
            port=end.port,
            database=SCHEMA,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_TIMEOUT_S,
            read_timeout=_TIMEOUT_S,
            ssl_disabled=True,  # the SSH tunnel encrypts
        )


def _values(question: Question, key: int) -> tuple[int | str, ...]:
    return tuple(key if value == KEY else value for value in question.params)
