"""The tables, and the clients that write to them until they are told to stop."""

import random
import threading
import time
from collections import Counter
from typing import Any, Final

import msgspec

from contract.messages import OWN_SCHEMA
from tests.chaos.history import FIRST_BALANCE, Found, Kind, Operation
from tests.chaos.sender import Sender, Told
from tests.chaos.target import Target

SCHEMA: Final = "rental"
ACCOUNTS: Final = 20
# What a keyed write may take in all: longer than any fault, so that an open one is a finding.
SETTLED_WITHIN_S: Final = 180.0
KINDS: Final[tuple[Kind, ...]] = ("keyed", "keyed", "keyed", "plain", "transfer", "register", "later", "read")

_QUEUED = f"SELECT COUNT(*) FROM {OWN_SCHEMA}.requests WHERE state IN ('queued', 'running')"
_EMPTY_WITHIN_S = 600.0
_MOST_ATTEMPTS = 20
_INSERT = "INSERT INTO chaos_insert (client, number) VALUES (?, ?)"
_READ = "SELECT value FROM chaos_register WHERE client = ?"
_REGISTER = "UPDATE chaos_register SET value = ? WHERE client = ?"


class Script(msgspec.Struct, frozen=True):
    """A run: it ends after so many minutes or operations. `lasts_s`: the least and the most that a fault lasts."""

    seed: int
    minutes: float
    operations: int
    kinds: tuple[Kind, ...] = KINDS
    clients: int = 8
    lasts_s: tuple[float, float] = (1.0, 8.0)


def create(target: Target, clients: int) -> None:
    """Makes the tables anew."""
    accounts = ", ".join(f"({account}, {FIRST_BALANCE})" for account in range(ACCOUNTS))
    registers = ", ".join(f"({client}, 0)" for client in range(clients))
    target.sql(
        *_tables(target.storage),
        f"INSERT INTO {SCHEMA}.chaos_account (id, balance) VALUES {accounts}",
        f"INSERT INTO {SCHEMA}.chaos_register (client, value) VALUES {registers}",
    )


def _tables(storage: str) -> list[str]:
    """No table but those of accounts and registers has a key that would refuse a second time."""
    columns = {
        "chaos_insert": "id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, number INT NOT NULL",
        "chaos_journal": "id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, number INT NOT NULL,"
        " source INT NOT NULL, target INT NOT NULL, amount INT NOT NULL",
        "chaos_account": "id INT PRIMARY KEY, balance BIGINT NOT NULL",
        "chaos_register": "client INT PRIMARY KEY, value INT NOT NULL",
    }
    made = []
    for name, definition in columns.items():
        made += [
            f"DROP TABLE IF EXISTS {SCHEMA}.{name}",
            f"CREATE TABLE {SCHEMA}.{name} ({definition}) ENGINE={storage}",
        ]
    return made


def found(target: Target) -> Found:
    """What the tables hold when all that was accepted has run. Raises TimeoutError."""
    end = time.monotonic() + _EMPTY_WITHIN_S
    while target.sql(_QUEUED) != [(0,)]:
        if time.monotonic() > end:
            raise TimeoutError(f"the queue was not empty within {_EMPTY_WITHIN_S:g} s")
        time.sleep(0.5)
    inserts = target.sql(f"SELECT client, number FROM {SCHEMA}.chaos_insert")
    journal = target.sql(f"SELECT client, number, source, target, amount FROM {SCHEMA}.chaos_journal")
    balances = target.sql(f"SELECT id, balance FROM {SCHEMA}.chaos_account")
    registers = target.sql(f"SELECT client, value FROM {SCHEMA}.chaos_register")
    return Found(
        Counter((row[0], row[1]) for row in inserts),
        [(row[0], row[1], row[2], row[3], row[4]) for row in journal],
        {row[0]: row[1] for row in balances},
        {row[0]: row[1] for row in registers},
    )


class Writers:
    """Clients that write side by side; `history` has all that they know."""

    def __init__(self, target: Target, script: Script) -> None:
        self._target = target
        self._script = script
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(script.clients)]
        self.history: list[Operation] = []
        self.replayed = 0

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=SETTLED_WITHIN_S + 60)

    @property
    def keyed(self) -> int:
        """How many writes with a key have ended."""
        return sum(operation.kind not in {"plain", "read"} for operation in tuple(self.history))

    def finished(self) -> bool:
        """Whether all that were to be written have ended."""
        return len(self.history) >= self._script.operations

    def _run(self, client: int) -> None:
        dice = random.Random(f"{self._script.seed} {client}")
        sender = Sender(self._target, dice)
        number = 0
        while not self._stop.is_set() and not self.finished():
            number += 1
            kind = dice.choice(self._script.kinds)
            began = time.monotonic()
            operation, told = _written(sender, dice, kind, client, number)
            with self._lock:
                self.history.append(msgspec.structs.replace(operation, began_s=began, ended_s=time.monotonic()))
                self.replayed += told.replayed


def _written(sender: Sender, dice: random.Random, kind: Kind, client: int, number: int) -> tuple[Operation, Told]:
    moved = None
    if kind == "plain":
        told = sender.send(_body(dice, _INSERT, [client, number]))
    elif kind == "later":
        body = {"query": _INSERT, "params": [client, number], "database": SCHEMA, "max_attempts": _MOST_ATTEMPTS}
        told = sender.later(body, f"later-{client}-{number}", time.monotonic() + SETTLED_WITHIN_S)
    elif kind == "read":
        told = sender.read(_body(dice, _READ, [client]), time.monotonic() + SETTLED_WITHIN_S)
    else:
        body = _body(dice, _INSERT, [client, number])
        if kind == "register":
            body = _body(dice, _REGISTER, [number, client])
        elif kind == "transfer":
            source, target = dice.sample(range(ACCOUNTS), 2)
            moved = source, target, dice.randint(1, 9)
            body = _transfer(dice, client, number, moved)
        told = sender.settle(body, f"{kind}-{client}-{number}", time.monotonic() + SETTLED_WITHIN_S)
    return Operation(kind, client, number, told.outcome, told.attempts, told.detail, moved), told


def _body(dice: random.Random, query: str, params: list[int]) -> dict[str, Any]:
    return {"query": query, "params": params, "implementation": dice.choice(["direct", "random", "customized"])}


def _transfer(dice: random.Random, client: int, number: int, moved: tuple[int, int, int]) -> dict[str, Any]:
    source, target, amount = moved
    statements = [
        {"query": "UPDATE chaos_account SET balance = balance - ? WHERE id = ?", "params": [amount, source]},
        {"query": "UPDATE chaos_account SET balance = balance + ? WHERE id = ?", "params": [amount, target]},
        {
            "query": "INSERT INTO chaos_journal (client, number, source, target, amount) VALUES (?, ?, ?, ?, ?)",
            "params": [client, number, source, target, amount],
        },
    ]
    return {"statements": statements, "implementation": dice.choice(["direct", "random", "customized"])}
