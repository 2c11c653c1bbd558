"""How a transaction of several requests is held open, and how it ends: once, whoever asks, whoever dies when.

It commits together with a row in the ledger (proxy/ledger.py) that says so. Where nobody knows how it ended, whoever
asks puts that row there himself, saying that it was rolled back: then it can't commit any more, on whatever node its
connection may still be alive, because InnoDB, NDB and Galera let only one of the two rows be.
"""

import hashlib

import msgspec
import pymysql

from contract.transactions import State
from proxy.connection import Connection
from proxy.ledger import BEGIN, DUPLICATE_KEY, LEDGER, MOST_ANSWER_BYTES, Undecided, literal
from proxy.transaction import before_commit

# What stands in the place of a request's hash.
_ENDED = hashlib.sha256(b"transaction").digest()


class Ending(msgspec.Struct, frozen=True):
    """The row that a transaction of several requests ends with: it is there with how it ended, or is made by who asks.

    `key` is the hash of its owner and its id; no Idempotency-Key has the same.
    """

    key: bytes
    keep_s: int

    def insertion(self, state: State) -> str:
        """The statement that says how it ended, for a transaction that has begun."""
        values = f"{literal(self.key)}, {literal(_ENDED)}, {literal(state.encode())}, UNIX_TIMESTAMP() + {self.keep_s}"
        into = f"INSERT INTO {LEDGER} (id, request, answer, expires)"
        return f"{into} SELECT {values} FROM DUAL WHERE @@SESSION.autocommit = 0"  # noqa: S608 hexadecimal, a number

    @property
    def lookup(self) -> str:
        """The statement that gives how it ended."""
        return f"SELECT answer FROM {LEDGER} WHERE id = {literal(self.key)}"  # noqa: S608 hexadecimal


def ending_of(owner: str, id_: str, keep_s: int) -> Ending:
    """The row of a transaction of several requests."""
    whose = owner.encode()
    return Ending(hashlib.sha256(b"transaction %d:%b%b" % (len(whose), whose, id_.encode())).digest(), keep_s)


def hold(connection: Connection) -> None:
    """Begins a transaction that stays open until COMMIT, ROLLBACK or the next reset. Raises pymysql.MySQLError."""
    connection.query(BEGIN, 1, 1)


def commit(connection: Connection, ending: Ending) -> None:
    """Commits a transaction that was held, together with the row that says so.

    Raises pymysql.MySQLError; its errno is in DUPLICATE_KEY where the row says already that it was rolled back.
    """
    with before_commit():
        connection.query(ending.insertion("committed"), 1, 1)
    connection.query("COMMIT", 1, 1)


def settle(connection: Connection, ending: Ending) -> State:
    """How a transaction ended that nobody knows of: as its row says, or by putting one there that it can't commit with.

    Raises Undecided, and pymysql.MySQLError, which may be a time-out: it is committing.
    """
    begun, claimed = connection.send_all(BEGIN, ending.insertion("rolled_back"))
    if isinstance(begun, pymysql.MySQLError):
        raise begun
    if not isinstance(claimed, pymysql.MySQLError):
        connection.query("COMMIT", 1, 1)
        return "rolled_back"
    if claimed.args[0] not in DUPLICATE_KEY:
        raise claimed
    connection.query("ROLLBACK", 1, 1)
    rows = connection.query(ending.lookup, 2, MOST_ANSWER_BYTES).rows
    if not rows:
        raise Undecided("the transaction's row is there no more")
    return "committed" if rows[0][0] == b"committed" else "rolled_back"
