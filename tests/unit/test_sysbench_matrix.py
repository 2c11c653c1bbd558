"""What is measured, in which order, and with which words: benchmark/sysbench/{matrix,plan,command,intervals}.py."""

from collections import Counter

import pytest

from benchmark.sysbench import command
from benchmark.sysbench.errors import UnknownMatrix
from benchmark.sysbench.intervals import LEAST_COVERAGE, Interval, coverage, interval
from benchmark.sysbench.matrix import MATRICES, STANDALONE, WORKLOADS, Size, Target, cells, named, shares
from benchmark.sysbench.plan import plan

REDUCED = MATRICES["reduced"]
FULL = MATRICES["full"]


def test_an_unknown_matrix_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownMatrix, match="unknown matrix 'all'; known are trial, scale, reduced, full"):
        named("all")


def test_the_full_matrix_has_every_workload_at_1_to_64_threads_on_all_three_targets() -> None:
    found = cells(FULL, 4)
    for workload in WORKLOADS:
        for threads in (1, 2, 4, 8, 16, 32, 64):
            targets = {cell.target.name for cell in found if (cell.workload, cell.threads) == (workload, threads)}
            assert {STANDALONE, "cluster-1"} <= targets
            assert ("cluster-4" in targets) == (threads >= 4)


def test_the_reduced_matrix_has_every_workload_on_all_three_targets_and_a_size_beyond_the_pool() -> None:
    found = cells(REDUCED, 4)
    for workload in WORKLOADS:
        assert {cell.target.nodes for cell in found if cell.workload == workload} >= {0, 1, 4}
    assert {cell.size for cell in found} == {"fits", "larger"}
    assert REDUCED.repetitions >= 5


def test_scale_is_measured_with_every_number_of_sql_nodes() -> None:
    for workload in ("oltp_point_select", "oltp_write_only"):
        mine = {cell.target.nodes for cell in cells(REDUCED, 4) if (cell.workload, cell.threads) == (workload, 16)}
        assert mine == {0, 1, 2, 3, 4}


def test_a_cell_that_several_blocks_name_is_measured_once_a_repetition() -> None:
    counts = Counter((item.cell, item.repetition) for item in plan(REDUCED, 4, seed=1))
    assert set(counts.values()) == {1}
    assert len(counts) == len(cells(REDUCED, 4)) * REDUCED.repetitions


def test_with_a_single_sql_node_its_cells_are_not_doubled() -> None:
    assert {cell.target.nodes for cell in cells(REDUCED, 1)} == {0, 1}


def test_the_same_seed_gives_the_same_plan_and_another_seed_another_order() -> None:
    assert plan(REDUCED, 4, seed=7) == plan(REDUCED, 4, seed=7)
    assert [item.cell for item in plan(REDUCED, 4, seed=7)] != [item.cell for item in plan(REDUCED, 4, seed=8)]


def test_repetitions_are_interleaved_and_each_is_in_an_order_of_its_own() -> None:
    items = [item for item in plan(REDUCED, 4, seed=3) if item.cell.size == "fits"]
    assert [item.repetition for item in items] == sorted(item.repetition for item in items)
    orders = [tuple(item.cell for item in items if item.repetition == number) for number in range(1, 6)]
    assert len(set(orders)) == 5
    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}


def test_sizes_come_one_after_the_other_since_their_tables_are_made_anew() -> None:
    sizes = [item.cell.size for item in plan(REDUCED, 4, seed=3)]
    assert sizes == sorted(sizes, key=["fits", "larger"].index)


def test_every_target_is_asked_for_the_same_rows_in_the_same_repetition() -> None:
    seeds: dict[int, set[int]] = {}
    for item in plan(REDUCED, 4, seed=3):
        seeds.setdefault(item.repetition, set()).add(item.seed)
    assert all(len(found) == 1 for found in seeds.values())
    assert len({seed for found in seeds.values() for seed in found}) == 5
    assert 0 not in {seed for found in seeds.values() for seed in found}, "sysbench takes 0 for the clock"


@pytest.mark.parametrize(("threads", "nodes", "expected"), [(16, 4, (4, 4, 4, 4)), (16, 3, (6, 5, 5)), (1, 1, (1,))])
def test_clients_are_shared_out_evenly(threads: int, nodes: int, expected: tuple[int, ...]) -> None:
    assert shares(threads, nodes) == expected


def test_targets_have_names() -> None:
    assert [Target(nodes).name for nodes in (0, 1, 4)] == ["standalone", "cluster-1", "cluster-4"]


SIZE = Size("fits", 4, 25_000)
LOAD = {"threads": 16, "warmup_s": 1, "seconds": 2, "seed": 1000}


def test_the_engine_is_passed_when_the_tables_are_made() -> None:
    words = command.prepare("/run/options", SIZE, "ndbcluster")
    assert "--mysql-storage-engine=ndbcluster" in words
    assert words[-1] == "prepare"
    assert {"--tables=4", "--table-size=25000", "--auto_inc=off"} <= set(words)


def test_a_measurement_counts_from_the_end_of_its_warm_up() -> None:
    words = command.measure("/run/options", SIZE, "oltp_read_only", LOAD)
    assert {"--time=3", "--report-checkpoints=1", "--threads=16", "--rand-seed=1000"} <= set(words)
    assert {"--histogram=on", "--report-interval=1", "--rand-type=uniform", "--auto_inc=off"} <= set(words)


def test_without_a_warm_up_there_is_no_checkpoint() -> None:
    words = command.measure("/run/options", SIZE, "oltp_read_only", {**LOAD, "warmup_s": 0})
    assert "--time=2" in words
    assert not any(word.startswith("--report-checkpoints") for word in words)


def test_the_password_is_in_a_file_and_never_an_argument() -> None:
    text = command.option_file("/run/s.sock", "u", "of-nobody", "s")
    assert "mysql-password=of-nobody\n" in text
    assert not any("password" in word for word in command.measure("/run/options", SIZE, "oltp_read_only", LOAD))


def test_the_interval_of_five_values_is_from_the_least_to_the_most() -> None:
    assert interval([5.0, 1.0, 4.0, 2.0, 3.0]) == Interval(3.0, 1.0, 5.0, 1 - 2 / 2**5, 5)


def test_the_interval_of_nine_values_leaves_out_one_on_each_side() -> None:
    found = interval([float(number) for number in range(1, 10)])
    assert (found.low, found.median, found.high) == (2.0, 5.0, 8.0)
    assert found.coverage == pytest.approx(1 - 2 * (1 + 9) / 2**9)


def test_of_few_values_the_interval_tells_how_little_it_covers() -> None:
    assert interval([4.0]) == Interval(4.0, 4.0, 4.0, 0.0, 1)
    assert interval([1.0, 2.0, 3.0]).coverage == 0.75 < LEAST_COVERAGE


def test_coverage_falls_as_the_ends_come_closer() -> None:
    assert [coverage(11, rank) for rank in (1, 2, 3)] == sorted(
        (coverage(11, rank) for rank in (1, 2, 3)), reverse=True
    )


def test_intervals_meet_where_they_have_a_value_in_common() -> None:
    low, middle, high = Interval(1, 0, 2, 1, 5), Interval(2.5, 2, 3, 1, 5), Interval(5, 4, 6, 1, 5)
    assert low.meets(middle)
    assert middle.meets(low)
    assert not middle.meets(high)
    assert middle.holds(2.5)
    assert not middle.holds(3.1)
