"""The ledger: what makes a write with an Idempotency-Key one that is done once, whoever dies when.

A write with a key and its row in `gatekeeper.ledger` are one transaction, in which the row comes first. So two attempts
of the same key, on whatever nodes, with whatever sessions still alive, meet at the row's primary key: InnoDB lets the
second wait for the first, NDB too, for a while (1205), and Galera fails the one that is certified later (1213). Then
the row is there, and with it the first answer, or it is not, and the first attempt has no effect.
"""

import hashlib

import msgspec
import pymysql

from contract.errors import BadRequest, Conflict, GatekeeperError, UpstreamFailed
from contract.messages import OWN_SCHEMA, Answer, ProxyRequest, Runnable
from proxy.connection import Connection

# What the column holds (deploy/engines/own_schema.py): rows of NDB have 30,000 bytes at most.
MOST_ANSWER_BYTES = 16_000

LEDGER = f"`{OWN_SCHEMA}`.`ledger`"
# 1062; and 1022, which NDB says of an INSERT that selects its values (MySQL NDB Cluster 9.7.2, 2026-11-28).
DUPLICATE_KEY = frozenset({1022, 1062})
# Of a write that was done, where the answer could not be put into its row.
_NOT_KEPT = Answer("", "", "", 1, 0.0, [], [], 0, None, truncated=True)
# Sent together with the INSERT, which does nothing unless it was heard: else the row could be committed alone.
BEGIN = "SET SESSION autocommit = 0"


class Claim(msgspec.Struct, frozen=True):
    """A key's row: `key` is the hash of owner and key, `request` that of what is asked for."""

    key: bytes
    request: bytes
    keep_s: int

    @property
    def insertion(self) -> str:
        """The statement that claims the key, for a transaction that has begun."""
        values = f"{literal(self.key)}, {literal(self.request)}, UNIX_TIMESTAMP() + {self.keep_s}"
        into = f"INSERT INTO {LEDGER} (id, request, expires)"
        return f"{into} SELECT {values} FROM DUAL WHERE @@SESSION.autocommit = 0"  # noqa: S608 hexadecimal, a number

    def keeping(self, answer: Answer) -> str:
        """The statement that keeps the answer."""
        kept = literal(encoded(answer))
        return f"UPDATE {LEDGER} SET answer = {kept} WHERE id = {literal(self.key)}"  # noqa: S608 hexadecimal

    @property
    def lookup(self) -> str:
        """The statement that gives the request and the answer that are known of the key."""
        return f"SELECT request, answer FROM {LEDGER} WHERE id = {literal(self.key)}"  # noqa: S608 hexadecimal


class Known(Exception):
    """The key's write was done before: the row's answer. Nothing else was executed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Undecided(Exception):
    """What became of a write with a key is in the ledger, and has to be looked for there once more."""

    def again(self, *, keyed: bool) -> bool:
        """The next attempt begins with the ledger."""
        return keyed

    def final(self, _effect: Runnable) -> GatekeeperError:
        """What the caller is told when nothing more is tried."""
        return UpstreamFailed("what became of the statement was not found out in time", outcome="unknown")


def claim_of(request: ProxyRequest, keep_s: int) -> Claim | None:
    """The claim of a request with a key. Raises BadRequest where its row would be removed too soon."""
    if request.idempotency is None:
        return None
    if request.idempotency.keep_s > keep_s:
        detail = f"keys are kept for {keep_s} s here, and the caller relies on {request.idempotency.keep_s} s"
        raise BadRequest(detail, rule="idempotency_keep")
    owner, key = request.idempotency.owner.encode(), request.idempotency.key.encode()
    asked = msgspec.json.encode((request.database, *request.all_statements()), order="deterministic")
    return Claim(hashlib.sha256(b"%d:%b%b" % (len(owner), owner, key)).digest(), hashlib.sha256(asked).digest(), keep_s)


def begin(connection: Connection, claim: Claim) -> None:
    """Begins a transaction that holds the key.

    Raises Known, Conflict for a key that was used with another request, Undecided where the row is gone again, and
    pymysql.MySQLError, which may be a time-out: another transaction with the key is still running.
    """
    begun, claimed = connection.send_all(BEGIN, claim.insertion)
    for outcome in (begun, claimed):
        if isinstance(outcome, pymysql.MySQLError):
            if outcome is claimed and outcome.args[0] in DUPLICATE_KEY:
                _recall(connection, claim)
            raise outcome


def _recall(connection: Connection, claim: Claim) -> None:
    connection.query("ROLLBACK", 1, 1)
    rows = connection.query(claim.lookup, 2, 4 * MOST_ANSWER_BYTES).rows
    if not rows:
        raise Undecided("the key's row is there no more")
    request, answer = rows[0]
    if request != claim.request:
        raise Conflict("the Idempotency-Key was used before, with another request", rule="idempotency_key")
    raise Known(_NOT_KEPT if answer is None else msgspec.json.decode(answer, type=Answer))


def encoded(answer: Answer) -> bytes:
    """The answer as it is kept: whole, or without its rows, which `truncated` says then."""
    whole = msgspec.json.encode(answer)
    return whole if len(whole) <= MOST_ANSWER_BYTES else msgspec.json.encode(_without_rows(answer))


def _without_rows(answer: Answer) -> Answer:
    results = answer.results
    if results is not msgspec.UNSET:
        results = [msgspec.structs.replace(each, columns=[], rows=[], truncated=True) for each in results]
    return msgspec.structs.replace(answer, columns=[], rows=[], results=results, truncated=True)


def expired(most: int) -> str:
    """The statement that removes so many rows that have expired."""
    return f"DELETE FROM {LEDGER} WHERE expires < UNIX_TIMESTAMP() LIMIT {most}"  # noqa: S608 a number


def literal(value: bytes) -> str:
    """The value as SQL has it."""
    return f"x'{value.hex()}'"
