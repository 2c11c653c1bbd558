"""The checker of histories finds what it is there for: a write that is lost, doubled, invented, or told wrongly."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chaos.history import Found, Kind, Operation, Outcome, violations

MOVED = (1, 2, 5)


def operation(kind: Kind, number: int, outcome: Outcome = "done") -> Operation:
    return Operation(kind, 0, number, outcome, 1, "503", MOVED if kind == "transfer" else None)


HISTORY = [
    operation("keyed", 1),
    operation("keyed", 2, "not_done"),
    operation("plain", 3),
    operation("plain", 4, "unknown"),
    operation("plain", 5, "unknown"),
    operation("transfer", 6),
    operation("transfer", 7, "not_done"),
    operation("register", 8),
    operation("register", 9),
    operation("register", 10, "not_done"),
]
FOUND: Mapping[str, Any] = {
    "inserts": {(0, 1): 1, (0, 3): 1, (0, 4): 1},
    "journal": [(0, 6, *MOVED)],
    "balances": {0: 1000, 1: 995, 2: 1005},
    "registers": {0: 9},
}


def test_a_history_in_which_all_is_well_has_no_violations() -> None:
    assert violations(HISTORY, Found(**FOUND)) == []


WRONG = {
    "a keyed write is lost": ({"inserts": {(0, 3): 1}}, "keyed (0, 1), told done after 1 attempts, is lost"),
    "a keyed write is doubled": ({"inserts": {(0, 1): 2, (0, 3): 1}}, "was applied 2 times"),
    "a write of unknown outcome is doubled": ({"inserts": {(0, 1): 1, (0, 3): 1, (0, 4): 2}}, "was applied 2 times"),
    "a refused write is there": ({"inserts": {(0, 1): 1, (0, 2): 1, (0, 3): 1}}, "told not_done"),
    "a row of nobody": ({"inserts": {(0, 1): 1, (0, 3): 1, (7, 7): 1}}, "(7, 7) that nobody wrote"),
    "half of a transfer": ({"balances": {0: 1000, 1: 995, 2: 1000}}, "account 2 has 1000, by its journal 1005"),
    "a transfer is lost": ({"journal": [], "balances": {1: 1000, 2: 1000}}, "transfer (0, 6), told done"),
    "a transfer is doubled": (
        {"journal": [(0, 6, *MOVED)] * 2, "balances": {1: 990, 2: 1010}},
        "transfer (0, 6), told done after 1 attempts, was applied 2 times",
    ),
    "a refused transfer is there": (
        {"journal": [(0, 6, *MOVED), (0, 7, *MOVED)], "balances": {}},
        "(0, 7), told not_done",
    ),
    "another amount than asked for": (
        {"journal": [(0, 6, 1, 2, 6)], "balances": {1: 994, 2: 1006}},
        "nobody asked for",
    ),
    "an earlier write arrives late": ({"registers": {0: 8}}, "the register of 0 is 8, its last write was 9"),
    "a refused update is there": ({"registers": {0: 10}}, "the register of 0 is 10, its last write was 9"),
}


@pytest.mark.parametrize(("changed", "said"), WRONG.values(), ids=WRONG)
def test_what_must_not_be_is_told(changed: dict[str, Any], said: str) -> None:
    found = violations(HISTORY, Found(**{**FOUND, **changed}))
    assert any(said in each for each in found), found


@pytest.mark.parametrize("outcome", ["open", "unknown"])
def test_a_keyed_write_must_end_with_a_definite_outcome(outcome: Outcome) -> None:
    (found,) = violations([operation("keyed", 1, outcome)], Found({(0, 1): 1}, [], {}, {}))
    assert found == "keyed (0, 1) ended without a definite outcome: 503"
