"""docs/operations.md about deploying: description, operator's files and firewall are as the code has them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from invoke.parser.argument import Argument
from invoke.tasks import Task

from contract.inventory import MachineRole
from deploy import cluster, firewall
from deploy.deployment import SAMPLE_POLICY
from deploy.engines import ndb
from deploy.roles.files import Material
from fabfile import namespace
from tests.unit.test_tasks import arguments

ROOT = Path(__file__).parents[2]
_PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
PARTS = ("contract", "gatekeeper", "proxy")
SECTION = _PAGE.partition("\n## Deploying to machines\n")[2].partition("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    table = SECTION.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert lines, heading
    return [[cell.strip("` ") for cell in cells] for cells in lines[1:]]


TABLES = {
    "The description, a TOML file": cluster.Cluster,
    "The tables [machines.ROLE]": cluster.Group,
    "The table [ndb]": cluster.Tarball,
    "The table [edge]": cluster.Edge,
}
# Defaults that are told in words.
WORDS = {
    "machines": "seven",
    "schemas": "rental",
    "edge": "as below",
    "size": "the provider's",
}


@pytest.mark.parametrize(("heading", "kind"), TABLES.items(), ids=TABLES.keys())
def test_every_member_of_the_description_is_documented_with_its_default(
    heading: str, kind: type[msgspec.Struct]
) -> None:
    shown = {
        field.name: "must be given"
        if field.required
        else WORDS.get(field.name, "none" if field.default is None else str(field.default))
        for field in msgspec.structs.fields(kind)
    }
    assert {cells[0]: cells[-1] for cells in rows(heading)} == shown


def test_the_descriptions_words_for_defaults_are_true() -> None:
    described = cluster.Cluster()
    assert len(described.wanted()) == 8
    assert described.schemas == ("rental",)
    groups = msgspec.structs.asdict(described.machines)
    assert {role for role, group in groups.items() if group.volume_gib == 20} == {"standalone", "manager", "data"}
    assert {role: group.count for role, group in groups.items()} == {**dict.fromkeys(groups, 1), "data": 3}


def test_the_example_is_a_description_that_is_taken() -> None:
    example = SECTION.partition("### The description, a TOML file\n")[2].partition("\n| ")[0]
    text = "\n".join(line.removeprefix("    ") for line in example.splitlines())
    members = msgspec.toml.decode(text.replace('"..."', f'"{"0" * 64}"').encode())
    assert cluster.checked(members).machines.data.count == 4


def test_every_file_of_the_operator_is_documented_with_its_mode(tmp_path: Path) -> None:
    material = Material(tmp_path / "demo", SAMPLE_POLICY)
    material.make("demo")
    there = {path.name: f"{path.stat().st_mode & 0o777:04o}" for path in material.directory.iterdir()}
    told = {cells[0]: cells[-1] for cells in rows("The operator's files")}
    told |= dict.fromkeys(re.findall(r"`(\w+\.pub)`", SECTION), "0644")
    assert {name: mode for name, mode in there.items() if not name.startswith(".")}.items() <= told.items()
    assert {material.host_keys.name, material.inventory.name, "description.json"} <= told.keys()


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_the_firewalls_table_is_that_of_the_code(engine: str) -> None:
    roles: frozenset[MachineRole] = frozenset({"standalone", "manager", "data", "proxy", "orchestrator", "gatekeeper"})
    told = {
        (to, int(port), source)
        for to, ports, sources, of in rows("Who reaches whom")
        if of in {"both", engine}
        for port in ports.split(", ")
        for source in sources.split(", ")
    }
    assert told == {(rule.to, rule.port, rule.source) for rule in firewall.rules(engine, roles)}


def test_the_memory_that_a_data_node_needs_is_told() -> None:
    (least,) = re.findall(r"needs (\d+) MiB at least", SECTION)
    with pytest.raises(ndb.NotEnoughMemory, match=f"needs {least} MiB"):
        ndb.data_memory((int(least) - 1) << 20)
    assert ndb.data_memory((int(least) + 1) << 20) > 0


RUNBOOK = re.findall(r"(?:`|^    )fab ([^`\n]+)", _PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(RUNBOOK)))
def test_every_fab_command_of_the_page_is_a_task_with_such_options(command: str) -> None:
    name, *words = shlex.split(command.replace("...", "x").partition(" > ")[0])
    task = namespace[name]
    options = {flag for argument in arguments(task) for flag in _flags(argument)}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options
    given = [word for at, word in enumerate(words) if not word.startswith("-") and not _is_value(words, at, task)]
    assert len(given) <= len(task.positional), given


def _flags(argument: Argument) -> set[str]:
    names = {name.replace("_", "-") for name in argument.names if len(name) > 1}
    turned_off = {f"--no-{name}" for name in names if argument.default is True}
    return {f"--{name}" for name in names} | turned_off


def _is_value(words: Sequence[str], at: int, task: Task[Any]) -> bool:
    before = words[at - 1] if at else ""
    return any(before in _flags(argument) and argument.takes_value for argument in arguments(task))


def test_the_runbooks_words_for_problems_are_the_programs() -> None:
    text = _PAGE.partition("\n## Runbook\n")[2].partition("\n## ")[0]
    survey = (ROOT / "deploy" / "survey.py").read_text(encoding="utf-8")
    for words in (
        "the machine is missing",
        "the server is not ready",
        "a data node is missing",
        "a certificate has ended",
    ):
        assert words in text
        assert words in survey
    services = "".join(path.read_text(encoding="utf-8") for name in PARTS for path in (ROOT / name).rglob("*.py"))
    events = re.findall(
        r"^\| `(\w+)`[^|]*\|", text.partition("| event in the log |")[2].partition("\n\n")[0], re.MULTILINE
    )
    assert len(events) > 5
    # Some are put together: WHAT_refused.
    assert [event for event in events if event not in services and "_refused" not in event] == []
    metrics = set(re.findall(r"gatekeeper_\w+", text))
    known = _PAGE.partition("\n## Metrics\n")[2]
    assert [metric for metric in metrics if metric not in known] == []
