"""Nothing secret is printed or logged in a whole run of the tests: a plugin of pytest that fails the run otherwise.

Fixtures plant what they know to be secret (keys, passwords, values of parameters) and hand in the logs of what they ran
before these are removed; what the tests print is looked at as it comes. A finding names the secret and the place, never
the value. Where several processes run the tests, each looks for what it planted, and hands in its findings at its end.
"""

import secrets
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

# A shorter text may stand somewhere by chance.
LEAST_BYTES = 8
# What tests send as a value of a statement, and as a key that is none.
MARKERS = {name: f"planted-{secrets.token_hex(8)}" for name in ("a parameter", "a literal", "a wrong key")}

_FINDINGS = "findings of planted secrets"

_planted: dict[str, bytes] = {}
_findings: list[str] = []


def plant(name: str, value: str) -> None:
    """From now on nobody may print or log this value."""
    assert len(value) >= LEAST_BYTES, f"{name} is too short to be looked for"
    _planted[name] = value.encode()


def found(planted: Mapping[str, bytes], texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """Which secret stands in which text, by their names."""
    return [f"{name} stands in {place}" for place, text in texts for name, value in planted.items() if value in text]


def secrets_in(place: str, text: bytes) -> list[str]:
    """Which of the planted secrets stand in a text."""
    return found(_planted, [(place, text)])


def look_through(directory: Path) -> None:
    """Takes the logs below the directory, whose writers have ended or go on, into account."""
    for path in sorted(path for path in directory.rglob("*.log*") if path.is_file()):
        _findings.extend(secrets_in(f"{directory.name}/{path.relative_to(directory)}", path.read_bytes()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Looks at what a test printed, logged and wrote to standard error."""
    for title, text in report.sections:
        _findings.extend(secrets_in(f"{title} ({report.nodeid})", text.encode()))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, Any, Any]:
    """Fails the run where there are findings; of one of several processes, hands them in."""
    ended = yield  # with the last fixtures, which hand in logs
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_FINDINGS] = _findings
    elif _findings:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return ended


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes the findings of one of several processes; one that crashed has none, and a test that failed for it."""
    _findings.extend(getattr(node, "workeroutput", {}).get(_FINDINGS, []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was found, and where."""
    if _findings:
        terminalreporter.section("secrets that were printed or logged", red=True)
        for finding in dict.fromkeys(_findings):
            terminalreporter.write_line(finding)
