"""Data nodes that come to a running NDB cluster, on pretended machines: the manual's order, and what was cut off."""

from pathlib import Path

import pytest

from deploy.host import Host, HostError
from deploy.roles import ndb_growth
from tests.unit.pretended_hosts import Pretended
from tests.unit.pretended_ndb import CutOff, World, hexed

TABLES = ("film", "odd-näme x/y", "a`b")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A cluster of two data nodes with rows, which is to have four."""
    made = World(tmp_path)
    made.install()
    made.cluster.tables = {name: {1, 2} for name in TABLES}
    made.grow(4)
    return made


def test_all_that_run_are_told_of_new_data_nodes_before_these_start_and_then_get_their_rows(world: World) -> None:
    log = world.install()
    started = [entry for entry in log if "mysql" not in entry and "drained" not in entry and "back" not in entry]
    assert started == [
        "manager ndb-mgmd",
        *("data1 ndbmtd", "data2 ndbmtd", "data3 ndbmtd", "data4 ndbmtd"),
        "group [3, 4]",
        *("move film", "move odd-näme x/y", "move a``b"),
    ]
    sql = [log.index(f"{name} mysql") for name in ("manager", "data1", "data2")]
    assert log.index("data2 ndbmtd") < min(sql) <= max(sql) < log.index("data3 ndbmtd")


def test_an_sql_node_that_is_told_of_new_data_nodes_is_restarted_when_proxies_have_left_it(world: World) -> None:
    log = world.install()
    for name in ("manager", "data1", "data2"):
        at = log.index(f"{name} mysql")
        assert log[at - 1 : at + 2] == [f"{name} drained", f"{name} mysql", f"{name} given back"]


def test_rows_are_on_all_data_nodes_afterwards_and_a_second_run_moves_none(world: World) -> None:
    world.install()
    assert set(map(frozenset, world.cluster.tables.values())) == {frozenset({1, 2, 3, 4})}
    assert world.install() == []
    assert [said for said in world.said if not said.endswith("unchanged")] == []


def test_what_was_cut_off_at_any_step_is_completed_by_the_next_run(tmp_path: Path) -> None:
    cuts = 0
    while True:
        (directory := tmp_path / str(cuts)).mkdir()
        world = World(directory)
        world.install()
        world.cluster.tables = {name: {1, 2} for name in TABLES}
        world.grow(4)
        world.cluster.cut = cuts
        try:
            world.install()
            break
        except CutOff:
            world.cluster.cut = None
            world.install()
        assert world.cluster.groups == {1: 0, 2: 0, 3: 1, 4: 1}
        assert {len(on) for on in world.cluster.tables.values()} == {4}
        cuts += 1
    assert cuts == 14  # each start, restart, group and table


def test_a_data_node_that_was_stopped_is_no_new_one_and_starts_before_others_are_restarted(world: World) -> None:
    world.install()
    world.hosts["data2"].units["gk-ndbmtd.service"] = "enabled inactive"
    for name in ("data1", "data2", "data3", "data4"):
        world.hosts[name].answers["nproc"] = f"{4 << 30}\n8\n"
    data = [entry for entry in world.install() if "ndbmtd" in entry]
    assert data == ["data2 ndbmtd", "data1 ndbmtd", "data3 ndbmtd", "data4 ndbmtd"]


def test_data_nodes_that_stay_without_a_group_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.cluster, "group", lambda _numbers: None)
    with pytest.raises(HostError, match="data nodes 3, 4 have no node group"):
        world.install()


def test_a_table_that_has_rows_everywhere_or_that_ndb_does_not_know_is_left_alone() -> None:
    spread = "".join(f"{hexed(f'shop/def/{name}', on)}\n" for name, on in (("a", 4), ("b", 2)))
    answers = [spread, "".join(f"{hexed('shop', name)}\n" for name in "abc")]

    def sql(host: Host, script: str, *, timeout_s: float = 0) -> str:
        return answers.pop(0)

    assert ndb_growth.uneven(sql, Pretended(), 4) == ["`shop`.`b`"]
