"""A value that follows its file."""

import itertools
import os
import time
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from contract import watched
from contract.watched import Watched


def read(path: Path) -> int:
    """The number in the file. Raises ValueError for anything else, and where there is none."""
    try:
        return int(path.read_text())
    except OSError as error:
        raise ValueError(str(error)) from None


_moments = itertools.count(1_000_000_000)


def put(path: Path, text: str) -> None:
    """Writes the file as of long ago, so that it counts as settled; each time another moment."""
    path.write_text(text)
    moment = next(_moments)
    os.utime(path, (moment, moment))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    put(tmp_path / "number", "1")
    return tmp_path / "number"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is logged from now on, whatever the process's logging is."""
    logger = CapturingLogger()
    monkeypatch.setattr(watched, "log", logger)
    return logger


def test_a_change_is_taken_up_with_the_next_look(path: Path, logged: CapturingLogger) -> None:
    number = Watched("number", path, read)
    assert number.current() == 1
    put(path, "2")
    assert [number.current(), number.current()] == [2, 2]
    assert [call.args for call in logged.calls] == [("number_read",)]


@pytest.mark.parametrize("change", ["broken", "gone"])
def test_a_broken_change_is_logged_once_and_the_last_good_value_stays_until_it_is_mended(
    path: Path, logged: CapturingLogger, change: str
) -> None:
    number = Watched("number", path, read)
    put(path, "x")
    if change == "gone":
        path.unlink()
    assert [number.current(), number.current()] == [1, 1]
    assert [(call.method_name, call.args) for call in logged.calls] == [("error", ("number_refused",))]
    assert number.problem == logged.calls[0].kwargs["reason"] != ""
    put(path, "3")
    assert (number.current(), number.problem) == (3, None)


def test_a_broken_file_is_an_error_at_the_start(path: Path) -> None:
    put(path, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        Watched("number", path, read)


def test_a_file_that_is_being_written_is_left_alone_until_it_has_settled(path: Path) -> None:
    number = Watched("number", path, read, settled_s=60)
    path.write_text("2")
    assert number.current() == 1
    earlier = time.time() - 61
    os.utime(path, (earlier, earlier))
    assert number.current() == 2


def test_a_file_that_was_put_in_place_whole_counts_at_once_however_old(path: Path, tmp_path: Path) -> None:
    number = Watched("number", path, read, settled_s=60)
    put(tmp_path / "new", "2")
    (tmp_path / "new").replace(path)
    assert number.current() == 2
