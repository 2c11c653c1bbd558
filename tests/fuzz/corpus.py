"""Statements to start from: the shared corpus where it is found, and the project's own always."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.statements import OWN

_SHARED = Path(__file__).parents[3] / "shared" / "corpus"
# Longer ones are attacks by size; changing them teaches nothing and costs much.
_MOST_CHARACTERS = 2_000
_PART_OF_SQL = re.compile(r"'(?:[^']|'')*'|--[^\n]*|[^;'-]+|-|(?P<end>;)")


def directory() -> Path | None:
    """The shared corpus: where GATEKEEPER_CORPUS says, else beside the repository; None when it is not there."""
    named = os.environ.get("GATEKEEPER_CORPUS")
    found = Path(named) if named else _SHARED
    return found if (found / "attacks.jsonl").is_file() else None


def cases(name: str) -> list[dict[str, Any]]:
    """The lines of `attacks` or `benign` of the shared corpus; none when it is not there."""
    found = directory()
    if found is None:
        return []
    with (found / f"{name}.jsonl").open(encoding="utf-8") as lines:  # str.splitlines splits at odd white space
        return [json.loads(line) for line in lines]


def ordinary() -> list[str]:
    """Statements that the policy should accept."""
    return [*OWN, *(case["sql"] for case in cases("benign"))]


def attacks() -> list[str]:
    """Statements that it should refuse."""
    return [case["sql"] for case in cases("attacks") if len(case["sql"]) <= _MOST_CHARACTERS]


def script(text: str) -> Iterator[str]:
    """The statements of an SQL script: strings may hold semicolons, comments start with two dashes."""
    statement = ""
    for part in _PART_OF_SQL.finditer(text):
        if not part["end"]:
            statement += "" if part[0].startswith("--") else part[0]
        elif statement.strip():
            yield statement.strip()
            statement = ""
    if statement.strip():
        yield statement.strip()
