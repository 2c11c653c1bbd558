"""The alarms and the dashboard speak of metrics that are there, and the runbook of alarms that are there."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HERE = ROOT / "deploy" / "observability"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = yaml.safe_load((HERE / "alerts.yml").read_text())["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((HERE / "dashboard.json").read_text())["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]
# test_docs.py holds the page to the services' own names.
METRICS = set(re.findall(r"^\| `(gatekeeper_\w+)` \|", OPERATIONS, re.MULTILINE))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_of_an_expression_is_one_of_ours(expression: str) -> None:
    named = set(re.findall(r"gatekeeper_\w+", expression))
    assert {re.sub("_(bucket|count)$", "", name) for name in named} <= METRICS
    assert named or expression == "up == 0"


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name in METRICS if name in target["expr"]}
    assert shown == METRICS


def test_the_runbook_tells_what_to_do_about_every_alarm_and_no_other() -> None:
    table = OPERATIONS.partition("### What each alarm means")[2].partition("| event in the log")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_every_alarm_leads_to_a_place_in_the_runbook() -> None:
    headings = set(re.findall(r"^#+ (.*)$", OPERATIONS, re.MULTILINE))
    places = {rule["annotations"]["runbook"].removeprefix("docs/operations.md, ") for rule in RULES}
    assert places <= headings


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for at in (panel["gridPos"] for panel in PANELS):
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian's package prometheus) is not installed")
def test_prometheus_fires_the_alarms_when_it_should() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
