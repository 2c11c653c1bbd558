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


_ALL: Final = "SELECT, INSERT, UPDATE, DELETE"
_ASCII: Final = "CHARACTER SET ascii COLLATE ascii_bin"

TABLES: Final[Sequence[Table]] = (
    # proxy/ledger.py: an Idempotency-Key's row is written in the transaction of its write. `id` and `request` are
    # SHA-256, `expires` is in seconds since 1970. An answer is no BLOB: NDB keeps those in another table.
    Table(
        "ledger",
        "id BINARY(32) NOT NULL PRIMARY KEY, request BINARY(32) NOT NULL, answer VARBINARY(16000),"
        " expires BIGINT UNSIGNED NOT NULL, KEY (expires)",
        {"writer": _ALL},
    ),
    # orchestrator/store.py, orchestrator/claims.py: the queue. Times are milliseconds since 1970, by the server's
    # clock. A claim is the token of the lease that a request runs under; `turn` is 9 less the priority, so that the
    # next request is the first of an index. `answer` has a result's first page.
    Table(
        "requests",
        f"""\
id CHAR(32) {_ASCII} NOT NULL PRIMARY KEY,
owner VARCHAR(64) {_ASCII} NOT NULL,
fingerprint CHAR(64) {_ASCII} NOT NULL,
state VARCHAR(10) {_ASCII} NOT NULL,
turn TINYINT NOT NULL,
attempts SMALLINT NOT NULL,
max_attempts SMALLINT NOT NULL,
accepted_ms BIGINT NOT NULL,
due_ms BIGINT NOT NULL,
started_ms BIGINT NULL,
ended_ms BIGINT NULL,
claim CHAR(32) {_ASCII} NOT NULL,
lease_ms BIGINT NOT NULL,
body MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
answer MEDIUMTEXT CHARACTER SET utf8mb4 NULL,
problem TEXT CHARACTER SET utf8mb4 NULL,
INDEX next_ones (state, turn, due_ms),
INDEX leases (state, lease_ms),
INDEX of_owner (owner, accepted_ms, id),
INDEX ended (ended_ms)""",
        {"queue": _ALL},
    ),
    # The other pages: under the claim that made them, so that two runs of a read can't mix theirs.
    Table(
        "results",
        f"""\
id CHAR(32) {_ASCII} NOT NULL,
claim CHAR(32) {_ASCII} NOT NULL,
page INT NOT NULL,
body MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
PRIMARY KEY (id, claim, page)""",
        {"queue": _ALL},
    ),
    # orchestrator/webhooks.py: who is told that a request has ended. Of one that is being sent, `due_ms` is the lease's
    # end. A table of its own, so that a database of an earlier version needs no change of another.
    Table(
        "webhooks",
        f"""\
id CHAR(32) {_ASCII} NOT NULL PRIMARY KEY,
owner VARCHAR(64) {_ASCII} NOT NULL,
url VARCHAR(1024) {_ASCII} NOT NULL,
state VARCHAR(10) {_ASCII} NOT NULL,
attempts SMALLINT NOT NULL,
due_ms BIGINT NOT NULL,
claim CHAR(32) {_ASCII} NOT NULL,
problem VARCHAR(32) {_ASCII} NULL,
INDEX due (state, due_ms)""",
        {"queue": _ALL},
    ),
    # How much of a large result is kept, for as long as it is: orchestrator/kept.py.
    Table(
        "kept",
        f"id CHAR(32) {_ASCII} NOT NULL PRIMARY KEY, owner VARCHAR(64) {_ASCII} NOT NULL, ended_ms BIGINT NOT NULL,"
        " bytes INT UNSIGNED NOT NULL, INDEX of_owner (owner, ended_ms)",
        {"queue": _ALL},
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
