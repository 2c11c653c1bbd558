"""From results to medians, marks, verdicts and sentences: the pure parts of benchmark/sysbench after a run."""

import msgspec
import pytest

from benchmark.sysbench import agreement, durability, reading, tables
from benchmark.sysbench.cells import summaries
from benchmark.sysbench.intervals import Interval
from benchmark.sysbench.rundir import DataSize
from tests.unit.sysbench_results import GALERA, INNODB, NDB, a_run, line, rates, results, summary


def test_a_cell_has_the_median_of_its_repetitions_and_from_least_to_most() -> None:
    rate = summary(16, 0).rate
    assert rate is not None
    assert (rate.median, rate.low, rate.high) == pytest.approx((1030, 1010, 1050))


def test_a_repetition_that_deviates_stays_in_the_median_and_is_marked() -> None:
    listed = results()
    listed[0] = msgspec.structs.replace(listed[0], rates=rates(10.0))
    found = summary(1, 0, run=a_run(listed))
    assert found.marks == ("repetition 1: -90% from the median",)
    assert found.failed == 0
    assert found.rate is not None
    assert found.rate.low == 10.0


def test_a_repetition_that_failed_is_counted_and_marked_and_has_no_rate() -> None:
    listed = results()
    listed[0] = msgspec.structs.replace(listed[0], rates=None, marks=("standalone: could not be run",))
    found = summary(1, 0, run=a_run(listed))
    assert (found.repetitions, found.failed) == (5, 1)
    assert found.marks == ("repetition 1: standalone: could not be run",)
    assert found.rate is not None
    assert (found.rate.count, found.rate.coverage) == (4, 0.875)


def test_a_cell_of_which_everything_failed_is_in_the_tables_without_a_rate() -> None:
    listed = [msgspec.structs.replace(each, rates=None) if not each.cell.target.nodes else each for each in results()]
    run = a_run(listed)
    assert summary(16, 0, run=run).rate is None
    (first, *_) = tables.rates(run, summaries(run))
    assert any("none" in row and "0 of 5" in row for row in first.rows)


def test_the_cost_of_a_transaction_is_that_of_all_servers_of_its_side() -> None:
    cost = summary(16, 1).servers_ms
    assert cost is not None
    assert cost.median == pytest.approx(1000 * 3 * 0.5 / 206)


def test_the_sentences_follow_from_the_data() -> None:
    run = a_run()
    told = "\n".join(reading.sentences(run, summaries(run)))
    assert "oltp_point_select, fits: galera through one SQL node serves 0.20 times (0.19 to 0.21)" in told
    assert "(206 with 16 threads against 1,030 with 16 threads)." in told
    assert "galera spread over 3 SQL nodes serves 0.40 times (0.38 to 0.42)" in told
    assert "16 threads over 1 to 3 SQL nodes (1: 206, 2: 309, 3: 412 transactions/s): all serve 2.00 times" in told
    assert (
        "16 threads, standalone: with the data set larger, 0.50 times (0.48 to 0.52) the transactions/s of fits" in told
    )
    assert "the servers of the idle cluster spent 0.30 cores together" in told
    assert "Of 45 measurements 0 are marked, and 0 failed" in told


def test_what_can_not_be_told_apart_is_said_so() -> None:
    listed = [
        msgspec.structs.replace(each, rates=rates(1000.0 + each.repetition)) if each.cell.threads == 16 else each
        for each in results()
    ]
    run = a_run(listed)
    told = "\n".join(reading.sentences(run, summaries(run)))
    assert "their intervals meet: not told apart" in told
    assert "all serve as much as can be told apart from one" in told


def test_the_time_line_tells_outage_recovery_and_return() -> None:
    (told,) = reading.timeline(line([100, 100, 100, 100, 100, 0, 5, 50, 90, 90, 90, 90]))
    assert "(100 transactions/s before" in told
    assert "2 seconds of outage, 80 % of it again after 4 s, and about 2 transactions to try again" in told
    assert "in step again 4 s after its start. Measured once." in told


def test_a_time_line_that_never_recovers_says_so() -> None:
    (told,) = reading.timeline(line([100, 100, 100, 100, 100, 0, 0, 0], back=None))
    assert "never 80 % of it again" in told
    assert "the node was not in step again" in told


def test_galera_and_innodb_are_labelled_as_different_in_durability_and_two_of_a_kind_are_not() -> None:
    alone, galera = durability.of(INNODB), durability.of(GALERA)
    assert durability.label(alone, alone).startswith("Same durability: the log is on the server's disk")
    assert durability.label(alone, galera).startswith(
        "DIFFERENT DURABILITY. Stand-alone: the log is on the server's disk"
    )


def test_ndb_is_said_not_to_be_durable_at_commit() -> None:
    told = durability.of(INNODB, NDB).text
    assert "in the memory of 3 data nodes" in told
    assert "every 2000 ms" in told


@pytest.mark.parametrize(("value", "level"), [("0", "process"), ("1", "disk"), ("2", "kernel"), ("", "unknown")])
def test_how_the_log_is_flushed_decides_what_a_commit_outlives(value: str, level: str) -> None:
    assert durability.of({"innodb_flush_log_at_trx_commit": value}).level == level


def test_settings_that_differ_are_marked_side_by_side() -> None:
    rows = {row[0]: row for row in tables.settings(a_run()).rows}
    assert rows["wsrep_on"] == ("wsrep_on", "-", "ON", "differs")
    assert rows["innodb_flush_log_at_trx_commit"] == ("innodb_flush_log_at_trx_commit", "1", "1", "")


def test_the_size_beside_the_buffer_pool_is_what_was_measured_not_what_it_is_called() -> None:
    assert [row[-1] for row in tables.sizes(a_run()).rows] == ["fits", "larger than the pool"]
    small = msgspec.structs.replace(a_run(), data=(DataSize("larger", 1, 1, 256 << 20),))
    assert tables.sizes(small).rows[0][-1] == "fits"


VERDICTS = {
    "agree": (Interval(100, 95, 105, 0.93, 5), Interval(102, 97, 107, 0.93, 5)),
    "overlap": (Interval(100, 95, 105, 0.93, 5), Interval(108, 104, 112, 0.93, 5)),
    "slower": (Interval(100, 95, 105, 0.93, 5), Interval(120, 115, 125, 0.93, 5)),
    "faster": (Interval(120, 115, 125, 0.93, 5), Interval(100, 95, 105, 0.93, 5)),
    "apart": (Interval(100, 99.9, 100.1, 0.93, 5), Interval(101, 100.9, 101.1, 0.93, 5)),
    "one only": (Interval(100, 95, 105, 0.93, 5), None),
}


@pytest.mark.parametrize(("verdict", "pair"), VERDICTS.items(), ids=VERDICTS.keys())
def test_two_runs_of_a_cell_get_the_verdict_of_their_intervals(
    verdict: str, pair: tuple[Interval, Interval | None]
) -> None:
    one = summary(16, 0)
    here, there = ([msgspec.structs.replace(one, rate=rate)] for rate in pair)
    (found,) = agreement.compare(here, there)
    assert found.verdict == verdict


def test_agreement_is_told_with_the_cells_that_do_not_agree() -> None:
    here, there = summaries(a_run()), summaries(a_run(results(0.5)))
    told = agreement.sentence(agreement.compare(here, there))
    assert told.startswith("Of 9 cells that both runs have, 0 agree")
    assert "9 have intervals that do not meet: oltp_point_select, fits, 1 threads, standalone (+100%)" in told
    same = agreement.sentence(agreement.compare(here, here))
    assert same.endswith(
        "9 agree (each median lies within the other's interval), 0 more have intervals that meet,"
        " and 0 have intervals that do not meet."
    )
