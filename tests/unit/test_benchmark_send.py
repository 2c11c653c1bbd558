"""benchmark/send_requests.py: what it sends, counts and prints, against a gatekeeper that the test pretends."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from benchmark import send_requests
from benchmark.sending import Job, Outcome, report_of, send
from client.settings import Access
from contract.errors import Forbidden
from contract.messages import Answer, Column

KEY = "gk_secret-of-the-test"


class Gatekeeper(BaseHTTPRequestHandler):
    """Answers direct_hit from the manager, and refuses everything else."""

    protocol_version = "HTTP/1.1"
    received: list[dict[str, object]]
    keys: set[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append(body)
        self.keys.add(self.headers["Authorization"])
        if body["implementation"] == "direct_hit":
            answer = Answer("r", "manager", "direct_hit", 1, 0.5, [Column("1", "BIGINT")], [[1]], 0, None, False)
            self._send(200, "application/json", msgspec.json.encode(answer))
        else:
            self._send(403, "application/problem+json", msgspec.json.encode(Forbidden("no").problem("r")))

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class calls it so
        """Says nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Gatekeeper.received, Gatekeeper.keys = [], set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gatekeeper)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    return file


def options(url: str, key_file: Path, *more: str) -> list[str]:
    return ["--url", url, "--key-file", str(key_file), *more]


def test_it_sends_as_many_as_asked_the_implementations_in_turn_and_counts_by_node(
    url: str, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--requests", "7", "--concurrency", "3", "--implementation", "direct", "--implementation", "random_hit"]
    asked = ["--query", "SELECT ?", "--param", "42", "--database", "rental", "--format", "json"]
    assert send_requests.main(options(url, key_file, *words, *asked)) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["requests"], report["answered"], report["interrupted"]) == (7, 4, False)
    counted = [(line["implementation"], line["node"], line["requests"], line["errors"]) for line in report["lines"]]
    assert counted == [("direct_hit", "manager", 4, {}), ("random_hit", None, 3, {"forbidden": 3})]
    assert [line["p50_ms"] is None for line in report["lines"]] == [False, True]
    assert all(body["params"] == [42] and body["database"] == "rental" for body in Gatekeeper.received)
    assert Gatekeeper.keys == {f"Bearer {KEY}"}


def test_the_table_has_a_line_for_each_implementation_and_node(
    url: str, key_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert send_requests.main(options(url, key_file, "--requests", "6", "--concurrency", "1")) == 1
    printed = capsys.readouterr().out
    assert "6 requests in" in printed
    assert "2 answered" in printed
    assert "manager" in printed
    assert "2 forbidden" in printed
    assert KEY not in printed


def test_it_ends_with_success_when_all_was_answered(url: str, key_file: Path) -> None:
    assert send_requests.main(options(url, key_file, "--requests", "2", "--implementation", "direct_hit")) == 0


def test_a_gatekeeper_that_is_not_there_is_an_error_of_every_request(
    key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--requests", "2", "--implementation", "ping", "--format", "json"]
    assert send_requests.main(options("http://127.0.0.1:1", key_file, *words)) == 1
    assert json.loads(capsys.readouterr().out)["lines"][0]["errors"] == {"unavailable": 2}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--requests", "0"], "whole number from 1"),
        (["--concurrency", "257"], "whole number from 1 to 256"),
        (["--implementation", "best"], "known are direct_hit, random_hit, customized_hit"),
        (["--key", "gk_x"], "unrecognized arguments"),
    ],
    ids=["no requests", "too many at once", "unknown implementation", "a key in the arguments"],
)
def test_a_wrong_option_is_refused(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        send_requests.main(words)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://user:word@127.0.0.1"], ids=["no HTTP", "a password"])
def test_a_url_that_can_not_be_used_is_a_wrong_usage(
    url: str, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send_requests.main(options(url, key_file)) == 2
    assert "gatekeeper's URL" in capsys.readouterr().err


def test_a_missing_key_file_is_a_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert send_requests.main(["--url", "http://127.0.0.1:1", "--key-file", str(tmp_path / "none")]) == 2
    assert "can't be read" in capsys.readouterr().err


def test_when_it_is_stopped_it_reports_what_was_answered_until_then(url: str) -> None:
    stop = threading.Event()
    stop.set()
    job = Job(1000, 2, ("direct_hit",), "SELECT 1", None, None, 1000)
    report = send(job, Access(url, KEY), stop)
    assert (report.requests, report.interrupted, Gatekeeper.received) == (0, True, [])


def test_latencies_are_those_of_answers_and_errors_are_counted_by_code() -> None:
    outcomes = [
        Outcome("direct_hit", "manager", None, 1_000),
        Outcome("direct_hit", "manager", None, 3_000),
        Outcome("direct_hit", None, "unavailable", 90_000),
        Outcome("direct_hit", None, "deadline_exceeded", 90_000),
        Outcome("random_hit", "data1", None, 2_000),
    ]
    report = report_of(outcomes, 2.0)
    assert [(line.node, line.per_second, line.p99_ms) for line in report.lines] == [
        (None, 0.0, None),
        ("manager", 1.0, 3.0),
        ("data1", 0.5, 2.0),
    ]
    assert report.lines[0].errors == {"unavailable": 1, "deadline_exceeded": 1}
