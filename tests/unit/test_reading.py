"""Reading an answer's rows: turns for others, the deadline, and what rows take in memory."""

import time
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest

from proxy.connection import Answering


class FakePacket:
    """A row of the protocol, or the end of the rows."""

    def __init__(self, row: tuple[str, ...] | None) -> None:
        self.row = row

    def get_all_data(self) -> bytes:
        return b"".join(value.encode() + b" " for value in self.row or ())


def answering(rows: int, columns: int, read_timeout_s: float = 60.0) -> Answering:
    """An answer of so many rows of `x`, all of which are there."""
    packets = iter([*(FakePacket(("x",) * columns) for _ in range(rows)), FakePacket(None)])
    field = SimpleNamespace(name="x", type_code=253, flags=0, charsetnr=45, length=1)
    result = SimpleNamespace(
        fields=[field] * columns,
        unbuffered_active=True,
        _check_packet_is_eof=lambda packet: packet.row is None,
        _read_row_from_packet=lambda packet: packet.row,
    )
    driver: Any = SimpleNamespace(_result=result, _read_timeout=read_timeout_s, _read_packet=lambda: next(packets))
    return Answering(driver)


def test_others_get_a_turn_every_two_thousand_values(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[float] = []
    monkeypatch.setattr(time, "sleep", turns.append)
    assert sum(1 for _ in answering(rows=1_000, columns=100).rows()) == 1_000
    assert turns == [0] * 47


def test_an_answer_that_is_always_there_to_be_read_ends_at_its_deadline() -> None:
    with pytest.raises(pymysql.OperationalError, match="timed out"):
        list(answering(rows=1_000, columns=100, read_timeout_s=-1.0).rows())


def test_what_rows_take_is_more_than_their_bytes() -> None:
    grown: list[int] = []
    answering(rows=2, columns=10).collect(10, 1_000, grow=grown.append)
    assert grown == [10 * 2 + 10 * 64] * 2


@pytest.mark.parametrize(("to_the_end", "kept"), [(False, 10), (True, 1)])
def test_a_write_is_cut_off_by_what_its_rows_take_and_a_read_by_their_bytes(to_the_end: bool, kept: int) -> None:
    rows = answering(rows=10, columns=10).collect(100, 1_000, to_the_end=to_the_end)
    assert (len(rows.rows), rows.returned_rows) == (kept, 10)
