"""Programs that the benchmark runs to their end: without input, in bounded time, all that they print in one text."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


def run(command: Sequence[str], timeout_s: float, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The ended program, its errors in `stdout` too. Raises FileNotFoundError, subprocess.TimeoutExpired."""
    return subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout_s,
        text=True,
        check=False,
    )
