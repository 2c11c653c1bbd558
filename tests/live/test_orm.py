"""What ORMs send is accepted: at least 99 in 100 of their statements, under the demonstration's policy (issue 3).

SQLAlchemy and Django, each over a model of the rental schema, through the DB-API and the live gateway. Reads go to the
sample, writes to a table that the test makes.
"""

# mypy: disable-error-code="import-untyped"
# Django ships no types.

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import django.db
import pytest
import sqlalchemy.exc
from sqlalchemy.orm import Session

from client import Client, dbapi
from tests.live import orm_django, orm_django_shapes, orm_sqlalchemy, orm_sqlalchemy_reads, orm_sqlalchemy_writes
from tests.live.orm_tally import ListeningConnection, Tally
from tests.live.system_fixtures import LiveSystem

ACCEPTED = 0.99
FEWEST = 300
REFUSALS = (sqlalchemy.exc.SQLAlchemyError, dbapi.Error)

SCRATCH = """CREATE OR REPLACE TABLE rental.orm_scratch (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60) NOT NULL UNIQUE, number INT, price DECIMAL(8,2),
  day DATE, moment DATETIME(6), flag BOOLEAN, data JSON)"""

Connect = Callable[[Tally, dbapi.ParamStyle], dbapi.Connection]


@pytest.fixture(name="connect")
def _connect(system: LiveSystem) -> Iterator[Connect]:
    """Connections to the gateway, to the manager alone so that what was written is read; and the scratch table."""

    def connected(tally: Tally, paramstyle: dbapi.ParamStyle) -> dbapi.Connection:
        client = stack.enter_context(Client(system.url, system.key))
        return ListeningConnection(tally, client, database="rental", implementation="direct_hit", paramstyle=paramstyle)

    with ExitStack() as stack, system.admin() as connection, connection.cursor() as cursor:
        cursor.execute(SCRATCH)
        yield connected
        cursor.execute("DROP TABLE rental.orm_scratch")


def check(tally: Tally, flavour: str) -> None:
    """Prints the counts and the refused; holds the share.

    The servers are MariaDB, so what is written for MariaDB must also run there; of what is written for MySQL, the
    database refuses MySQL's own syntax, after the gatekeeper accepted it.
    """
    print(tally.report())  # noqa: T201 - the measurement is what this test is for
    assert len(tally.texts) >= FEWEST
    assert tally.share >= ACCEPTED, tally.report()
    assert not tally.broken, tally.report()
    assert flavour == "mysql" or not tally.failed, tally.report()


@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
def test_what_sqlalchemy_sends_is_accepted(connect: Connect, flavour: str) -> None:
    tally = Tally(f"SQLAlchemy for {flavour}")
    engine = orm_sqlalchemy.engine(flavour, lambda: connect(tally, "qmark"))
    with Session(engine) as session:
        shapes = {**orm_sqlalchemy_reads.shapes(), **orm_sqlalchemy_writes.shapes()}
        tally.run({name: partial(in_session, session, shape) for name, shape in shapes.items()}, REFUSALS)
    engine.dispose()
    check(tally, flavour)


def in_session(session: Session, shape: Callable[[Session], None]) -> None:
    try:
        shape(session)
    except REFUSALS:
        session.rollback()
        raise


@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
def test_what_django_sends_is_accepted(connect: Connect, flavour: str) -> None:
    tally = Tally(f"Django for {flavour}")
    orm_django.speak_through(connect(tally, "format"), flavour)
    tally.run(orm_django_shapes.shapes(), (django.db.Error, dbapi.Error))
    check(tally, flavour)
