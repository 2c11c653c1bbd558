"""What sysbench 1.0.20 (Debian bookworm) printed, held by hand against what benchmark/sysbench/parser.py makes of it.

The transcripts in sysbench_transcripts/ were made with MariaDB 10.11 on 2026-11-28, on a machine that was busy:

point-select      2 threads, a checkpoint after 1 s, 4 s in all
read-write        4 threads, the same, 3 s in all
ignored-errors    oltp_write_only, 16 threads on 20 rows: deadlocks, which sysbench tries again by itself
server-killed     4 threads; the server was killed with SIGKILL after 2.5 s
crashed           the same with --mysql-ignore-errors=all: sysbench ended with a segmentation fault (its issue 527)
reconnects        the same, with the client library's mysql_close replaced by one that leaves the handle usable, as the
                  fix proposed for that issue does: sysbench's own lines, of a sysbench that can connect again
lines-between     4 threads through a Galera node: a line of progress between the checkpoint's heading and its report
missing-table, no-server, prepare, prepare-again    as their names say
"""

from pathlib import Path

import msgspec
import pytest

from benchmark.sysbench import parser
from benchmark.sysbench.merging import histogram, merged, percentile
from benchmark.sysbench.parser import Bucket, Report, Transcript

TRANSCRIPTS = Path(__file__).with_name("sysbench_transcripts")


def parsed(name: str) -> Transcript:
    return parser.parse((TRANSCRIPTS / f"{name}.txt").read_text(encoding="utf-8"))


def test_the_final_report_of_a_point_select_has_sysbenchs_own_numbers() -> None:
    found = parsed("point-select")
    assert found.version == "1.0.20"
    assert found.final == Report(
        reads=10779,
        writes=0,
        others=0,
        transactions=10779,
        transactions_per_s=3585.07,
        queries=10779,
        queries_per_s=3585.07,
        ignored_errors=0,
        reconnects=0,
        total_time_s=4.0074,
        events=10779,
        least_ms=0.04,
        average_ms=0.56,
        most_ms=24.17,
        percentile_ms=8.90,
        sum_ms=5991.86,
    )
    assert found.errors == ()


def test_what_came_before_the_checkpoint_is_apart_from_what_is_counted() -> None:
    found = parsed("ignored-errors")
    (warmup,) = found.checkpoints
    assert (warmup.transactions, warmup.transactions_per_s, warmup.ignored_errors) == (167, 165.58, 43)
    assert found.final is not None
    assert (found.final.transactions, found.final.transactions_per_s, found.final.ignored_errors) == (496, 243.83, 111)


def test_a_line_of_progress_within_a_checkpoint_does_not_make_it_the_final_report() -> None:
    found = parsed("lines-between")
    assert [report.events for report in found.checkpoints] == [17232]
    assert found.final is not None
    assert (found.final.events, found.final.transactions_per_s) == (48002, 23998.09)
    assert [second.at_s for second in found.seconds] == [1, 2, 3]


def test_a_transaction_of_several_queries_is_told_from_its_queries() -> None:
    final = parsed("read-write").final
    assert final is not None
    assert (final.reads, final.writes, final.others, final.queries) == (2577, 745, 372, 3694)
    assert (final.transactions, final.transactions_per_s, final.queries_per_s) == (188, 87.60, 1721.29)


def test_each_second_has_its_line() -> None:
    seconds = parsed("ignored-errors").seconds
    assert [second.at_s for second in seconds] == [1, 2, 3]
    last = seconds[-1]
    assert (last.threads, last.transactions_per_s, last.queries_per_s) == (16, 297.83, 1922.82)
    assert (last.latency_ms, last.errors_per_s, last.reconnects_per_s) == (227.40, 60.37, 0.0)


@pytest.mark.parametrize("name", ["point-select", "read-write", "ignored-errors", "reconnects"])
def test_the_histogram_counts_exactly_the_events_after_the_checkpoint(name: str) -> None:
    found = parsed(name)
    assert found.final is not None
    assert sum(bucket.count for bucket in found.histogram) == found.final.events


@pytest.mark.parametrize("name", ["point-select", "read-write", "ignored-errors", "reconnects"])
def test_a_percentile_of_the_histogram_is_the_one_that_sysbench_prints(name: str) -> None:
    found = parsed(name)
    assert found.final is not None
    assert percentile(found.histogram, 99) == pytest.approx(found.final.percentile_ms, abs=0.0051)


def test_the_histograms_first_and_last_lines_are_read() -> None:
    histogram = parsed("reconnects").histogram
    assert (histogram[0], histogram[-1]) == (Bucket(3.488, 1), Bucket(4437.275, 2))


def test_reconnects_are_counted_in_the_report_and_in_the_second_of_their_end() -> None:
    found = parsed("reconnects")
    assert found.final is not None
    assert found.final.reconnects == 4
    assert [(second.at_s, second.reconnects_per_s) for second in found.seconds if second.reconnects_per_s] == [
        (7, 4.02)
    ]
    assert [second.at_s for second in found.seconds if second.transactions_per_s == 0] == [4, 5, 6]


def test_a_server_that_was_killed_leaves_errors_and_no_report() -> None:
    found = parsed("server-killed")
    assert found.final is None
    assert [second.at_s for second in found.seconds] == [1, 2]
    assert found.error_lines == 8
    assert found.mysql_errors == (2013,)
    assert found.errors[0] == (
        "FATAL: mysql_stmt_execute() returned error 2013 (Lost connection to server during query) for query 'COMMIT'"
    )


def test_of_a_sysbench_that_crashed_its_seconds_are_left() -> None:
    found = parsed("crashed")
    assert found.final is None
    assert [second.transactions_per_s for second in found.seconds] == [132.75, 191.73]
    assert (found.errors, found.histogram) == ((), ())


FAILED = {
    "missing-table": (1146, "FATAL: mysql_stmt_prepare() failed"),
    "no-server": (2002, "FATAL: unable to connect to MySQL server on socket '/tmp/sbx/nowhere.sock', aborting..."),
    "prepare-again": (
        1050,
        "FATAL: mysql_drv_query() returned error 1050 (Table 'sbtest1' already exists) for query"
        " 'CREATE TABLE sbtest1(",
    ),
}


@pytest.mark.parametrize(("name", "expected"), FAILED.items(), ids=FAILED.keys())
def test_what_failed_tells_the_servers_number_and_the_first_line(name: str, expected: tuple[int, str]) -> None:
    found = parsed(name)
    assert found.mysql_errors == (expected[0],)
    assert found.errors[0] == expected[1]
    assert found.final is None


def test_tables_that_were_made_without_trouble_have_no_errors() -> None:
    assert parsed("prepare").errors == ()


def test_a_transcript_that_was_cut_off_anywhere_gives_what_is_whole() -> None:
    text = (TRANSCRIPTS / "ignored-errors.txt").read_text(encoding="utf-8")
    whole = parser.parse(text)
    for end in range(0, len(text), 37):
        found = parser.parse(text[:end])
        assert found.final in {None, whole.final}
        assert found.checkpoints in {(), whole.checkpoints}
        assert found.seconds == whole.seconds[: len(found.seconds)]


def test_the_version_is_that_of_the_program_and_nothing_elses() -> None:
    assert parser.version("sysbench 1.0.20\n") == "1.0.20"
    assert parser.version("bash: sysbench: command not found") == ""


def test_two_processes_together_have_the_sum_of_their_rates_and_one_histogram() -> None:
    one, two = parsed("point-select"), parsed("read-write")
    both = merged([one, two])
    assert both is not None
    assert both.transactions_per_s == pytest.approx(3585.07 + 87.60)
    assert both.events == 10779 + 188
    assert both.average_ms == pytest.approx((5991.86 + 8398.09) / (10779 + 188))
    assert both.most_ms == 247.83
    assert sum(bucket.count for bucket in histogram([one, two])) == both.events
    assert 8.90 < both.p99_ms < 227.40


def test_the_rates_of_processes_that_counted_different_times_are_not_added() -> None:
    one = parsed("point-select")
    assert one.final is not None
    late = msgspec.structs.replace(one.final, transactions_per_s=one.final.transactions_per_s * 2)
    assert one.final.counted_s == pytest.approx(3.007, abs=0.001)
    assert late.counted_s == pytest.approx(one.final.counted_s / 2)
    assert merged([one, msgspec.structs.replace(one, final=late)]) is None
    assert merged([one, one]) is not None


def test_a_sum_without_one_of_its_processes_is_no_measurement() -> None:
    assert merged([parsed("point-select"), parsed("server-killed")]) is None
    assert merged([]) is None


def test_of_no_events_there_is_no_percentile() -> None:
    assert percentile([], 99) == 0.0
