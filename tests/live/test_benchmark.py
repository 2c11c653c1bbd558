"""The benchmark's targets on a real system: every shape is rightly answered, and what services take is seen."""

import contextlib
from collections.abc import Iterator

import pytest

from benchmark import constant_rate, large, stages, usage
from benchmark.http_load import HttpLoad
from benchmark.measurement import WARM_UP_S
from benchmark.shapes import INSERT, INSERT_TABLE, POINT, SCHEMA, SHAPES
from benchmark.targets import LIMIT, NO_GUARD, PER_REQUEST, TARGETS, WHOLE_PATH, Opened, Target
from benchmark.world import World, world_of
from deploy.ports import Ports
from deploy.services import ADDRESS
from tests.live.system_fixtures import LiveSystem

OWN = (LIMIT, WHOLE_PATH, NO_GUARD)


@pytest.fixture(scope="module")
def world(system: LiveSystem) -> Iterator[World]:
    with Ports(ADDRESS) as ports, contextlib.ExitStack() as stack:
        yield world_of(system.files, system.services, ports, stack)
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {SCHEMA}.{INSERT_TABLE}")


@pytest.fixture(scope="module")
def opened(world: World) -> dict[str, Opened]:
    return {name: TARGETS[name].open(world) for name in OWN}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OWN)
def test_every_shape_is_rightly_answered(world: World, opened: dict[str, Opened], name: str, shape: str) -> None:
    opened[name].load(world.asked[shape]).check()


def test_a_tunnel_for_each_request_answers_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.peers.install", lambda cache: cache)
    target: Target = TARGETS[PER_REQUEST]
    target.open(world).load(world.asked[POINT.name]).check()


def test_processor_time_and_memory_are_found_at_every_service(world: World, opened: dict[str, Opened]) -> None:
    roots = {**opened[WHOLE_PATH].roots, **world.database_roots()}
    found = usage.snapshot(roots)
    assert set(found.cpu_s) == {"gatekeeper", "proxy", "orchestrator", "ssh", "sshd", "database"}
    assert all(mib > 1 for mib in found.memory_mib.values())


def test_inserted_rows_are_removed(world: World, opened: dict[str, Opened], system: LiveSystem) -> None:
    opened[LIMIT].load(world.asked[INSERT.name]).check()
    world.clean()
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {SCHEMA}.{INSERT_TABLE}")
        assert cursor.fetchall() == ((0,),)


def test_a_steady_stream_is_answered(world: World, opened: dict[str, Opened]) -> None:
    load = opened[WHOLE_PATH].load(world.asked[POINT.name])
    assert isinstance(load, HttpLoad)
    arrived = constant_rate.measure(load.address, load.exchanges, 10, WARM_UP_S + 1)
    assert (arrived.sample.requests, arrived.sample.errors) == (10, 0)


def test_the_ways_of_a_request_are_timed_and_the_stages_follow_from_them(world: World) -> None:
    found = stages.measure(world, 0.01)
    assert len(found.ways_ms) == 11
    assert all(ms > 0 for ms in found.ways_ms.values())
    assert found.sum_ms + found.remainder_ms == pytest.approx(found.whole_ms)


def test_large_results_come_whole_both_ways(world: World) -> None:
    found = list(large.measure(world, rows=20_000))
    assert [one.rows for one in found] == [20_000] * 3
    assert {one.way for one in found} == {large.DRIVER, "application/x-ndjson", "text/csv"}
    assert all(one.peaks_mib["database"] > 1 for one in found)
