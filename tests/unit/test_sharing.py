"""Which tests run in one process where there are several."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import processes
from tests.sharing import share_of

ROOT = Path(__file__).parents[2]
# Its end takes longer than the 5 s after which execnet, below pytest-xdist, interrupts a process again.
SLOW_TO_END = """
import pathlib, time, pytest
here = pathlib.Path(__file__).parent

@pytest.fixture(scope="session")
def started():
    (here / "up").touch()
    yield
    time.sleep(6)
    (here / "down").touch()

def test_it(started):
    time.sleep(600)
"""
LIVE = sorted((Path(__file__).parents[1] / "live").glob("test_*.py"))


@pytest.mark.parametrize("file", LIVE, ids=lambda file: str(file.stem))
def test_what_takes_the_system_or_the_cluster_of_all_live_tests_is_in_a_share_of_it(file: Path) -> None:
    share, text = share_of(f"tests/live/{file.name}::test_it"), file.read_text(encoding="utf-8")
    assert share.startswith("system") == bool(re.search(r"\bsystem: LiveSystem", text))
    assert (share == "cluster") == bool(re.search(r"\bcluster: LiveCluster", text))


def test_another_file_is_a_share_of_its_own() -> None:
    assert share_of("tests/unit/test_sharing.py::test_it[a::b]") == "tests/unit/test_sharing.py"


def test_a_process_that_is_interrupted_takes_down_what_it_runs(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SLOW_TO_END)
    command = [sys.executable, "-m", "pytest", "-n", "1", "-p", "tests.sharing", "--rootdir", str(tmp_path)]
    with subprocess.Popen(
        [*command, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 no threads here
    ) as run:
        try:
            processes.wait_until((tmp_path / "up").exists, timeout_s=300, what="the test")
            os.killpg(run.pid, signal.SIGINT)
            run.wait(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
    assert (tmp_path / "down").exists()
