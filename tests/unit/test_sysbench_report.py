"""From results to what a reader reads: the pure parts of benchmark/sysbench after a run, report.py and tasks.py."""

import csv
import io
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from invoke.exceptions import Exit

from benchmark.sysbench import agreement, durability, reading, report, scale, tables
from benchmark.sysbench.cells import Summary, summaries
from benchmark.sysbench.errors import RunUnusable
from benchmark.sysbench.intervals import Interval
from benchmark.sysbench.local import members, paths
from benchmark.sysbench.matrix import Block, Cell, Matrix, Size, Target
from benchmark.sysbench.merging import Rates
from benchmark.sysbench.rundir import (
    DataSize,
    Mark,
    Moment,
    Result,
    Results,
    RunDirectory,
    Server,
    TimelineResult,
)
from benchmark.sysbench.tasks import namespace
from benchmark.sysbench.usage import Usage
from deploy import cluster as descriptions
from tests.unit.sysbench_world import manifest

NODES = ("manager", "data1", "data2")
MATRIX = Matrix(
    name="tiny",
    sizes=(Size("fits", 2, 100), Size("larger", 2, 1000, larger=True)),
    blocks=(
        Block("fits", ("oltp_point_select",), (1, 16), "each"),
        Block("larger", ("oltp_point_select",), (16,)),
    ),
    repetitions=5,
    warmup_s=1,
    seconds=2,
    settle_s=1,
    timeline=None,
)
GALERA = {
    "innodb_flush_log_at_trx_commit": "1",
    "wsrep_on": "ON",
    "version": "10.11.19",
    "version_comment": "Debian 12",
}
INNODB = {"innodb_flush_log_at_trx_commit": "1", "version": "10.11.19", "version_comment": "Debian 12"}
NDB = {"NoOfReplicas": "3", "TimeBetweenGlobalCheckpoints": "2000"}
# Transactions/s by size, threads and SQL nodes; a repetition is a percent more than the one before.
RATES = {
    ("fits", 1, 0): 100.0,
    ("fits", 1, 1): 50.0,
    ("fits", 16, 0): 1000.0,
    ("fits", 16, 1): 200.0,
    ("fits", 16, 2): 300.0,
    ("fits", 16, 3): 400.0,
    ("larger", 16, 0): 500.0,
    ("larger", 16, 1): 100.0,
    ("larger", 16, 3): 200.0,
}


def rates(each: float) -> Rates:
    return Rates(
        transactions_per_s=each,
        queries_per_s=each,
        average_ms=1.0,
        p50_ms=1.0,
        p95_ms=2.0,
        p99_ms=3.0,
        most_ms=9.0,
        events=100,
        ignored_errors=0,
        reconnects=0,
    )


def usage(servers: float) -> Usage:
    return Usage(2.0, servers, 0.1, 1.9, 0.0, 100 << 20, 1024.0, 2048.0)


def results(factor: float = 1.0) -> list[Result]:
    made: list[Result] = []
    for (size, threads, nodes), rate in RATES.items():
        for repetition in range(1, 6):
            busy = {"standalone": usage(0.02 if nodes else 1.0)}
            busy |= {name: usage(0.5 if nodes else 0.1) for name in NODES}
            cell = Cell(size, "oltp_point_select", threads, Target(nodes))
            speed = rate * factor * (1 + repetition / 100)
            made.append(Result(len(made), repetition, cell, "2026-11-28T00:00:00+00:00", 3.2, rates(speed), usage=busy))
    return made


def a_run(listed: Sequence[Result] | None = None, line: TimelineResult | None = None) -> Results:
    servers = {"standalone": Server(INNODB, {"kernel": "6.1"}, "1.0.20")}
    servers |= {name: Server(GALERA, {"kernel": "6.1"}, "1.0.20") for name in NODES}
    data = (DataSize("fits", 10 << 20, 11 << 20, 256 << 20), DataSize("larger", 300 << 20, 310 << 20, 256 << 20))
    return Results(manifest(MATRIX, NODES), servers, data, tuple(results() if listed is None else listed), line)


def kept(path: Path, run: Results) -> Path:
    directory = RunDirectory(path)
    directory.begin(run.manifest)
    directory.put_servers(run.servers)
    for data in run.data:
        directory.put_data(data)
    for result in run.results:
        directory.add(result)
    if run.timeline:
        directory.put_timeline(run.timeline)
    return path


def summary(threads: int, nodes: int, size: str = "fits", run: Results | None = None) -> Summary:
    found = summaries(run or a_run())
    return next(
        each for each in found if (each.cell.size, each.cell.threads, each.cell.target.nodes) == (size, threads, nodes)
    )


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


def line(rates_: Sequence[float], *, back: float | None = 12.0) -> TimelineResult:
    marks = [Mark(5.0, "killed"), Mark(8.0, "started again")]
    return TimelineResult(
        target="oltp_read_write",
        lost="data2",
        moments=tuple(Moment(at, rate, 5.0, 2.0 if at == 6 else 0.0, 2) for at, rate in enumerate(rates_, 1)),
        marks=tuple([*marks, Mark(back, "in step again")] if back else marks),
        errors=(),
        ended_early=(),
    )


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


class Page(HTMLParser):
    """What a page loads, and the ids in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag in {"script", "link", "img", "iframe"} or "src" in values:
            self.loaded.append(tag)
        if tag == "svg":
            self.open.append(tag)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a report with everything in it, by their endings."""
    directory = tmp_path_factory.mktemp("runs")
    moments = line([100, 100, 100, 100, 100, 0, 5, 50, 90, 90, 90, 90])
    one = kept(directory / "one", a_run(line=moments))
    two = kept(directory / "two", a_run(results(0.5)))
    written = report.make(one, directory / "report", "galera", two)
    assert written.slower == ()
    return {path.suffix[1:]: path.read_text(encoding="utf-8") for path in written.files}


def test_the_page_is_one_file_with_a_plot_for_each_question(made: dict[str, str]) -> None:
    page = Page(made["html"])
    assert page.loaded == []
    assert len(page.open) == 6, "throughput, latency, workloads of two sizes, scale, time line"
    assert len(page.ids) == len(set(page.ids))
    assert set(re.findall(r'(?:href="|url\()#([\w.-]+)', made["html"])) <= set(page.ids)


def test_plots_are_readable_on_light_and_dark(made: dict[str, str]) -> None:
    assert "prefers-color-scheme: dark" in made["html"]
    assert "currentColor" in made["html"]
    assert "#010203" not in made["html"]


def test_axes_have_names_and_units(made: dict[str, str]) -> None:
    for text in ("transactions/s", "99th percentile, ms", "threads", "SQL nodes", "seconds since the load began"):
        assert f">{text}<" in made["html"]
    assert ">data2 killed<" in made["html"]


def test_that_all_share_the_cores_is_said_first_of_all(made: dict[str, str]) -> None:
    for text in (made["html"], made["md"]):
        assert 0 < text.index("share the cores of one host") < text.index("Versions:")


def test_of_machines_that_share_no_host_it_is_not_said(tmp_path: Path) -> None:
    elsewhere = msgspec.structs.replace(manifest(MATRIX, NODES), provider="ec2")
    run = kept(tmp_path / "run", msgspec.structs.replace(a_run(), manifest=elsewhere))
    _, markdown, *_ = report.make(run, tmp_path / "report", "report").files
    assert "share the cores of one host" not in markdown.read_text(encoding="utf-8")


def test_the_markdown_has_the_same_tables_and_sentences(made: dict[str, str]) -> None:
    for text in ("What to read from this", "DIFFERENT DURABILITY", "What is unfair to whom", "What was considered"):
        assert text in made["md"]
        assert text in made["html"]
    assert "| oltp_point_select | 16 | stand-alone InnoDB | 1,030.0 | 1,010.0 to 1,050.0 |" in made["md"]


def test_the_data_are_there_as_csv_and_json(made: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(made["csv"])))
    assert len(rows) == 9
    (row,) = (row for row in rows if (row["size"], row["threads"], row["target"]) == ("fits", "16", "cluster-3"))
    assert (row["rate"], row["rate_low"], row["rate_high"]) == ("412", "404", "420")
    whole = json.loads(made["json"])
    assert len(whole["cells"]) == 9
    assert whole["manifest"]["seed"] == 7


def test_a_run_that_was_interrupted_early_has_a_report_of_what_there_is(tmp_path: Path) -> None:
    run = msgspec.structs.replace(a_run(results()[:3]), servers={}, data=())
    written = report.make(kept(tmp_path / "run", run), tmp_path / "report", "report")
    assert "Of 3 measurements" in written.sentences[-1]
    nothing = msgspec.structs.replace(a_run([]), servers={}, data=())
    assert report.make(kept(tmp_path / "nothing", nothing), tmp_path / "report", "none").files[0].exists()


def test_the_task_that_finds_a_regression_ends_with_2(tmp_path: Path) -> None:
    slow, fast = kept(tmp_path / "slow", a_run(results(0.5))), kept(tmp_path / "fast", a_run())
    task = namespace["report"]
    with pytest.raises(Exit, match="slower than the other run: oltp_point_select") as ended:
        task.body(None, str(slow), compare=str(fast), to=str(tmp_path / "report"))
    assert ended.value.code == 2


def test_the_task_says_what_is_wrong_with_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(Exit, match=r"failed: .* is no run") as ended:
        namespace["report"].body(None, str(tmp_path))
    assert ended.value.code == 2


def test_an_unknown_matrix_is_wrong_usage() -> None:
    with pytest.raises(Exit, match="unknown matrix 'all'; known are") as ended:
        namespace["run"].body(None, matrix="all")
    assert ended.value.code == 1


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_the_local_machines_are_described_as_deploy_wants_them(engine: str) -> None:
    archive = {"source": "/archive.tar.xz", "sha256": "0" * 64} if engine == "ndb" else None
    found = descriptions.checked(members(engine, 4, archive))
    assert [machine.name for machine in found.wanted() if machine.role == "data"] == [
        "data1",
        "data2",
        "data3",
        "data4",
    ]
    assert any(machine.role == "standalone" for machine in found.wanted())


def test_runs_with_more_data_nodes_are_laid_together_by_their_number(tmp_path: Path) -> None:
    few = a_run(results(0.5))
    many = msgspec.structs.replace(a_run(), manifest=msgspec.structs.replace(few.manifest, data_nodes=4))
    found = scale.table([many, few])
    assert found.columns[-2:] == ("2 data nodes", "4 data nodes")
    (row,) = (row for row in found.rows if row[1:4] == ("fits", "16", "3"))
    assert row[-2:] == ("206 (202 to 210)", "412 (404 to 420)")
    with pytest.raises(RunUnusable, match="each with another number of data nodes"):
        scale.table([few, few])


def test_several_runs_on_the_same_machines_have_a_directory_each() -> None:
    assert [path.name for path in paths(Path("/runs/ndb"), 3)] == ["ndb", "ndb-2", "ndb-3"]
