"""What a proxy is told: proxy.toml (docs/operations.md describes each member) and the accounts' file."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from contract import settings
from contract.messages import MAX_TIMEOUT_MS
from contract.settings import Tls
from contract.transactions import MOST_OPEN

Milliseconds = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proxy's settings. Addresses are HOST:PORT, the rest of the names are paths.

    `pool_size`: connections per node and account, fewer for calls and DDL (proxy/node.py). `max_in_flight`: requests at
    once; one more is answered 503. `max_answer_bytes`: of one JSON answer, `max_collected_bytes`: of all that are being
    collected, as the server sends them; a stream counts for neither. `writes`: `manager` sends all but reads to the
    manager while it is up, `any` to the nodes that the implementation chooses. `hedge_reads`: those that are slow are
    asked of a second node (proxy/hedging.py). `idempotency_keep_s`: how long the
    answer to a write with a key is kept. `max_transactions`: of several requests, open at once; each holds
    a connection, for `transaction_ms` at most, and `transaction_idle_ms` without a statement. `accounts` must be
    readable by its owner only. `tls` may be left out on a loopback address only.
    """

    name: str
    listen: str
    inventory: str
    accounts: str
    ssh_key: str
    known_hosts: str
    runtime_directory: str
    engine: Literal["galera", "ndb", "standalone"]
    metrics_listen: str | None = None
    tunnel: Literal["openssh", "sshtunnel"] = "openssh"
    writes: Literal["manager", "any"] = "manager"
    pool_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 32
    max_in_flight: Annotated[int, msgspec.Meta(ge=1)] = 256
    connect_timeout_ms: Milliseconds = 3_000
    hedge_reads: bool = False
    probe_interval_ms: Milliseconds = 1_000
    max_answer_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 << 20
    idempotency_keep_s: Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)] = 86_400
    transaction_ms: Annotated[int, msgspec.Meta(ge=1, le=MAX_TIMEOUT_MS)] = 60_000
    transaction_idle_ms: Annotated[int, msgspec.Meta(ge=1, le=MAX_TIMEOUT_MS)] = 10_000
    max_transactions: Annotated[int, msgspec.Meta(ge=0, le=MOST_OPEN)] = 16
    max_collected_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 128 << 20
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    tls: Tls | None = None


class Accounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The database accounts, one for each effect: reads, writes, calls of procedures, DDL, the queue."""

    reader_user: str
    reader_password: str
    writer_user: str
    writer_password: str
    caller_user: str
    caller_password: str
    builder_user: str
    builder_password: str
    queue_user: str
    queue_password: str

    def __repr__(self) -> str:
        users = (self.reader_user, self.writer_user, self.caller_user, self.builder_user, self.queue_user)
        return f"Accounts({', '.join(map(repr, users))}, passwords hidden)"


def accounts_of(of: Settings) -> Accounts:
    """The accounts in the file that the settings name. Raises SettingsError."""
    return settings.load(Path(of.accounts), Accounts, secret=True)
