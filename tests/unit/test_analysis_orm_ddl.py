"""The definitions that SQLAlchemy emits for a table that has some of everything are accepted."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import (
    AddConstraint,
    CreateIndex,
    CreateTable,
    DropConstraint,
    DropIndex,
    DropTable,
    ExecutableDDLElement,
)

from gatekeeper.analysis import analyse

METADATA = sa.MetaData()
PARENT = sa.Table(
    "parent",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50), nullable=False, unique=True, comment="it's"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)
CHILD = sa.Table(
    "child",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("parent_id", sa.ForeignKey("parent.id", ondelete="CASCADE", onupdate="SET NULL"), index=True),
    sa.Column("flag", sa.Boolean(create_constraint=True)),
    sa.Column("kind", sa.Enum("a", "b", name="kind_check", create_constraint=True)),
    sa.Column("document", sa.JSON),
    sa.Column("amount", sa.Numeric(10, 2), server_default="0"),
    sa.Column("made_at", sa.DateTime, server_default=sa.func.now()),
    sa.Column("changed_at", mysql.TIMESTAMP(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)")),
    sa.Column("octets", sa.LargeBinary(20)),
    sa.Column("key", sa.Uuid),
    sa.Column("text", sa.Text(collation="utf8mb4_bin")),
    sa.Column("long_text", mysql.LONGTEXT(charset="utf8mb4")),
    sa.Column("count", mysql.INTEGER(unsigned=True, zerofill=True)),
    sa.Column("tags", mysql.SET("x", "y")),
    sa.Column("share", sa.Double),
    sa.Column("at", sa.Time),
    sa.CheckConstraint("amount > 0", name="positive"),
    sa.UniqueConstraint("kind", "amount", name="once"),
    sa.Index("by_text", "text", mysql_length=10),
    sa.Index("by_words", "long_text", mysql_prefix="FULLTEXT"),
    comment="some of everything",
    mysql_engine="InnoDB",
    mysql_default_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)


def definitions() -> Iterator[str]:
    dialect = mysql.dialect()
    for table in (PARENT, CHILD):
        elements: list[ExecutableDDLElement] = [
            CreateTable(table),
            CreateTable(table, if_not_exists=True),
            DropTable(table, if_exists=True),
        ]
        # In the same order in every process that runs tests; they are sets.
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        elements += [make(index) for index in indexes for make in (CreateIndex, DropIndex)]
        named = [constraint for constraint in table.constraints if constraint.name]
        named.sort(key=lambda constraint: str(constraint.name))
        elements += [make(constraint) for constraint in named for make in (AddConstraint, DropConstraint)]
        yield from (str(element.compile(dialect=dialect)) for element in elements)


@pytest.mark.parametrize("text", list(definitions()), ids=lambda text: " ".join(text.split())[:60])
def test_a_definition_of_sqlalchemy_is_accepted(text: str) -> None:
    found = analyse(text, "s")
    assert found.effect == "schema"
    assert found.defines <= {("s", "parent"), ("s", "child")} >= found.reads
    assert found.defines
