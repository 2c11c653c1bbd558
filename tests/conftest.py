"""For all tests: a run that prints or logs what is secret fails (tests/planted.py)."""

from tests.planted import pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_runtest_logreport", "pytest_sessionfinish", "pytest_terminal_summary"]
