"""What a load under faults is judged by."""

import msgspec
import pytest

from deploy.checks.load import Sent
from deploy.checks.verdict import judged

READ = Sent("read", 0, 1.0, 0.2, attempts=1)
WRITE = Sent("write", 1, 2.0, 0.5, attempts=1)
LOST = Sent("write", 3, 3.0, 4.0, error="upstream_failed: the node was lost", outcome="unknown")
REFUSED = Sent("write", 5, 4.0, 0.1, error="unavailable: no healthy node", outcome="not_executed")


def test_what_went_well_is_counted() -> None:
    again = msgspec.structs.replace(READ, number=2, attempts=3, seconds=1.5)
    verdict = judged([READ, again, WRITE, LOST], [1, 3], may_be_unknown=True)
    assert verdict.mistakes == ()
    assert str(verdict) == (
        "4 requests, 0 reads failed, 0 writes refused, 1 writes unknown (1 of them took effect),"
        " 1 tried again by the proxy, longest read 1.50 s, longest write 4.00 s"
    )


def test_a_load_that_sent_nothing_is_no_mistake() -> None:
    assert judged([], [], may_be_unknown=False).mistakes == ()


@pytest.mark.parametrize(
    ("sent", "kept", "mistake"),
    [
        pytest.param(
            Sent("read", 0, 1.0, 30.0, error="unavailable: no healthy node", outcome="not_executed"),
            [],
            "read 0, sent after 1.0 s, answered after 30.0 s: unavailable: no healthy node (not_executed)",
            id="a read that failed",
        ),
        pytest.param(
            Sent("read", 0, 1.0, 0.1, attempts=1, error="the rows () instead of 7"),
            [],
            "read 0, sent after 1.0 s, answered after 0.1 s: the rows () instead of 7 (None)",
            id="a read with other rows",
        ),
        pytest.param(
            REFUSED,
            [],
            "write 5, sent after 4.0 s, answered after 0.1 s: unavailable: no healthy node (not_executed)",
            id="a write that was refused",
        ),
        pytest.param(WRITE, [], "write 1, acknowledged, is kept 0 times", id="an acknowledged row that is lost"),
        pytest.param(WRITE, [1, 1], "write 1, acknowledged, is kept 2 times", id="a row that was written twice"),
        pytest.param(LOST, [3, 3], "write 3, unknown, is kept 2 times", id="an unknown row that was written twice"),
        pytest.param(WRITE, [1, 9], "1 rows are kept that were never sent", id="a row that nobody wrote"),
    ],
)
def test_a_mistake_is_told(sent: Sent, kept: list[int], mistake: str) -> None:
    assert judged([sent], kept, may_be_unknown=True).mistakes == (mistake,)


def test_a_refused_row_that_is_kept_is_a_second_mistake() -> None:
    assert judged([REFUSED], [5], may_be_unknown=True).mistakes[1:] == ("write 5, not_executed, is kept 1 times",)


def test_an_unknown_outcome_is_a_mistake_where_no_sql_node_was_lost() -> None:
    (mistake,) = judged([LOST], [3], may_be_unknown=False).mistakes
    assert mistake.startswith("write 3, sent after 3.0 s")
