"""What a soak calls flat: the last quarter of its rounds holds no more than the second one."""

import pytest

from benchmark.soak import Footprint, flat


def rounds(memory: list[float], files: list[int]) -> list[Footprint]:
    return [Footprint(0, {"proxy": held}, {"proxy": opened}) for held, opened in zip(memory, files, strict=True)]


def test_what_warms_up_and_stays_is_flat() -> None:
    assert flat(rounds([50, 80, 100, 101, 99, 100, 102, 103], [20, 30, 30, 31, 30, 30, 31, 31])) == []


@pytest.mark.parametrize(
    ("memory", "files", "grown"),
    [
        ([100, 100, 100, 100, 105, 110, 115, 120], [30] * 8, "memory_mib of proxy grew from 100 to 118"),
        ([100] * 8, [30, 30, 30, 30, 32, 34, 36, 38], "files of proxy grew from 30 to 37"),
    ],
)
def test_what_grows_is_named(memory: list[float], files: list[int], grown: str) -> None:
    assert flat(rounds(memory, files)) == [grown]
