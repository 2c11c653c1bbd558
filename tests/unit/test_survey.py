"""How a cluster is said to be: what is wrong is named, and a machine that does not answer hides no other."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from deploy.host import HostError
from deploy.survey import Row, rows
from tests.unit.pretended_cluster import World

NOW = datetime.now(UTC)


def told(certificate: timedelta = timedelta(days=30), unit: str = "active", release: str = "0.2.0-abc") -> str:
    """What a service's machine says when it is looked at."""
    ends = (NOW + certificate).isoformat(timespec="seconds")
    later = (NOW + timedelta(days=300)).isoformat(timespec="seconds")
    return f"unit gk-x {unit}\nunit nginx active\nrelease {release}\nends {later}\nends {ends}\ndisk  42%\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, monkeypatch)
    for host in made.hosts.values():
        host.answers |= {"systemctl is-active": told(), "df --output=pcent": " 17%\n"}
    return made


def by_name(world: World) -> dict[str, Row]:
    return {row.name: row for row in rows(world.deployment)}


def test_a_healthy_cluster_has_a_row_for_each_machine_and_no_problem(world: World) -> None:
    found = by_name(world)
    assert found.keys() == world.hosts.keys()
    assert {row.problem for row in found.values()} == {""}
    assert (found["data1"].engine_state, found["data1"].version, found["data1"].disk_used) == ("Synced", "1", 17)
    proxy = found["proxy"]
    assert (proxy.services, proxy.version) == ({"gk-x": "active", "nginx": "active"}, "0.2.0-abc")
    assert (proxy.disk_used, proxy.certificate_ends) == (42, (NOW + timedelta(days=30)).isoformat(timespec="seconds"))


PROBLEMS = {
    "a unit that is down": (told(unit="failed"), "gk-x"),
    "a certificate that ended": (told(certificate=timedelta(seconds=-1)), "a certificate has ended"),
    "both": (told(certificate=timedelta(days=-1), unit="inactive"), "gk-x, a certificate has ended"),
    "nothing": (told(), ""),
}


@pytest.mark.parametrize(("answer", "problem"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_what_is_wrong_with_a_service_is_named(world: World, answer: str, problem: str) -> None:
    world.hosts["proxy"].answers["systemctl is-active"] = answer
    assert by_name(world)["proxy"].problem == problem


def test_a_service_that_was_never_installed_whole_has_no_certificate_that_ended(world: World) -> None:
    world.hosts["proxy"].answers["systemctl is-active"] = "unit gk-x inactive\nrelease \ndisk 3%\n"
    row = by_name(world)["proxy"]
    assert (row.problem, row.certificate_ends, row.version) == ("gk-x", "", "")


def test_a_disk_that_is_nearly_full_is_a_problem_on_every_machine(world: World) -> None:
    world.hosts["data1"].answers["df --output=pcent"] = " 97%\n"
    world.hosts["proxy"].answers["systemctl is-active"] = told().replace("42%", "90%")
    found = by_name(world)
    assert found["data1"].problem == "the disk is 97 % full"
    assert found["proxy"].problem == "the disk is 90 % full"


def test_a_machine_that_does_not_answer_has_its_row_with_the_reason_and_the_others_have_theirs(world: World) -> None:
    error = HostError("data1: 'connect' did not end within 15 s")
    world.hosts["data1"].answers = {"": error}
    found = by_name(world)
    assert found["data1"].problem == str(error)
    assert {row.problem for row in found.values() if row.name != "data1"} == {""}


def test_a_server_that_is_not_ready_is_not_asked_for_its_version(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.engine, "is_ready", lambda _state: False)
    row = by_name(world)["manager"]
    assert row.problem
    assert row.version == ""


def test_a_machine_that_is_stopped_is_not_asked_and_its_state_is_told(world: World) -> None:
    world.provider.machines = [
        msgspec.structs.replace(each, state="stopped") if each.name == "data2" else each
        for each in world.provider.machines
    ]
    assert by_name(world)["data2"].state == "stopped"
    assert world.hosts["data2"].scripts == []


@pytest.mark.parametrize(
    ("left", "problem"),
    [
        pytest.param(timedelta(days=9), "", id="days left"),
        pytest.param(timedelta(days=-1), "a certificate has ended", id="ended"),
    ],
)
def test_the_end_of_a_certificate_among_nodes_is_told_as_a_services_is(
    world: World, monkeypatch: pytest.MonkeyPatch, left: timedelta, problem: str
) -> None:
    monkeypatch.setattr(world.engine, "certificate_end", lambda _host: NOW + left)
    row = by_name(world)["data1"]
    assert (row.certificate_ends, row.problem) == ((NOW + left).isoformat(), problem)
