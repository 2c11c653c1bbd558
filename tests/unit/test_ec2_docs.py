"""docs/operations.md about EC2: every setting, and exactly the rights that the provider's calls need."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import boto3.session
import msgspec
import pytest
from botocore import xform_name

from deploy import cluster
from deploy.providers.ec2 import cost, images, sizes

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("\n## EC2\n")[2].partition("\n## ")[0]
# The right to tag what is made goes with the calls that make it.
TAGGING = "ec2:CreateTags"
_CALL = re.compile(r"""\.(ec2|ssm)\.(?:get_paginator\("(\w+)"\)|(?!get_paginator|get_waiter|meta)(\w+)\()""")


def settings() -> dict[str, str]:
    """The defaults by the settings' names."""
    table = SECTION.partition("### Settings of EC2")[2].partition("\n### ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[-1].strip("` ") for cells in rows}


def statements() -> list[dict[str, Any]]:
    policy = json.loads(SECTION.partition("```json\n")[2].partition("```")[0])
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def actions() -> list[str]:
    listed = [each["Action"] for each in statements()]
    return [action for each in listed for action in ([each] if isinstance(each, str) else each)]


def called() -> set[str]:
    """The actions of the calls that stand in the provider's code."""
    session = boto3.session.Session(region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    names = {
        service: {xform_name(name): name for name in session.client(service).meta.service_model.operation_names}
        for service in ("ec2", "ssm")
    }
    code = "".join(path.read_text() for path in sorted((ROOT / "deploy/providers/ec2").glob("*.py")))
    return {f"{service}:{names[service][paged or plain]}" for service, paged, plain in _CALL.findall(code)}


def test_every_setting_is_documented_with_its_default() -> None:
    fields = msgspec.structs.fields(cluster.Ec2)
    shown = {"operator": "must be given"}
    shown |= {
        field.name: "none" if field.default is None else str(field.default) for field in fields if not field.required
    }
    assert settings() == shown


def test_the_policy_has_exactly_the_actions_that_are_called() -> None:
    assert sorted(actions()) == sorted({*called(), TAGGING})


def test_what_changes_or_removes_is_allowed_on_tagged_resources_alone() -> None:
    conditions = {each["Sid"]: "Condition" in each for each in statements()}
    assert conditions == {"Look": False, "Make": False, "TagWhatIsMade": True, "ChangeWhatIsTagged": True}
    free = [action for each in statements() if "Condition" not in each for action in each["Action"]]
    assert not [
        action for action in free if re.search(r":(Delete|Modify|Revoke|Authorize|Terminate|Stop|Reboot)", action)
    ]


@pytest.mark.parametrize("name", [sizes.SQL_TYPE, sizes.SERVICE_TYPE, *cost.MACHINES])
def test_default_types_and_priced_regions_are_named(name: str) -> None:
    assert f"`{name}`" in SECTION


def test_each_release_is_named() -> None:
    assert {name for name in images.RELEASES if f"`{name}`" in SECTION} >= {"debian", "debian-13", "ubuntu"}


def test_the_settings_shown_are_a_description_that_is_taken() -> None:
    example = SECTION.partition('provider = "ec2"')[2].partition("\nMachines are found")[0]
    lines = ['provider = "ec2"', 'engine = "galera"', *(line.strip() for line in example.splitlines())]
    found = cluster.checked(tomllib.loads("\n".join(lines)))
    assert found.ec2 == cluster.Ec2(operator="203.0.113.7/32")
    assert found.machines.data == cluster.Group(4, "r6i.xlarge", 100)
