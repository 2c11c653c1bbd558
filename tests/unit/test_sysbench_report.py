"""What a reader gets of a run, and the tasks: benchmark/sysbench/{documents,plots,report,scale,local,tasks}.py."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from invoke.exceptions import Exit

from benchmark.sysbench import report, scale
from benchmark.sysbench.errors import RunUnusable
from benchmark.sysbench.local import members, paths
from benchmark.sysbench.tasks import namespace
from deploy import cluster as descriptions
from tests.unit.sysbench_results import MATRIX, NODES, a_run, kept, line, results
from tests.unit.sysbench_world import manifest


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
