"""The benchmark's pure parts: what is read from measurements, what is printed of them, what is asked for."""

import json
import math
import re
from pathlib import Path

import pytest

from benchmark import __main__ as command
from benchmark import report
from benchmark.bench import Report
from benchmark.errors import LoadFailed
from benchmark.http_load import sample_of
from benchmark.machine import Machine, version_in
from benchmark.measurement import Cell, Run, Sample, run_of, summaries, summarize
from benchmark.plan import Plan
from benchmark.shapes import POINT
from benchmark.targets import LIMIT, SSHTUNNEL, WHOLE_PATH, XMYSQL
from benchmark.tunnels import NoDelay
from benchmark.usage import Usage

ROOT = Path(__file__).parents[2]
WRK = """\
Running 2s test @ http://127.0.0.1:8080/
  2 threads and 2 connections
Requests/sec:   1234.00
duration_us 2001000
failed 0 connect
failed 3 timeout
wrong 1
latency 900 5
latency 1100 4
wrong 0
latency 900 1
"""


def run(target: str = WHOLE_PATH, clients: int = 1, per_second: float = 100.0, errors: int = 0) -> Run:
    usage = Usage({"gatekeeper": 1.5, "database": 0.25}, {"gatekeeper": 100.0, "database": 900.0})
    requests = int(per_second * 2)
    return Run(1, target, POINT.name, clients, 2.0, requests, per_second, 1.0, 1.5, 2.0, 3.0, errors, usage)


def report_of(*runs: Run, not_measured: dict[str, str] | None = None) -> Report:
    machine = Machine("2026-01-02 03:04 UTC", 2, "A processor", 15.6, "6.1.0", 0.25, {"Python": "3.11.2"})
    plan = Plan((LIMIT, WHOLE_PATH, SSHTUNNEL, XMYSQL), shapes=(POINT.name,), clients=(1, 16))
    return Report(machine, plan, list(runs), not_measured or {}, NoDelay(0.4, 0.9, 41.0, 44.0))


@pytest.mark.parametrize(
    ("percent", "expected_ms"),
    [(50, 2.0), (75, 3.0), (99, 9.0), (100, 9.0), (1, 1.0)],
    ids=["median", "three quarters", "the highest", "all", "the lowest"],
)
def test_a_percentile_is_the_latency_that_so_many_answers_did_not_exceed(percent: float, expected_ms: float) -> None:
    sample = Sample(1.0, {9000: 1, 1000: 1, 3000: 1, 2000: 1})
    assert sample.percentile_ms(percent) == expected_ms


def test_a_run_without_a_right_answer_has_no_latency_and_no_speed() -> None:
    found = run_of(1, Cell(XMYSQL, POINT.name, 1), Sample(2.0, {}, errors=7), Usage())
    assert math.isnan(found.p50_ms)
    assert (found.per_second, found.errors) == (0.0, 7)


def test_a_summary_has_the_median_the_spread_and_all_errors() -> None:
    found = summarize([run(per_second=90), run(per_second=200, errors=2), run(per_second=100, errors=1)])
    assert (found.per_second, found.least_per_second, found.most_per_second) == (100, 90, 200)
    assert (found.errors, found.rounds, found.requests) == (3, 3, 780)


@pytest.mark.parametrize("runs", [[], [run(clients=1), run(clients=16)]], ids=["none", "mixed"])
def test_a_summary_is_of_one_target_at_one_number_of_clients(runs: list[Run]) -> None:
    with pytest.raises(ValueError, match="one target"):
        summarize(runs)


def test_every_target_and_number_of_clients_has_its_own_summary() -> None:
    found = summaries([run(clients=1), run(clients=16), run(LIMIT), run(clients=1)])
    assert {(cell.target, cell.clients): summary.rounds for cell, summary in found.items()} == {
        (WHOLE_PATH, 1): 2,
        (WHOLE_PATH, 16): 1,
        (LIMIT, 1): 1,
    }


def test_what_wrk_printed_is_read_over_all_threads() -> None:
    sample = sample_of(WRK)
    assert sample.latencies_us == {900: 6, 1100: 4}
    assert sample.errors == 4
    assert sample.seconds == pytest.approx(1.501)


def test_wrk_without_a_report_is_a_failure_that_quotes_it() -> None:
    with pytest.raises(LoadFailed, match="unable to connect"):
        sample_of("unable to connect to 127.0.0.1:1 Connection refused")


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu", "10.11.14"),
        ("OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17", "9.2p1"),
        ("v20.20.2", "20.20.2"),
        ("", "missing"),
    ],
    ids=["mariadbd", "ssh", "node", "nothing"],
)
def test_a_version_is_found_in_what_a_program_prints(printed: str, version: str) -> None:
    assert version_in(printed) == version


def test_the_markdown_has_a_row_for_each_target_and_its_ratio_to_the_whole_path() -> None:
    text = report.markdown(
        report_of(
            run(LIMIT, per_second=5000),
            run(WHOLE_PATH, per_second=1000),
            run(SSHTUNNEL, per_second=500, errors=2),
            not_measured={XMYSQL: "npm is missing"},
        )
    )
    assert "| limit: PyMySQL, tunnel | 5,000 | 5,000 to 5,000 | 1.00 | 2.00 | 3.00 | 0 | 5.00 |" in text
    assert "| whole path: sshtunnel | 500 | 500 to 500 | 1.00 | 2.00 | 3.00 | 2 | 0.50 |" in text
    assert "| xmysql | not measured: npm is missing |" in text
    assert "openssh against sshtunnel: 1,000 against 500 requests/s at 1 client." in text
    assert "2 cores (A processor), 16 GiB" in text
    assert "The whole path against limit: PyMySQL, tunnel: 0.20 times its requests/s and 1.00 times its p50" in text


def test_what_services_took_is_shown_by_service_and_the_nodes_memory_is_not_the_rows() -> None:
    text = report.markdown(report_of(run(clients=16)))
    assert "### A film by its primary key: processor seconds for 1,000 requests, 16 clients" in text
    assert "| whole path: customized_hit | 1.50 |  |  |  | 0.25 |  | 1.75 | 100 |" in text


def test_a_part_that_could_not_be_measured_is_said_with_its_reason() -> None:
    text = report.markdown(report_of(run(), not_measured={"stages": "the stub did not start"}))
    assert "Not measured: stages: the stub did not start." in text


def test_results_replace_what_stood_between_the_markers_and_nothing_else() -> None:
    document = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.put_between_markers(document, "new")
    assert once == f"before\n{report.BEGIN}\n\nnew\n{report.END}\nafter\n"
    assert report.put_between_markers(once, "new") == once


def test_a_document_without_the_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        report.put_between_markers("no markers", "new")


def test_the_document_has_the_markers() -> None:
    document = (ROOT / "docs" / "benchmarks.md").read_text()
    assert document.count(report.BEGIN) == document.count(report.END) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--targets", "limit,nonsense"], "unknown: nonsense; known are limit, customized_hit"),
        (["--shapes", "point,"], "unknown: ; known are point, range, join, insert"),
        (["--rows", "1000001"], "whole number from 1 to 1000000"),
        (["--seconds", "0"], "whole number from 1"),
        (["--rounds", "x"], "whole number from 1"),
        (["--clients", "1,,2"], "whole number from 1"),
    ],
    ids=["unknown target", "empty shape", "too many rows", "no seconds", "no number", "empty number"],
)
def test_a_wrong_option_is_refused_with_what_is_right(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_the_peers_versions_are_exact_and_the_lock_names_no_host() -> None:
    manifest = json.loads((ROOT / "benchmark" / "package.json").read_text())
    lock = (ROOT / "benchmark" / "package-lock.json").read_text()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in manifest["dependencies"].values())
    assert json.loads(lock)["packages"][""]["dependencies"] == manifest["dependencies"]
    assert "resolved" not in lock
    assert "://" not in lock
