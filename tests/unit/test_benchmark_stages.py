"""Where the time goes: the stages' sum against the whole, what processes took, and what a plan runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import report_parts, stages, usage
from benchmark.arrivals import Arrival
from benchmark.large import Large
from benchmark.measurement import Cell
from benchmark.plan import Plan, cells, order
from benchmark.shapes import INSERT, POINT
from benchmark.stages import stages_of
from benchmark.targets import LIMIT, TARGETS, WHOLE_PATH
from benchmark.usage import Stat, Usage
from contract.implementations import DIRECT_HIT

WAYS = {
    stages.DATABASE: 0.2,
    stages.TUNNEL: 0.5,
    stages.PROXY_HTTP: 0.6,
    stages.PROXY: 1.6,
    stages.PROXY_TLS: 1.8,
    stages.STUB: 0.1,
    stages.GATEKEEPER_HTTP: 0.7,
    stages.NO_AUDIT: 2.0,
    stages.GATEKEEPER: 2.2,
    stages.GUARD: 0.01,
    stages.WHOLE: 4.0,
}


def test_the_stages_add_up_to_the_proxy_alone_and_the_gatekeeper_alone() -> None:
    found = stages_of(WAYS, 100)
    assert found.sum_ms == pytest.approx(1.8 + 2.2 - 0.1)
    assert found.remainder_ms == pytest.approx(0.1)
    assert found.explained


def test_the_whole_path_is_in_no_stage_so_that_the_sum_can_be_wrong() -> None:
    found = stages_of({**WAYS, stages.WHOLE: 5.0}, 100)
    assert found.sum_ms == pytest.approx(3.9)
    assert not found.explained
    assert "does not explain the whole within a tenth" in report_parts.stages_verdict(found)


def test_the_table_of_stages_shows_the_sum_the_whole_and_the_remainder() -> None:
    text = report_parts.stages_grid(stages_of({**WAYS, stages.WHOLE: 4.1}, 100)).markdown()
    assert "| mutual TLS | proxy, mutual TLS - proxy, plain | 0.200 | 5% |" in text
    assert "| sum of the stages |  | 3.900 | 95% |" in text
    assert "| remainder | whole path - sum | 0.200 | 5% |" in text


def test_the_tables_of_streams_and_of_large_results_have_their_figures() -> None:
    arrival = Arrival(WHOLE_PATH, 200, 700, 5.0, 20.0, 1_030.5, 1_100.0, 3, 0.4)
    text = report_parts.arrivals_grid([arrival], Plan()).markdown()
    assert "| whole path: customized_hit, 200/s | 700 | 5.00 | 20.00 | 1,030.50 | 1,100.00 | 3 | 0.40 |" in text
    large = Large("text/csv", 1_000_000, 64.0, 12.34, 20.0, {"proxy": 90.0}, {"proxy": 18.0})
    text = report_parts.large_grid([large]).markdown()
    assert "| text/csv | 1,000,000 | 64 | 12.3 | 20.0 | 50,000 |  | 90 / 18.0 |" in text


def stat(pid: int, parent: int, name: str = "gunicorn", ticks: int = 100) -> Stat:
    return Stat(pid, name, parent, ticks, 256)


def test_a_role_has_its_roots_and_their_descendants_and_ssh_is_a_role_of_its_own() -> None:
    stats = [stat(1, 0), stat(10, 1), stat(11, 10), stat(20, 1), stat(21, 20, "ssh"), stat(30, 20), stat(99, 1)]
    found = usage.assigned({"gatekeeper": [10], "proxy": [20], "database": [30], "gone": [77]}, stats)
    assert {role: sorted(member.pid for member in members) for role, members in found.items()} == {
        "gatekeeper": [10, 11],
        "proxy": [20],
        "ssh": [21],
        "database": [30],
        "gone": [],
    }


def test_the_line_of_a_process_is_read_whatever_its_name() -> None:
    line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 500 60 7 8 20 0 1 0 12345 1000000 2500 18446744073709551615"
    assert usage.stat_of(line) == Stat(42, "a) b (c)", 7, 575, 2500)


def test_what_a_thousand_requests_took_is_less_what_would_have_been_taken_without_them() -> None:
    before, after = Usage({"proxy": 1.0, "sshd": 5.0}, {}), Usage({"proxy": 3.0, "sshd": 5.1}, {"proxy": 80.0})
    found = usage.per_thousand(before, after, 500, {"proxy": 0.5, "sshd": 0.2})
    assert found.cpu_s == {"proxy": pytest.approx(3.0), "sshd": 0.0}
    assert found.memory_mib == {"proxy": 80.0}
    assert usage.per_thousand(before, after, 0, {}).cpu_s == {}


def test_time_and_memory_of_a_process_and_of_its_ended_children_are_seen(tmp_path: Path) -> None:
    child = "x = bytearray(64 << 20); sum(range(10_000_000))"
    program = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)\n"
        "y = bytearray(32 << 20); print('done', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "done\n"
        roots = {"it": [process.pid]}
        found = usage.snapshot(roots)
        assert found.cpu_s["it"] > 0.05
        assert found.memory_mib["it"] > 32
        assert usage.peaks_mib(usage.pids(roots))["it"] > 32
        assert process.pid in usage.children_named(os.getpid(), Path(f"/proc/{process.pid}/comm").read_text().strip())


def test_a_round_asks_every_cell_once_in_an_order_of_its_own() -> None:
    plan = Plan()
    first, second = (order(plan, plan.targets, number) for number in (1, 2))
    assert sorted(first) == sorted(second) == sorted(cells(plan, plan.targets))
    assert len(set(first)) == len(first)
    assert first != second
    assert first == order(plan, plan.targets, 1)


def test_every_target_has_point_selects_and_some_have_few_numbers_of_clients() -> None:
    found = set(cells(Plan(), tuple(TARGETS)))
    assert {cell.target for cell in found if cell.shape == POINT.name} == set(TARGETS)
    assert {cell.clients for cell in found if cell.target == DIRECT_HIT} == {1, 16}
    assert {cell.clients for cell in found if cell.target == LIMIT and cell.shape == POINT.name} == {1, 4, 16, 64}
    assert Cell(LIMIT, INSERT.name, 16) in found
    assert not any(cell.shape == INSERT.name for cell in found if cell.target == DIRECT_HIT)


def test_by_default_all_of_it_takes_less_than_a_quarter_of_an_hour() -> None:
    plan = Plan()
    longest_s = plan.minutes * 60 + plan.seconds
    assert longest_s < 15 * 60
