import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CHILD = """
import os, sys, time
import structlog
from contract import logs
logs.configure("INFO")
log = structlog.get_logger()
log.debug("too low")
for number in range(3):
    log.info("request", number=number, text="a\\nb")
{end}
"""


def written(end: str) -> list[dict[str, object]]:
    """The lines that a process writes which ends so."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(end=end)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_an_object_with_event_level_and_time() -> None:
    lines = written("")
    assert [line["number"] for line in lines] == [0, 1, 2]
    assert {key: lines[0][key] for key in ("event", "level", "text")} == {
        "event": "request",
        "level": "info",
        "text": "a\nb",
    }
    assert str(lines[0]["timestamp"]).endswith("Z")


def test_lines_are_written_within_a_moment() -> None:
    assert len(written("time.sleep(1); os._exit(9)")) == 3


def test_an_error_is_written_at_once_with_what_came_before() -> None:
    lines = written("log.error('broke', why='x'); os._exit(9)")
    assert [line["event"] for line in lines] == ["request", "request", "request", "broke"]


def test_an_exception_is_one_line() -> None:
    lines = written("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('broke')")
    assert "ZeroDivisionError" in str(lines[-1]["exception"])
