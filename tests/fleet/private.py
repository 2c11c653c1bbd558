"""Runs the fleet's tests in a private place: one pytest inside runs them all, and its reports are given on outside.

So no test can touch this host's network, and everything ends with one process, however a test fails.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy.providers.fleet import sandbox

ROOT = Path(__file__).parents[2]
VARIABLE = "GATEKEEPER_FLEET_REPORTS"
TIMEOUT_S = 1500.0


def run(config: pytest.Config, nodes: list[str]) -> dict[str, list[pytest.TestReport]]:
    """The reports on these tests, by their names. Where there are none, the end of what pytest said inside is shown."""
    with tempfile.TemporaryDirectory(prefix="fleet-tests-") as directory:
        reports, output = Path(directory) / "reports.jsonl", Path(directory) / "output"
        reports.touch()
        _run_inside(nodes, reports, output)
        found: dict[str, list[pytest.TestReport]] = {}
        for line in reports.read_text().splitlines():
            report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
            found.setdefault(report.nodeid, []).append(report)
        last = output.read_text(errors="replace")[-3000:]
    return {node: found.get(node) or [_not_run(node, last)] for node in nodes}


def _run_inside(nodes: list[str], reports: Path, output: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *nodes]
    with output.open("wb") as out:
        try:
            subprocess.run(
                sandbox.inside(command),
                cwd=ROOT,
                env={**os.environ, VARIABLE: str(reports)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            out.write(f"\nnot done within {TIMEOUT_S:g} s".encode())


def keep(config: pytest.Config, report: pytest.TestReport) -> None:
    """Inside: write the report down for outside."""
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    with Path(os.environ[VARIABLE]).open("a") as file:
        file.write(json.dumps(data) + "\n")


def _not_run(node: str, said: str) -> pytest.TestReport:
    location = (node.partition("::")[0], None, node)
    return pytest.TestReport(node, location, {}, "failed", f"it was not run in the private place:\n{said}", "call")
