"""The corpora of attacks and of ordinary statements, with the policy that their README gives.

GATEKEEPER_CORPUS names the directory; without it, `shared/corpus` beside the repository is taken, if it is there.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.judge import Judge
from gatekeeper.policy import parse

CORPUS = Path(os.environ.get("GATEKEEPER_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
POLICY = parse(
    """
    [roles.shop]
    kinds = ["select", "insert", "update", "delete", "replace"]
    read = ["shop.customers", "shop.orders", "shop.products"]
    write = ["shop.customers", "shop.orders", "shop.products"]
    default_database = "shop"
    where_required = false
    """
)


def _cases(name: str) -> tuple[Any, ...]:
    path = CORPUS / name
    if not path.is_file():
        reason = f"no {name} in {CORPUS.name}/; GATEKEEPER_CORPUS may name its directory"
        return (pytest.param({}, marks=pytest.mark.skip(reason=reason), id="absent"),)
    with path.open(encoding="utf-8") as lines:  # str.splitlines would split at the attacks' odd white space
        cases = [json.loads(line) for line in lines]
    return tuple(pytest.param(case, id=case["id"]) for case in cases)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(POLICY)


@pytest.mark.parametrize("case", _cases("attacks.jsonl"))
def test_an_attack_is_refused(judge: Judge, case: dict[str, Any]) -> None:
    with pytest.raises((Forbidden, StatementUnparsable)):
        judge.judge("shop", case["sql"], None)


@pytest.mark.parametrize("case", _cases("benign.jsonl"))
def test_an_ordinary_statement_is_accepted_for_what_it_is(judge: Judge, case: dict[str, Any]) -> None:
    assert judge.judge("shop", case["sql"], None).effect == case["class"]
