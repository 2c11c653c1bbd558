"""docs/security.md is held to the tests: every claim in its tables names one, and every one that is named exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))
HELD_TABLE = re.compile(r"^\|.*\| held by \|\n\| --- .*\n((?:\|.*\n)+)", re.MULTILINE)


def functions_in(path: Path) -> set[str]:
    """The functions of a module of tests that pytest collects."""
    functions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


THERE = {name for path in (ROOT / "tests").rglob("test_*.py") for name in functions_in(path)}
CLAIMS = [row for table in HELD_TABLE.findall(PAGE) for row in table.splitlines()]


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_threat_model_names_exists(name: str) -> None:
    assert name in THERE


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.split("|")[1].strip()[:40])
def test_a_claim_of_the_threat_model_names_a_test(claim: str) -> None:
    assert re.search(r"`test_\w+`", claim.rstrip("| ").rpartition("|")[2]), claim


def test_the_threat_model_speaks_of_every_border() -> None:
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert {
        "Client to gatekeeper",
        "Gatekeeper to proxy",
        "Proxy to node",
        "The operator's machine",
        "What is left",
    } <= set(headings)
    assert len(CLAIMS) > 40
    assert len(NAMED) > 50
