"""What a call says of its effect when the server fails it in ways that are hard to bring about."""

from collections.abc import Mapping
from typing import Any, cast

import pymysql
import pytest

from proxy.calls import NotUndone, call
from proxy.connection import Connection, Rows

CALL = "CALL p()"
DEADLOCK = pymysql.OperationalError(1213, "Deadlock found", sqlstate="40001")
GONE = pymysql.OperationalError(1305, "SAVEPOINT gatekeeper_call does not exist")
LOST = pymysql.OperationalError(2013, "Lost connection to MySQL server during query")


class Answering:
    """The one answer of a procedure that returns no rows."""

    def collect(self, *_: Any, **__: Any) -> Rows:
        return Rows([], [], 1, None, truncated=False, returned_rows=0)

    def following(self) -> None:
        return None


class FakeConnection:
    """Raises the error that stands for a statement's first word, and remembers what was run."""

    def __init__(self, errors: Mapping[str, pymysql.MySQLError]) -> None:
        self._errors = errors
        self.ran: list[str] = []

    def query(self, sql: str, *_: Any) -> None:
        self.start(sql)

    def start(self, sql: str) -> Answering:
        word = sql.split(maxsplit=1)[0]
        self.ran.append(word)
        if word in self._errors:
            raise self._errors[word]
        return Answering()


# the errors of the server: what is raised, and whether everything is undone
FAILURES: dict[str, tuple[Mapping[str, pymysql.MySQLError], pymysql.MySQLError, bool]] = {
    "an error, rolled back": ({"CALL": DEADLOCK}, DEADLOCK, True),
    "an error, the transaction is gone": ({"CALL": DEADLOCK, "ROLLBACK": GONE}, DEADLOCK, False),
    "lost": ({"CALL": LOST, "ROLLBACK": LOST}, LOST, False),
    "a commit that is refused": ({"COMMIT": DEADLOCK}, DEADLOCK, True),
    "a commit that is refused, after another": ({"RELEASE": GONE, "COMMIT": DEADLOCK}, DEADLOCK, False),
}


@pytest.mark.parametrize(("errors", "raised", "undone"), FAILURES.values(), ids=FAILURES)
def test_a_call_is_undone_only_when_its_transaction_is_known_to_be_whole(
    errors: Mapping[str, pymysql.MySQLError], raised: pymysql.Error, undone: bool
) -> None:
    with pytest.raises(pymysql.Error) as caught:
        call(cast("Connection", FakeConnection(errors)), CALL, 1, 1, None)
    assert (caught.value.args, caught.value.sqlstate) == (raised.args, raised.sqlstate)
    assert isinstance(caught.value, NotUndone) is not undone


def test_a_call_is_one_transaction() -> None:
    connection = FakeConnection({})
    call(cast("Connection", connection), CALL, 1, 1, 1)
    assert connection.ran == ["START", "SAVEPOINT", "CALL", "RELEASE", "COMMIT"]
