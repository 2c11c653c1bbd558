"""The local system's files, what its tasks print, and how they end; no cluster is started."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from invoke.exceptions import Exit
from rich.console import Console

from contract import inventory
from contract.errors import Unavailable
from deploy import local
from deploy.engines import engine
from deploy.local import Row, UnusableName
from deploy.providers.addresses import candidates
from deploy.providers.state import Busy, NoCluster, Place, UnknownNode
from deploy.services import ServiceError, forget
from deploy.tasks import failures
from deploy.tasks import local as tasks
from tests.unit.test_services import configure_now, installation

COMMITTED = Path(__file__).parents[2] / "cluster_config.csv"


def test_the_committed_inventory_is_the_default_clusters() -> None:
    layout, block = engine(local.ENGINE).layout, next(candidates(local.DEFAULT_NAME, len(engine(local.ENGINE).layout)))
    machines = inventory.load(COMMITTED)
    nodes = [machine for machine in machines if machine.role in inventory.SQL_ROLES]
    assert [(node.name, node.role, node.private_ip_address) for node in nodes] == [
        (name, role, address) for (name, role), address in zip(layout, block.addresses, strict=True)
    ]
    assert {(node.ssh_port, node.mysql_port) for node in nodes} == {(block.ssh_port, block.mysql_port)}
    assert [machine.name for machine in machines if machine not in nodes] == ["proxy1", "gatekeeper1"]


def test_what_a_newcomer_looks_for_lies_in_var_and_the_rest_in_a_directory_of_its_own(tmp_path: Path) -> None:
    first, second = local.system(var=tmp_path), local.system("second", tmp_path)
    assert (first.key_file, first.url_file) == (tmp_path / "demo-key", tmp_path / "gatekeeper-url")
    assert {second.key_file.parent, second.url_file.parent, second.keys.parent} == {tmp_path / "local" / "second"}
    assert first.directory != second.directory
    assert first.cache == second.cache


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "Demo", "a b", "x" * 32, "a\n"])
def test_a_name_that_is_no_plain_word_is_refused(name: str) -> None:
    with pytest.raises(UnusableName, match="can't be a name"):
        local.system(name)


def test_taking_down_what_is_not_up_changes_nothing(tmp_path: Path) -> None:
    assert not local.down(local.system("ghost", tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_failed_start_leaves_only_its_logs_which_the_error_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = local.system("broken", tmp_path)
    log = system.directory / "log" / "proxy1.log"

    def fails(*_: object) -> None:
        Place(system.directory).nodes.mkdir(parents=True)  # as the provider leaves a cluster that has begun
        log.parent.mkdir()
        log.write_text("what went wrong\n")
        system.key_file.write_text("secret\n")
        raise ServiceError("proxy1 does not stay up", log)

    monkeypatch.setattr(local, "_start", fails)
    with pytest.raises(ServiceError) as failure:
        local.up(system, _ignore, _ignore)
    assert failure.value.log
    assert failure.value.log.read_text() == "what went wrong\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [failure.value.log]


def _ignore(*_: object) -> None:
    """Says nothing, and proves nothing."""


def _raises(error: BaseException) -> Callable[[], None]:
    def task() -> None:
        raise error

    return task


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownNode("unknown node 'x'"), failures.USAGE),
        (UnusableName("'..' can't be a name"), failures.USAGE),
        (NoCluster("there is no local cluster"), failures.FAILED),
        (Busy("another command is at work"), failures.FAILED),
        (Unavailable("no node is up"), failures.FAILED),
        (TimeoutError("not within 10 s"), failures.FAILED),
        (ServiceError("proxy1 does not stay up"), failures.FAILED),
        (KeyboardInterrupt(), failures.INTERRUPTED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_expected_error_ends_a_task_with_one_sentence(error: BaseException, code: int) -> None:
    with pytest.raises(Exit) as end:
        failures.reported(_raises(error))()
    assert end.value.code == code
    assert str(error) in (end.value.message or "")
    assert "\n" not in (end.value.message or "")


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        failures.reported(_raises(ZeroDivisionError()))()


def test_a_failed_service_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "proxy1.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    with pytest.raises(Exit, match=r"failed: proxy1 .*proxy1\.log ends with\n(.|\n)*line 99") as end:
        failures.reported(_raises(ServiceError("proxy1 does not stay up", log)))()
    assert "line 0\n" not in (end.value.message or "")


def test_the_next_steps_hold_a_curl_that_a_shell_understands_and_no_key(tmp_path: Path) -> None:
    services = configure_now(installation(tmp_path))
    forget(services)
    system = local.system(var=tmp_path)
    system.key_file.write_text("gk_secret\n")
    text = tasks._next_steps(system, services)
    command = shlex.split(next(part for part in text.split("\n\n") if part.startswith("  curl")))
    assert command[:3] == ["curl", "-s", f"{services.gatekeeper_url}/endpoint"]
    assert "gk_secret" not in text
    assert text.endswith("make down")


def test_the_status_table_has_a_line_for_each_and_nothing_for_what_is_not_known() -> None:
    rows = [
        Row("manager", "manager", "127.0.0.11", 123, "running", "Synced", 0.1234),
        Row("data1", "data", "127.0.0.12", None, "stopped", "", None),
    ]
    console = Console(width=120)
    with console.capture() as printed:
        console.print(tasks._table(rows))
    assert "0.12" in printed.get()
    assert "None" not in printed.get()
    assert len([line for line in printed.get().splitlines() if "127.0.0" in line]) == 2
