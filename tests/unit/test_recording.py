"""Records of what a role's keys sent: each distinct statement once, over processes, restarts and faults."""

import fcntl
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from gatekeeper import recording
from gatekeeper.analysis import analyse
from gatekeeper.recording import Asked, NoRecords, Recorder, read

WEB = Asked("web", "shop", names_database=False, implementation="customized_hit", names_implementation=False)
MOST_BYTES = 20_000


class Clock:
    """A clock that stands still until it is put on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(recording, "time", clock)
    return clock


class Trouble:
    """What was said in the log and counted of what could not be recorded."""

    def __init__(self) -> None:
        self.logger = CapturingLogger()
        self.failures = 0

    def count(self) -> None:
        self.failures += 1

    @property
    def reasons(self) -> list[str]:
        return [call.kwargs["reason"] for call in self.logger.calls]


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    trouble = Trouble()
    monkeypatch.setattr(recording, "log", trouble.logger)
    monkeypatch.setattr("gatekeeper.metrics.not_recorded", trouble.count)
    return trouble


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


@pytest.fixture
def recorder(path: Path) -> Iterator[Recorder]:
    made = Recorder(path, most_bytes=MOST_BYTES)
    yield made
    made.close()


def record(recorder: Recorder, text: str, asked: Asked = WEB, rule: str | None = None) -> None:
    recorder.record(asked, analyse(text, asked.database), rule)


def reads(path: Path) -> list[list[str]]:
    """The tables read, by record."""
    return [sorted(f"{schema}.{table}" for schema, table in found.statement.reads) for found in read(path)]


def test_a_record_says_what_a_statement_does_and_nothing_that_it_says(recorder: Recorder, path: Path) -> None:
    text = "UPDATE orders SET qty = 'planted', at = now() /* planted */ WHERE note = \"planted\" AND id = 424242"
    record(recorder, text, rule="kind")
    line = json.loads(path.read_text())
    assert line.pop("time").endswith("Z")
    assert len(line["statement"].pop("digest")) == 16
    assert line["asked"] == ["web", "shop", False, "customized_hit", False]
    assert line["rule"] == "kind"
    expected = {
        "kind": "update",
        "effect": "write",
        "functions": ["now"],
        "reads": [["shop", "orders"]],
        "writes": [["shop", "orders"]],
        "columns_read": [["shop", "orders", "id"], ["shop", "orders", "note"]],
        "columns_written": [["shop", "orders", "at"], ["shop", "orders", "qty"]],
        "has_where": True,
        "procedures": [],
        "explained": None,
    }
    assert {name: line["statement"][name] for name in expected} == expected
    assert "planted" not in path.read_text()
    assert "424242" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_statements_that_differ_in_literals_only_are_recorded_once(recorder: Recorder, path: Path) -> None:
    for number in range(5):
        record(recorder, f"SELECT a FROM t WHERE b = {number}")
    record(recorder, "select  a from t where b = ?")
    assert reads(path) == [["shop.t"]]


OTHERS = {
    "another role": WEB._replace(role="batch"),
    "another database": WEB._replace(database="pub"),
    "the database named": WEB._replace(names_database=True),
    "another implementation": WEB._replace(implementation="direct_hit", names_implementation=True),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_same_statement_asked_for_otherwise_is_another_record(recorder: Recorder, path: Path, other: Asked) -> None:
    for asked in (WEB, other, WEB, other):
        record(recorder, "SELECT a FROM t", asked)
    assert [found.asked for found in read(path)] == [WEB, other]


def test_what_other_workers_recorded_is_not_recorded_again(recorder: Recorder, path: Path) -> None:
    other = Recorder(path, most_bytes=MOST_BYTES)
    record(other, "SELECT a FROM one")
    record(recorder, "SELECT a FROM two")
    record(recorder, "SELECT a FROM one")
    record(other, "SELECT a FROM two")
    other.close()
    assert reads(path) == [["shop.one"], ["shop.two"]]


def test_after_a_restart_what_was_recorded_is_known(recorder: Recorder, path: Path) -> None:
    record(recorder, "SELECT a FROM one")
    again = Recorder(path, most_bytes=MOST_BYTES)
    record(again, "SELECT a FROM one")
    record(again, "SELECT a FROM two")
    again.close()
    assert reads(path) == [["shop.one"], ["shop.two"]]


def _record_many(path: Path, start: Any) -> None:
    recorder = Recorder(path, most_bytes=1 << 20)
    start.wait(10)
    for number in range(100):
        record(recorder, f"SELECT a FROM t{number}")


def test_several_processes_record_each_statement_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    writers = [context.Process(target=_record_many, args=(path, start)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert sorted(reads(path)) == sorted([f"shop.t{number}"] for number in range(100))


@pytest.mark.parametrize("bound", [{"most_bytes": 2_000}, {"most_records": 4}], ids=["bytes", "records"])
def test_a_full_file_is_said_once_and_counted_and_grows_no_more(
    path: Path, trouble: Trouble, clock: Clock, bound: dict[str, int]
) -> None:
    recorder = Recorder(path, **{"most_bytes": MOST_BYTES, **bound})
    for number in range(20):
        clock.now += recording.PAUSE_S
        record(recorder, f"SELECT a FROM t{number}")
    recorder.close()
    kept = len(read(path))
    assert 2 <= kept <= 10
    assert path.stat().st_size <= 2_000
    assert trouble.reasons == ["the records are full"]
    assert trouble.failures == 20 - kept


def full(_file: int, _text: bytes) -> int:
    raise OSError(28, "No space left on device")


def nearly_full(file: int, text: bytes) -> int:
    return os.pwrite(file, text[:10], os.fstat(file).st_size)


@pytest.mark.parametrize("write", [full, nearly_full])
def test_a_full_disk_leaves_no_half_line_and_is_said_once(
    recorder: Recorder,
    path: Path,
    trouble: Trouble,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[int, bytes], int],
) -> None:
    record(recorder, "SELECT a FROM one")
    monkeypatch.setattr("gatekeeper.recording.os.write", write)
    monkeypatch.setattr(recording, "PAUSE_S", 0.0)
    for _ in range(2):
        record(recorder, "SELECT a FROM two")
    assert reads(path) == [["shop.one"]]
    assert (len(trouble.reasons), trouble.failures) == (1, 2)


def test_after_a_failure_it_is_tried_again_when_a_pause_is_over(
    recorder: Recorder, path: Path, trouble: Trouble, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("gatekeeper.recording.os.write", full)
        record(recorder, "SELECT a FROM one")
    record(recorder, "SELECT a FROM one")
    assert (reads(path), trouble.failures) == ([], 1)
    clock.now += recording.PAUSE_S
    record(recorder, "SELECT a FROM one")
    assert (reads(path), trouble.failures) == ([["shop.one"]], 1)


def test_a_directory_that_is_not_there_stops_nothing(tmp_path: Path, trouble: Trouble) -> None:
    record(Recorder(tmp_path / "nowhere" / "records.jsonl", most_bytes=MOST_BYTES), "SELECT 1")
    assert trouble.reasons == ["No such file or directory"]
    assert trouble.failures == 1


def test_a_lock_that_is_never_given_back_stops_nothing(
    recorder: Recorder, path: Path, trouble: Trouble, clock: Clock
) -> None:
    path.touch()
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        record(recorder, "SELECT 1")
    assert "locked" in trouble.reasons[0]
    assert trouble.failures == 1
    clock.now += recording.PAUSE_S
    record(recorder, "SELECT 1")
    assert len(read(path)) == 1


@pytest.mark.parametrize("text", ["hello\n", "hello", '{"seq":1}\n'], ids=["a line", "no line", "an audit log"])
def test_a_file_of_something_else_is_left_as_it_is(recorder: Recorder, path: Path, trouble: Trouble, text: str) -> None:
    path.write_text(text)
    record(recorder, "SELECT 1")
    assert path.read_text() == text
    assert trouble.reasons == ["not a file of records"]
    assert trouble.failures == 1


def test_a_line_that_a_crash_cut_off_is_removed_and_its_statement_recorded_again(
    recorder: Recorder, path: Path
) -> None:
    for table in ("one", "two"):
        record(recorder, f"SELECT a FROM {table}")
    path.write_bytes(path.read_bytes()[:-20])
    again = Recorder(path, most_bytes=MOST_BYTES)
    record(again, "SELECT a FROM two")
    again.close()
    assert reads(path) == [["shop.one"], ["shop.two"]]


def test_when_the_file_was_moved_away_all_is_recorded_anew(recorder: Recorder, path: Path, clock: Clock) -> None:
    record(recorder, "SELECT a FROM one")
    path.rename(path.with_name("moved.jsonl"))
    clock.now += recording.PAUSE_S
    record(recorder, "SELECT a FROM one")
    assert reads(path) == reads(path.with_name("moved.jsonl")) == [["shop.one"]]


GARBAGE = {
    "another file's line": ('{"seq":1}\n', "line 2: not a record"),
    "no JSON": ("hello\n", "line 2: not a record"),
    "no text": ("\udcff\n", "line 2: not a record"),
    "an implementation that is none": (None, "line 2: not a record"),
    "cut off": ('{"asked":["web"', "line 2: the line is cut off"),
}


@pytest.mark.parametrize(("line", "reason"), GARBAGE.values(), ids=GARBAGE)
def test_a_line_that_is_no_record_is_named(recorder: Recorder, path: Path, line: str | None, reason: str) -> None:
    record(recorder, "SELECT a FROM one")
    good = path.read_text()
    added = good.replace("customized_hit", "hit") if line is None else line
    path.write_bytes((good + added).encode(errors="surrogateescape"))
    with pytest.raises(NoRecords, match=rf"records\.jsonl, {reason}"):
        read(path)
