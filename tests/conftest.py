"""For all tests: versions in the header, what runs side by side (tests/sharing.py), and that a run which prints or logs
what is secret fails (tests/planted.py).
"""

import subprocess
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.planted import pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown
from tests.sharing import (
    pytest_collection_modifyitems,
    pytest_keyboard_interrupt,
    pytest_testnodeready,
    pytest_xdist_make_scheduler,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_keyboard_interrupt",
    "pytest_runtest_logreport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "pytest_testnodeready",
    "pytest_xdist_make_scheduler",
]

# What a property says does not depend on how fast this machine is just now.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_report_header() -> list[str]:
    """The versions of what the tests run against."""
    commands = (
        ["/usr/sbin/mariadbd", "--version"],
        ["ssh", "-V"],
        ["/usr/sbin/nginx", "-v"],
        ["/usr/bin/chromium", "--version"],
    )
    return [version for command in commands if (version := said(command))]


def said(command: list[str]) -> str:
    """What a program prints about itself; nothing when it is not there."""
    if not Path(command[0]).exists() and command[0].startswith("/"):
        return ""
    run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return (run.stdout or run.stderr).strip()
