"""The command `gk` against a real HTTP server on loopback: what it sends, prints and returns."""

import csv
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from client import output
from client.cli import main
from contract.errors import DatabaseRefused, Forbidden
from contract.messages import Column
from tests.unit.test_client import ANSWER, KEY, NODES, REQUEST_ID, Gateway, serving

WRITTEN = msgspec.structs.replace(ANSWER, columns=[], rows=[], affected_rows=2, last_insert_id=7, attempts=3)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(name="gateway")
def _gateway() -> Iterator[Gateway]:
    with Gateway() as gateway, serving(gateway):
        yield gateway


@pytest.fixture(name="_below_var", autouse=True)
def _below_a_local_cluster(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current directory is two below one whose var/ is as `make up` leaves it."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "gatekeeper-url").write_text(f"{gateway.url}\n")
    (tmp_path / "var" / "demo-key").write_text(f"{KEY}\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    for variable in ("GATEKEEPER_URL", "GATEKEEPER_KEY"):
        monkeypatch.delenv(variable, raising=False)


def _type(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_query_is_answered_with_a_table_that_names_the_node(gateway: Gateway, capsys: Captured) -> None:
    assert main(["query", "SELECT 1"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "rental_rate",
        "FROZEN MERIDIAN",
        "2.90",
        "0x00ff",
        "NULL",
        "2 rows · node data2 · customized_hit · 1.8 ms",
    ):
        assert text in shown
    assert gateway.bodies() == [{"query": "SELECT 1", "timeout_ms": 30_000}]
    assert gateway.seen[0].headers["Authorization"] == f"Bearer {KEY}"


def test_options_travel_with_the_query(gateway: Gateway) -> None:
    asked = ["query", "SELECT 1", "--implementation", "ping", "--database", "rental", "--timeout-ms", "700"]
    assert main(asked) == 0
    assert gateway.bodies() == [
        {"query": "SELECT 1", "implementation": "ping", "database": "rental", "timeout_ms": 700}
    ]


PARAMS = [
    ("number", ["42"], [42]),
    ("negative number", ["-5"], [-5]),
    ("text", ["FROZEN MERIDIAN"], ["FROZEN MERIDIAN"]),
    ("text with zeros before", ["007"], ["007"]),
    ("json text", ['"42"'], ["42"]),
    ("null and true", ["null", "true"], [None, True]),
    ("not a number is a text", ["NaN"], ["NaN"]),
    ("large integer", ["18446744073709551615"], [2**64 - 1]),
    ("bytes", ['{"$bytes": "AP8="}'], [{"$bytes": "AP8="}]),
    ("json", ['{"a": [1]}'], [{"$json": {"a": [1]}}]),
    ("named", ["id=42", "title=A=B"], {"id": 42, "title": "A=B"}),
    ("text with an equals sign", ['"a=b"'], ["a=b"]),
]


@pytest.mark.parametrize(("given", "sent"), [case[1:] for case in PARAMS], ids=[case[0] for case in PARAMS])
def test_a_parameter_is_read_as_json_if_it_is_json_and_else_as_text(
    gateway: Gateway, given: list[str], sent: object
) -> None:
    assert main(["query", "SELECT ?", *(part for value in given for part in ("--param", value))]) == 0
    assert gateway.bodies()[0]["params"] == sent


def test_json_is_the_answer_as_it_travelled(capsys: Captured) -> None:
    assert main(["query", "SELECT 1", "--format", "json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=type(ANSWER)) == ANSWER


def test_csv_has_names_first_and_tells_null_from_an_empty_text(gateway: Gateway, capsys: Captured) -> None:
    rows = [["", None, 'a "b", c\nd'], [1, "x", None]]
    gateway.answers(msgspec.structs.replace(ANSWER, columns=[Column(name, "VARCHAR") for name in "abc"], rows=rows))
    assert main(["query", "SELECT 1", "--format", "csv"]) == 0
    shown = capsys.readouterr()
    assert shown.out == 'a,b,c\n"",,"a ""b"", c\nd"\n1,x,\n'
    assert list(csv.reader(io.StringIO(shown.out)))[1] == ["", "", 'a "b", c\nd']
    assert "node data2" in shown.err


def test_a_write_says_how_many_rows_it_changed(gateway: Gateway, capsys: Captured) -> None:
    gateway.answers(WRITTEN)
    assert main(["query", "INSERT"]) == 0
    assert (
        capsys.readouterr().out
        == "2 rows affected, last insert id 7 · node data2 · customized_hit · 1.8 ms · 3 attempts\n"
    )


def test_an_answer_that_was_cut_off_says_so(gateway: Gateway, capsys: Captured) -> None:
    gateway.answers(msgspec.structs.replace(ANSWER, truncated=True))
    assert main(["query", "SELECT 1"]) == 0
    assert "2 rows (cut off: there are more)" in capsys.readouterr().out


def test_a_value_can_not_steer_the_terminal(gateway: Gateway, capsys: Captured) -> None:
    gateway.answers(msgspec.structs.replace(ANSWER, rows=[["\x1b[2J[red]x[/red]\u202e", "1", None]]))
    assert main(["query", "SELECT 1"]) == 0
    assert r"\x1b[2J[red]x[/red]\u202e" in capsys.readouterr().out


def test_a_table_in_a_pipe_is_as_wide_as_its_content(gateway: Gateway, capsys: Captured) -> None:
    gateway.answers(msgspec.structs.replace(ANSWER, rows=[["x" * 500, "1", None]]))
    assert main(["query", "SELECT 1"]) == 0
    assert "x" * 500 in capsys.readouterr().out


@pytest.mark.parametrize("argument", [[], ["-"]], ids=["none", "-"])
def test_statements_are_read_from_standard_input_and_sent_one_by_one(
    gateway: Gateway, capsys: Captured, monkeypatch: pytest.MonkeyPatch, argument: list[str]
) -> None:
    _type(monkeypatch, "SELECT ';'; -- and\nSELECT 2;\n")
    assert main(["query", *argument, "--format", "json"]) == 0
    assert [body["query"] for body in gateway.bodies()] == ["SELECT ';'", "-- and\nSELECT 2"]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_an_argument_is_sent_whole_even_with_two_statements(gateway: Gateway) -> None:
    assert main(["query", "SELECT 1; SELECT 2"]) == 0
    assert gateway.bodies()[0]["query"] == "SELECT 1; SELECT 2"


def test_the_first_statement_that_fails_is_the_last_one_sent(
    gateway: Gateway, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.refuses(Forbidden("no"))
    _type(monkeypatch, "SELECT 1; SELECT 2")
    assert main(["query"]) == 1
    assert len(gateway.seen) == 1


def test_a_problem_is_printed_with_what_the_caller_may_do(gateway: Gateway, capsys: Captured) -> None:
    gateway.refuses(
        DatabaseRefused("Table 'rental.nope' doesn't exist", mysql_errno=1146, sqlstate="42S02", outcome="rolled_back")
    )
    assert main(["query", "SELECT * FROM nope"]) == 1
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.splitlines() == [
        "gk: The database refused the statement (422 database_refused)",
        "  Table 'rental.nope' doesn't exist [1146 42S02]",
        "  outcome: rolled_back; retryable: no",
        f"  request id: {REQUEST_ID}",
    ]


def test_a_refusal_names_its_rule(gateway: Gateway, capsys: Captured) -> None:
    gateway.refuses(Forbidden("staff.password may not be read", rule="column"))
    assert main(["query", "SELECT password FROM staff"]) == 1
    assert "rule: column" in capsys.readouterr().err


def test_a_gatekeeper_that_is_down_is_a_failure_and_no_traceback(capsys: Captured) -> None:
    with socket.socket() as bound:  # bound but not listening: nobody else can have the port, and nobody answers
        bound.bind(("127.0.0.1", 0))
        assert main(["query", "SELECT 1", "--url", f"http://127.0.0.1:{bound.getsockname()[1]}"]) == 1
    assert "outcome: not_executed" in capsys.readouterr().err


def test_the_environment_goes_before_the_files(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "var" / "gatekeeper-url").write_text("http://127.0.0.1:1")
    monkeypatch.setenv("GATEKEEPER_URL", gateway.url)
    monkeypatch.setenv("GATEKEEPER_KEY", "gk_environment")
    assert main(["query", "SELECT 1"]) == 0
    assert gateway.seen[0].headers["Authorization"] == "Bearer gk_environment"


def test_options_go_before_the_environment(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEKEEPER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GATEKEEPER_KEY", "gk_environment")
    (tmp_path / "key").write_text("gk_option\n")
    assert main(["query", "SELECT 1", "--url", gateway.url, "--key-file", str(tmp_path / "key")]) == 0
    assert gateway.seen[0].headers["Authorization"] == "Bearer gk_option"


USAGE = [
    ("positional and named", ["query", "SELECT ?", "--param", "1", "--param", "a=1"], "not both"),
    ("a name twice", ["query", "SELECT :a", "--param", "a=2", "--param", "a=1"], "each once"),
    ("no key file", ["query", "SELECT 1", "--key-file", "missing"], "can't be read"),
    ("a url that is none", ["query", "SELECT 1", "--url", "localhost"], "https://"),
    ("a ca that is none", ["query", "SELECT 1", "--ca", "missing"], "no CA certificates"),
    ("broken bytes", ["query", "SELECT ?", "--param", '{"$bytes": "*"}'], "gk:"),
]


@pytest.mark.parametrize(("arguments", "reason"), [case[1:] for case in USAGE], ids=[case[0] for case in USAGE])
def test_wrong_usage_is_told_from_a_failure(
    gateway: Gateway, capsys: Captured, arguments: list[str], reason: str
) -> None:
    assert main(arguments) == 2
    assert reason in capsys.readouterr().err
    assert not gateway.seen


PARSED = [
    ("no command", []),
    ("unknown format", ["query", "SELECT 1", "--format", "xml"]),
    ("no number", ["query", "SELECT 1", "--timeout-ms", "soon"]),
    ("a timeout of zero", ["query", "SELECT 1", "--timeout-ms", "0"]),
    ("a key in the arguments", ["query", "SELECT 1", "--key", "gk_secret"]),
]


@pytest.mark.parametrize("arguments", [case[1] for case in PARSED], ids=[case[0] for case in PARSED])
def test_wrong_options_end_with_2(arguments: list[str], gateway: Gateway) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert not gateway.seen


def test_params_with_several_statements_are_wrong_usage(
    gateway: Gateway, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    _type(monkeypatch, "SELECT ?; SELECT ?")
    assert main(["query", "--param", "1"]) == 2
    assert not gateway.seen


def test_no_statement_at_all_is_wrong_usage(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    _type(monkeypatch, "-- nothing\n;")
    assert main(["query"]) == 2
    assert "no statement" in capsys.readouterr().err


def test_without_a_cluster_above_it_is_said_what_to_give(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "var" / "gatekeeper-url").unlink()
    assert main(["query", "SELECT 1"]) == 2
    assert "GATEKEEPER_URL" in capsys.readouterr().err


def test_nodes_are_shown_as_each_proxy_knows_them(gateway: Gateway, capsys: Captured) -> None:
    refused = msgspec.structs.replace(NODES, proxy="proxy2", inventory_problem="line 3: a second manager")
    gateway.answers({"proxies": [NODES, refused]})
    assert main(["nodes"]) == 0
    shown = capsys.readouterr()
    for text in ("proxy1", "proxy2", "data1", "Synced", "0.42", "down"):
        assert text in shown.out
    assert "proxy2: the inventory was refused: line 3" in shown.err


def test_nodes_as_json_are_what_the_gatekeeper_said(gateway: Gateway, capsys: Captured) -> None:
    gateway.answers({"proxies": [NODES]})
    assert main(["nodes", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == msgspec.to_builtins({"proxies": [NODES]})


def test_a_reader_that_has_seen_enough_causes_no_traceback(gateway: Gateway) -> None:
    gateway.answers(msgspec.structs.replace(ANSWER, rows=[["x" * 500, "1", None]] * 2000))
    code = "import sys; from client.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "query", "SELECT 1", "--format", "csv"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"title,rental_rate,picture\n"
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(timeout=20) == 1


def test_what_is_shown_of_octets_is_bounded() -> None:
    answer = msgspec.structs.replace(ANSWER, columns=[Column("b", "BLOB")], rows=[["A" * 400]])
    cell = next(iter(output.table(answer).columns[0].cells))
    assert str(cell) == f"0x{'00' * 32}… (300 bytes)"
