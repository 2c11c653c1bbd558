"""This system's own tables, in a schema of their own beside the application's: what makes them, and who may use them.

A table is one entry of TABLES. No statement of a client names this schema (gatekeeper/analysis), and no account has
rights on all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from contract.messages import OWN_SCHEMA


class Table(msgspec.Struct, frozen=True):
    """`columns`: what stands between the brackets of CREATE TABLE; `rights`: by the accounts' names in GRANTS."""

    name: str
    columns: str
    rights: Mapping[str, str]


TABLES: Final[Sequence[Table]] = (
    # proxy/ledger.py: an Idempotency-Key's row is written in the transaction of its write. `id` and `request` are
    # SHA-256, `expires` is in seconds since 1970. An answer is no BLOB: NDB keeps those in another table.
    Table(
        "ledger",
        "id BINARY(32) NOT NULL PRIMARY KEY, request BINARY(32) NOT NULL, answer VARBINARY(16000),"
        " expires BIGINT UNSIGNED NOT NULL, KEY (expires)",
        {"writer": "SELECT, INSERT, UPDATE, DELETE"},
    ),
)


def table_statements(storage: str) -> Iterator[str]:
    """What makes those that are missing. `storage`: InnoDB, or NDBCLUSTER, for a table that all SQL nodes share."""
    yield f"CREATE DATABASE IF NOT EXISTS `{OWN_SCHEMA}` CHARACTER SET utf8mb4"
    for table in TABLES:
        name = f"`{OWN_SCHEMA}`.`{table.name}`"
        yield f"CREATE TABLE IF NOT EXISTS {name} ({table.columns}) ENGINE={storage}"


def grant_statements(account: str, user: str) -> Iterator[str]:
    """What gives an account its rights. `account`: its name in GRANTS; `user`: as the server knows it, quoted."""
    for table in TABLES:
        if account in table.rights:
            yield f"GRANT {table.rights[account]} ON `{OWN_SCHEMA}`.`{table.name}` TO {user}"
