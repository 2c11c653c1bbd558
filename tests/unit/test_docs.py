"""The documents are true: settings, metrics, columns of tables, links."""

import re
from pathlib import Path

import msgspec
import pytest

from contract.errors import error_types
from contract.later import STATES, NewRequest
from contract.messages import Answer, EndpointRequest
from gatekeeper import settings as gatekeeper_settings
from gatekeeper.policy import Role
from orchestrator import settings as orchestrator_settings
from proxy import settings as proxy_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """The table under a heading, by the name in its first column."""
    section = text.partition(f"{heading}\n")[2].partition("\n#")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): cells for cells in lines}


def tomlish(default: object) -> str:
    """As a settings' file has it."""
    return str(default).lower() if isinstance(default, bool) else str(default)


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("### proxy.toml, named by PROXY_CONFIG", proxy_settings.Settings),
        ("### gatekeeper.toml, named by GATEKEEPER_CONFIG", gatekeeper_settings.Settings),
        ("### orchestrator.toml, named by ORCHESTRATOR_CONFIG", orchestrator_settings.Settings),
    ],
)
def test_every_setting_is_documented_with_its_default(heading: str, settings: type[msgspec.Struct]) -> None:
    documented = rows(page("docs/operations.md"), heading)
    fields = {field.name: field for field in msgspec.structs.fields(settings)}
    assert documented.keys() == fields.keys()
    for name, field in fields.items():
        default = documented[name][-1].strip("` ")
        if field.required:
            assert default == "must be given", name
        elif name != "log_level":
            assert default == ("none" if field.default is None else tomlish(field.default)), name


def test_every_member_of_a_role_is_documented() -> None:
    assert rows(page("docs/policy.md"), "## Members of a role").keys() == {
        field.name for field in msgspec.structs.fields(Role)
    }


def test_every_member_of_a_request_is_documented() -> None:
    documented = rows(page("docs/api.md"), "## POST /endpoint")
    assert documented.keys() == {field.name for field in msgspec.structs.fields(EndpointRequest)}


def test_every_member_of_a_request_for_later_is_documented() -> None:
    documented = rows(page("docs/api.md"), "## POST /new-requests")
    own = {field.name for field in msgspec.structs.fields(NewRequest)}
    assert documented.keys() == own - {field.name for field in msgspec.structs.fields(EndpointRequest)}
    assert rows(page("docs/api.md"), "### GET /new-requests/ID").keys() == set(STATES)


def test_every_member_of_an_answer_is_shown() -> None:
    shown = page("docs/api.md").partition("### The answer\n")[2].partition("\n###")[0]
    for field in msgspec.structs.fields(Answer):
        assert f'"{field.name}":' in shown


def test_every_error_is_documented_with_its_status() -> None:
    errors = page("docs/api.md").partition("## Errors\n")[2].partition("\n## ")[0]
    for error in error_types():
        assert re.search(rf"\|[^|\n]*\b{error.status}\b[^|\n]*\|[^|\n]*`{error.code}`", errors), error.code


def test_every_metric_is_documented_and_there() -> None:
    documented = rows(page("docs/operations.md"), "## Metrics").keys()
    sources = "".join(page(f"{service}/metrics.py") for service in ("proxy", "gatekeeper", "orchestrator"))
    assert documented == set(re.findall(r'"(gatekeeper_\w+)"', sources))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_a_page_points_to_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    files = re.findall(
        r"`((?:contract|proxy|gatekeeper|orchestrator|client|deploy|tests|benchmark|docs)/[\w/.-]+)`", text
    )
    missing = [name for name in links if not (path.parent / name).exists()]
    missing += [name for name in files if not (ROOT / name).exists()]
    assert missing == []
