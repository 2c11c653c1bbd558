"""What clients asked for and were told, held against what the cluster has in the end. Pure.

In the manner of Jepsen's histories, with five kinds of writes whose every loss, doubling and late arrival shows:

    keyed      an insert with an Idempotency-Key, sent until its outcome is known: there once, or not at all
    plain      an insert without one, sent once: what its error says of its outcome must be true
    transfer   three statements as one transaction, with a key: sums stay, and each account is what its journal says
    register   updates of one row with keys, one after the other: the last one stays, so no earlier one arrives late
    later      an insert that is sent with a key until the queue has accepted it: there once, when all has run
    read       of a row that is there, sent until it is answered
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

Kind = Literal["keyed", "plain", "transfer", "register", "later", "read"]
# open: its sender gave up before it knew, which no keyed write and no read may end with.
Outcome = Literal["done", "not_done", "unknown", "open"]

FIRST_BALANCE: Final = 1_000


class Operation(msgspec.Struct, frozen=True):
    """What a client asked for, by its number there. `moved`: source, target and amount of a transfer.

    `began_s`, `ended_s`: seconds of a clock that all share.
    """

    kind: Kind
    client: int
    number: int
    outcome: Outcome
    attempts: int
    detail: str = ""
    moved: tuple[int, int, int] | None = None
    began_s: float = 0.0
    ended_s: float = 0.0

    @property
    def name(self) -> tuple[int, int]:
        """Its client and number."""
        return self.client, self.number


class Found(msgspec.Struct, frozen=True):
    """What the tables hold: rows of each insert, of each transfer, balances by account, values by client."""

    inserts: Mapping[tuple[int, int], int]
    journal: Sequence[tuple[int, int, int, int, int]]
    balances: Mapping[int, int]
    registers: Mapping[int, int]


def violations(history: Iterable[Operation], found: Found) -> list[str]:
    """What must not be, a sentence each; empty when all is well."""
    operations = list(history)
    return [
        *_open(operations),
        *_inserts([each for each in operations if each.kind in {"keyed", "plain", "later"}], found.inserts),
        *_transfers([each for each in operations if each.kind == "transfer"], found),
        *_registers([each for each in operations if each.kind == "register"], found.registers),
    ]


def _open(operations: Iterable[Operation]) -> Iterator[str]:
    for each in operations:
        if each.outcome == "open" or (each.outcome == "unknown" and each.kind != "plain"):
            yield f"{each.kind} {each.name} ended without a definite outcome: {each.detail}"


def _inserts(operations: Sequence[Operation], rows: Mapping[tuple[int, int], int]) -> Iterator[str]:
    for each in operations:
        yield from _times(each, rows.get(each.name, 0))
    for name in rows.keys() - {each.name for each in operations}:
        yield f"a row {name} that nobody wrote"


def _transfers(operations: Sequence[Operation], found: Found) -> Iterator[str]:
    rows = Counter((client, number) for client, number, *_ in found.journal)
    moved = {each.name: each.moved for each in operations}
    for each in operations:
        yield from _times(each, rows[each.name])
    for client, number, *told in found.journal:
        if moved.get((client, number)) != tuple(told):
            yield f"a transfer {client, number} of {told} that nobody asked for"
    balances = dict.fromkeys(found.balances, FIRST_BALANCE)
    for _, _, source, target, amount in found.journal:
        balances[source] = balances.get(source, FIRST_BALANCE) - amount
        balances[target] = balances.get(target, FIRST_BALANCE) + amount
    for account, balance in found.balances.items():
        if balance != balances[account]:
            yield f"account {account} has {balance}, by its journal {balances[account]}"


def _registers(operations: Sequence[Operation], values: Mapping[int, int]) -> Iterator[str]:
    last: dict[int, int] = {}
    for each in operations:
        if each.outcome == "done":
            last[each.client] = max(each.number, last.get(each.client, 0))
    for client, number in last.items():
        if values.get(client) != number:
            yield f"the register of {client} is {values.get(client)}, its last write was {number}"


def _times(operation: Operation, rows: int) -> Iterator[str]:
    """What is wrong with a write that is there so many times."""
    said = f"{operation.kind} {operation.name}, told {operation.outcome} after {operation.attempts} attempts"
    if rows > 1:
        yield f"{said}, was applied {rows} times"
    if operation.outcome == "done" and rows == 0:
        yield f"{said}, is lost"
    if operation.outcome == "not_done" and rows:
        yield f"{said} ({operation.detail}), is there"
