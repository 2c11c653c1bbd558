"""What clients met of a fault is counted to that fault: all that was under way until the system was whole."""

from tests.chaos.figures import Window, by_fault
from tests.chaos.history import Kind, Operation, Outcome


def operation(kind: Kind, began: float, ended: float, attempts: int = 1, outcome: Outcome = "done") -> Operation:
    return Operation(kind, 0, 0, outcome, attempts, "503" if attempts > 1 else "", began_s=began, ended_s=ended)


HISTORY = [
    operation("read", 0, 1),
    operation("read", 9, 11.5, attempts=2),
    operation("read", 16, 17),
    operation("keyed", 12, 14),
    operation("transfer", 14, 19, attempts=3),
    operation("register", 50, 50.1),
    operation("plain", 10, 10.1),
    operation("plain", 11, 11.1, outcome="not_done"),
    operation("plain", 12, 12.1, outcome="unknown"),
    operation("plain", 40, 40.1, outcome="unknown"),
]


def test_each_fault_has_what_was_under_way_meanwhile() -> None:
    figures = by_fault(HISTORY, [Window("kill", 10, 15), Window("kill", 45, 51), Window("pause", 15.5, 18)])
    assert sorted(figures) == ["kill", "pause"]
    kill, pause = figures["kill"], figures["pause"]
    assert (kill.times, kill.longest_whole_s) == (2, 6)
    assert (kill.reads, kill.reads_again, kill.longest_read_s) == (1, 1, 2.5)
    assert (kill.keyed, kill.keyed_again, kill.longest_keyed_s) == (3, 1, 5)
    assert (kill.plain, kill.plain_failed, kill.plain_unknown) == (3, 1, 1)
    assert (kill.errors, pause.errors) == ({"503": 2}, {"503": 1})
    assert (pause.times, pause.reads, pause.keyed, pause.plain) == (1, 1, 1, 0)


def test_a_fault_that_nobody_met_has_no_longest() -> None:
    assert by_fault([], [Window("kill", 0, 1)])["kill"].longest_read_s == 0
