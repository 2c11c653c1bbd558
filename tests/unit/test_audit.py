"""The audit log: a chain of lines over processes and files, in which nothing can be changed unseen."""

import fcntl
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from contract.errors import Unavailable
from gatekeeper import audit
from gatekeeper.analysis.scopes import MAX_SOURCES
from gatekeeper.audit import AuditError, AuditLog, Entry
from gatekeeper.audit_chain import MOST_LINE_BYTES, BrokenChain, rotated_files, verify

MOST_BYTES = 2_000


def entry(number: int = 0, **members: Any) -> Entry:
    return Entry(f"request{number}", "web", "reader", "allowed", **members)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def log(path: Path) -> Iterator[AuditLog]:
    made = AuditLog(path, name="gatekeeper1", most_bytes=MOST_BYTES)
    yield made
    made.close()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is logged from now on, whatever the process's logging is."""
    logger = CapturingLogger()
    monkeypatch.setattr(audit, "log", logger)
    return logger


def files_of(path: Path) -> list[Path]:
    return [*rotated_files(path), path]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files_of(path) for line in file.read_text().splitlines()]


def test_a_line_says_who_asked_and_what_was_decided(log: AuditLog, path: Path) -> None:
    log.write(Entry("r1", "web", "reader", "refused", kind="delete", digest="d", code="forbidden", rule="kind"))
    line = lines_of(path)[1]
    assert len(line.pop("hash")) == 64
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "seq": 2,
        "request_id": "r1",
        "key": "web",
        "role": "reader",
        "verdict": "refused",
        "kind": "delete",
        "digest": "d",
        "code": "forbidden",
        "rule": "kind",
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_chain_goes_on_after_a_restart(log: AuditLog, path: Path) -> None:
    log.write(entry())
    again = AuditLog(path, name="gatekeeper1", most_bytes=MOST_BYTES)
    again.write(entry())
    log.write(entry())
    again.close()
    assert verify([path]).lines == 4


LETTER = "\U00010330"  # a letter of 4 bytes
MOST_TABLES = tuple(f"{LETTER * 64}.{LETTER * 61}{number:03}" for number in range(MAX_SOURCES))


def test_a_line_that_names_the_most_tables_is_within_its_bound_and_found_again(log: AuditLog, path: Path) -> None:
    log.write(entry(reads=MOST_TABLES, writes=MOST_TABLES, defines=MOST_TABLES))
    assert 2_000 < len(path.read_bytes().splitlines()[-1]) < MOST_LINE_BYTES
    again = AuditLog(path, name="gatekeeper1", most_bytes=MOST_BYTES)
    again.write(entry())
    again.close()
    assert verify(files_of(path)).lines == 4


def test_a_line_beyond_the_bound_is_refused_and_the_chain_goes_on(log: AuditLog, path: Path) -> None:
    with pytest.raises(Unavailable):
        log.write(entry(reads=MOST_TABLES * 10))
    log.write(entry())
    assert verify([path]).lines == 2


def test_a_torn_line_behind_a_long_one_is_removed(path: Path, logged: CapturingLogger) -> None:
    first = AuditLog(path, name="gatekeeper1", most_bytes=1 << 20)
    for _ in range(2):
        first.write(entry(reads=MOST_TABLES))
    first.close()
    path.write_bytes(path.read_bytes()[:-20])
    log = AuditLog(path, name="gatekeeper1", most_bytes=1 << 20)
    log.write(entry())
    log.close()
    assert [call.args for call in logged.calls] == [("audit_torn_line_removed",)]
    assert verify([path]).lines == 3


# As the version before wrote it: without tables, details and reports.
OLDER = """\
{"seq":1,"time":"2026-11-23T14:00:00.000+00:00","opened_by":"gatekeeper1","previous":"ZEROS","hash":"HASH1"}
{"seq":2,"time":"2026-11-23T14:00:01.000+00:00","request_id":"r1","key":"web","role":"reader","verdict":"refused",\
"code":"forbidden","rule":"kind","hash":"HASH2"}
"""
OLDER_HASHES = {
    "ZEROS": "0" * 64,
    "HASH1": "300d762ed37ec99d1658ddd67430f1afbf636906c41457c7aa849efabf32a58a",
    "HASH2": "fa02992866435af6a862b3630f28b9cd268261da7634b70ba7731fe69a868023",
}


def test_a_chain_begun_by_an_older_version_goes_on(path: Path) -> None:
    text = OLDER
    for name, value in OLDER_HASHES.items():
        text = text.replace(name, value)
    path.write_text(text)
    log = AuditLog(path, name="gatekeeper1", most_bytes=MOST_BYTES)
    log.write(entry(reads=("shop.orders",)))
    log.close()
    assert (verify([path]).first, verify([path]).last) == (1, 3)


def _write_many(path: Path, start: Any, name: str) -> None:
    log = AuditLog(path, name=name, most_bytes=MOST_BYTES)
    start.wait(10)
    for number in range(100):
        log.write(entry(number))


def test_several_processes_write_one_chain_through_several_files(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    writers = [context.Process(target=_write_many, args=(path, start, f"worker{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = verify(files_of(path))
    assert found.files > 10
    assert found.lines == 300 + found.files == found.last
    assert all(file.stat().st_size < MOST_BYTES + 1_000 for file in files_of(path))


def test_the_files_are_put_in_order_and_may_begin_in_the_middle(log: AuditLog, path: Path) -> None:
    for number in range(30):
        log.write(entry(number))
    files = files_of(path)
    assert verify(list(reversed(files))) == verify(files)
    assert verify(files[1:]).first > 1


def test_a_full_file_is_named_by_its_last_line_so_that_no_name_comes_twice(log: AuditLog, path: Path) -> None:
    seen: dict[str, Path] = {}
    for number in range(30):
        log.write(entry(number))
        for full_file in rotated_files(path)[:-1]:
            assert full_file.name not in seen
            seen[full_file.name] = full_file.rename(path.with_name(f"moved-{full_file.name}"))
    assert len(seen) >= 2
    for name, moved in seen.items():
        assert int(name.removeprefix("audit.log.")) == verify([moved]).last
    assert verify([*seen.values(), *files_of(path)]).lines == 30 + len(seen) + len(files_of(path))


def change(line: bytes) -> bytes:
    return line.replace(b"request", b"inquiry")


TAMPERED: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, str]] = {
    "changed": (lambda lines: [*lines[:2], change(lines[2]), *lines[3:]], 3, "its hash does not fit"),
    "the last one changed": (lambda lines: [*lines[:4], change(lines[4])], 5, "its hash does not fit"),
    "removed": (lambda lines: [*lines[:2], *lines[3:]], 3, "it is number 4, and 3 was expected"),
    "the first removed": (lambda lines: lines[1:], 1, "the file's first line is missing"),
    "put in": (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "it is number 3, and 4 was expected"),
    "moved": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2, "it is number 3, and 2 was expected"),
    "numbered anew": (
        lambda lines: [*lines[:2], lines[3].replace(b'"seq":4', b'"seq":3'), *lines[4:]],
        3,
        "its hash does not fit",
    ),
    "no JSON": (lambda lines: [*lines[:2], b"hello\n", *lines[3:]], 3, "not a line of an audit log"),
    "cut off": (lambda lines: [*lines[:4], lines[4][:-1]], 5, "not a line of an audit log"),
    "a space more": (lambda lines: [*lines[:2], lines[2].replace(b",", b", ", 1), *lines[3:]], 3, "does not fit"),
    "empty": (lambda _lines: [], 1, "there is no line"),
}


@pytest.mark.parametrize("case", TAMPERED.values(), ids=TAMPERED.keys())
def test_the_first_line_that_was_tampered_with_is_named(
    log: AuditLog, path: Path, case: tuple[Callable[[list[bytes]], list[bytes]], int, str]
) -> None:
    tamper, number, reason = case
    for each in range(4):
        log.write(entry(each))
    assert verify([path]).lines == 5
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(BrokenChain, match=reason) as caught:
        verify([path])
    assert (caught.value.path, caught.value.line) == (path, number)


def test_a_file_that_is_missing_in_the_middle_is_noticed(log: AuditLog, path: Path) -> None:
    for number in range(30):
        log.write(entry(number))
    files = files_of(path)
    with pytest.raises(BrokenChain, match="was expected") as caught:
        verify([files[0], *files[2:]])
    assert (caught.value.path, caught.value.line) == (files[2], 1)


def test_a_file_whose_forerunner_was_rewritten_is_noticed(tmp_path: Path, log: AuditLog, path: Path) -> None:
    forged = AuditLog(tmp_path / "forged.log", name="gatekeeper9", most_bytes=MOST_BYTES)
    for number in range(30):
        log.write(entry(number))
        forged.write(entry(number))
    forged.close()
    with pytest.raises(BrokenChain, match="does not go on where"):
        verify([rotated_files(tmp_path / "forged.log")[0], *files_of(path)[1:]])


@pytest.mark.parametrize("whole_lines", [3, 0], ids=["after others", "the first of its file"])
def test_a_line_that_a_crash_cut_off_is_removed_and_the_chain_goes_on(
    path: Path, logged: CapturingLogger, whole_lines: int
) -> None:
    first = AuditLog(path, name="gatekeeper1", most_bytes=MOST_BYTES)
    first.write(entry())
    first.write(entry())
    first.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:whole_lines]) + lines[0][:40])
    log = AuditLog(path, name="gatekeeper1", most_bytes=MOST_BYTES)
    log.write(entry())
    log.close()
    assert [(call.args, call.kwargs) for call in logged.calls] == [(("audit_torn_line_removed",), {"bytes": 40})]
    assert verify([path]).lines == (whole_lines or 1) + 1


def test_a_file_lost_between_two_is_begun_anew_where_the_full_one_ended(log: AuditLog, path: Path) -> None:
    log.write(entry())
    path.rename(path.with_name("audit.log.000000000002"))
    log.write(entry())
    assert verify(files_of(path)).lines == 4


@pytest.mark.parametrize("text", ["hello\n", "hello", '{"seq":1}\nhello'], ids=["a line", "no line", "a wrong end"])
def test_a_file_that_is_no_audit_log_is_refused_and_left_as_it_is(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(AuditError, match="does not end with a line of an audit log"):
        AuditLog(path, name="gatekeeper1", most_bytes=MOST_BYTES)
    assert path.read_text() == text


def test_a_directory_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="can't be opened"):
        AuditLog(tmp_path / "nowhere" / "audit.log", name="gatekeeper1", most_bytes=MOST_BYTES)


def full(_file: int, _text: bytes) -> int:
    raise OSError(28, "No space left on device")


def nearly_full(file: int, text: bytes) -> int:
    return os.pwrite(file, text[:10], os.fstat(file).st_size)


@pytest.mark.parametrize("write", [full, nearly_full])
def test_a_full_disk_leaves_no_half_line_and_refuses(
    log: AuditLog, path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[int, bytes], int]
) -> None:
    log.write(entry())
    before = path.read_bytes()
    monkeypatch.setattr("gatekeeper.audit.os.write", write)
    with pytest.raises(Unavailable, match="audit log") as caught:
        log.write(entry())
    assert (caught.value.rule, caught.value.outcome, caught.value.retryable) == ("audit", "not_executed", True)
    assert path.read_bytes() == before
    monkeypatch.undo()
    log.write(entry())
    assert verify([path]).lines == 3


def test_a_fault_is_logged_with_its_reason(
    log: AuditLog, logged: CapturingLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("gatekeeper.audit.os.write", full)
        with pytest.raises(Unavailable):
            log.write(entry())
    assert [(call.method_name, call.args) for call in logged.calls] == [("error", ("audit_failed",))]
    assert "No space left" in logged.calls[0].kwargs["reason"]


def test_a_lock_that_is_never_given_back_refuses_in_time(
    log: AuditLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_LOCK_TIMEOUT_S", 0.05)
    with path.with_name(".audit.log.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            log.write(entry())
    log.write(entry())
    assert verify([path]).lines == 2
