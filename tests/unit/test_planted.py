"""The check that a run of the tests prints and logs nothing secret can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import planted

ROOT = Path(__file__).parents[2]
VALUE = "an-invented-secret"


def run(directory: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest of its own, whose one test plants the value and then does as `body` says."""
    lines = ["from pathlib import Path", "import sys", "from tests import planted", "", "def test_it() -> None:"]
    lines += [f"    planted.plant('the key', {VALUE!r})", f"    {body}"]
    (directory / "test_it.py").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.planted", "--rootdir", str(directory), *options]
    command += [str(directory)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


LOOK = "planted.look_through(Path(__file__).parent / 'state')"


@pytest.mark.parametrize(
    ("body", "place", "processes"),
    [
        pytest.param(f"print({VALUE!r})", "Captured stdout call (test_it.py::test_it)", "0", id="stdout"),
        pytest.param(
            f"print({VALUE!r}, file=sys.stderr)", "Captured stderr call (test_it.py::test_it)", "0", id="stderr"
        ),
        pytest.param(LOOK, "state/log/service.log.1", "0", id="log"),
        pytest.param(LOOK, "state/log/service.log.1", "1", id="log, in another process"),
    ],
)
def test_a_run_with_a_secret_in_its_output_or_logs_fails_and_says_where(
    tmp_path: Path, body: str, place: str, processes: str
) -> None:
    log = tmp_path / "state" / "log" / "service.log.1"
    log.parent.mkdir(parents=True)
    log.write_text(f"before\nkey={VALUE}\nafter\n")
    done = run(tmp_path, body, "-n", processes)
    assert "1 passed" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"the key stands in {place}" in done.stdout
    assert VALUE not in done.stdout + done.stderr


def test_a_run_without_one_passes(tmp_path: Path) -> None:
    done = run(tmp_path, "print('nothing')")
    assert (done.returncode, "secrets" in done.stdout) == (0, False)


def test_a_secret_that_is_too_short_to_be_looked_for_is_an_error() -> None:
    with pytest.raises(AssertionError, match="too short"):
        planted.plant("the key", "short")
