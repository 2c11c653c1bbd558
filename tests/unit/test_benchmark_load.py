"""The benchmark's loads and children against small servers and programs of the test's own."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from benchmark import peers
from benchmark.children import running, wait_listening
from benchmark.errors import LoadFailed, NotMeasured
from benchmark.exchanges import Exchange
from benchmark.http_load import HttpLoad
from benchmark.shapes import KEY_MARK
from deploy import processes

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is missing")


class Films(BaseHTTPRequestHandler):
    """Answers GET /N with the row N, but for 3, which it takes for 4, and 5, which it refuses with the right body."""

    protocol_version = "HTTP/1.1"
    inserted: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        number = int(self.path[1:])
        body = json.dumps({"row": 4 if number == 3 else number}).encode()
        self.send_response(500 if number == 5 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.inserted.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class calls it so
        """Says nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Films)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def exchange(number: int) -> Exchange:
    return Exchange(f"GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n".encode(), f'"row": {number}}}'.encode())


@needs_wrk
@pytest.mark.parametrize("clients", [1, 3], ids=["one client", "three clients"])
def test_right_answers_are_timed_and_none_is_an_error(address: str, clients: int, tmp_path: Path) -> None:
    load = HttpLoad(address, [exchange(1), exchange(2), exchange(4)], tmp_path / "exchanges")
    load.check()
    sample = load.measure(clients, 1)
    assert sample.requests > 0
    assert sample.errors == 0
    assert sample.percentile_ms(50) > 0


@needs_wrk
@pytest.mark.parametrize("number", [3, 5], ids=["another film's row", "an error's status"])
def test_a_wrong_answer_is_an_error_and_not_a_result(address: str, number: int, tmp_path: Path) -> None:
    load = HttpLoad(address, [exchange(number)], tmp_path / "exchanges")
    with pytest.raises(LoadFailed, match="without the row"):
        load.check()
    sample = load.measure(1, 1)
    assert sample.errors > 0
    assert sample.requests == 0


@needs_wrk
def test_every_insert_has_a_key_of_its_own_from_every_client_and_in_every_run(address: str, tmp_path: Path) -> None:
    Films.inserted.clear()
    request = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s" % (len(KEY_MARK), KEY_MARK)
    load = HttpLoad(address, [Exchange(request, b"ok")], tmp_path / "exchanges")
    load.check()
    for _ in range(2):
        assert load.measure(3, 1).errors == 0
    assert len(Films.inserted) > 10
    assert len(set(Films.inserted)) == len(Films.inserted)
    assert {len(key) for key in Films.inserted} == {len(KEY_MARK)}
    assert KEY_MARK not in Films.inserted


@needs_wrk
def test_the_file_for_wrk_which_holds_a_key_is_its_owners_only(address: str, tmp_path: Path) -> None:
    HttpLoad(address, [exchange(1)], tmp_path / "exchanges")
    assert (tmp_path / "exchanges").stat().st_mode & 0o777 == 0o600


@needs_wrk
def test_a_target_that_is_gone_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        load = HttpLoad(f"127.0.0.1:{closed.getsockname()[1]}", [exchange(1)], tmp_path / "exchanges")
        with pytest.raises(LoadFailed, match="does not answer"):
            load.check()
        with pytest.raises(LoadFailed, match="unable to connect"):
            load.measure(1, 1)


def test_without_wrk_nothing_is_measured_and_said_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotMeasured, match="wrk is missing"):
        HttpLoad("127.0.0.1:1", [exchange(1)], tmp_path / "exchanges")


@pytest.mark.parametrize("missing", ["node", "npm"])
def test_without_node_or_npm_the_peers_are_not_measured(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for program in {"node", "npm"} - {missing}:
        (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotMeasured, match=f"{missing} is missing"):
        peers.install(tmp_path / "cache")


def test_a_failed_installation_of_the_peers_is_said_and_not_taken_for_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for program in ("node", "npm"):
        (tmp_path / program).write_text("#!/bin/sh\necho 'npm error code E404'\nexit 1\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for _ in range(2):
        with pytest.raises(NotMeasured, match="npm ci failed: npm error code E404"):
            peers.install(tmp_path / "cache")


def has_ended(pid: str) -> bool:
    """Whether there is no such process, or one that nobody has waited for (proc(5)), whatever program it was."""
    with contextlib.suppress(OSError):
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_child_ends_with_all_that_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & echo $!; while :; do wait; done"]
    with running(command, directory=tmp_path, log=log) as child:
        grandchild = processes.wait_until(lambda: log.read_text().strip(), timeout_s=60, what="the child's child")
        assert not has_ended(grandchild)
    assert child.poll() == 0
    assert processes.wait_until(lambda: has_ended(grandchild), timeout_s=60, what="the end of the child's child")


def test_a_child_ends_when_the_benchmark_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from benchmark.children import running; here = pathlib.Path(sys.argv[1])\n"
        "with running(['sleep', '600'], directory=here, log=None) as child: print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = parent.stdout.readline().strip()
        assert not has_ended(pid)
        parent.kill()
    assert processes.wait_until(lambda: has_ended(pid), timeout_s=60, what="the end of the child")


def test_a_child_that_ends_while_it_starts_is_reported_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", "echo no such option; exit 3"]
    with (
        running(command, directory=tmp_path, log=log) as child,
        pytest.raises(LoadFailed, match="ended while it was starting: no such option"),
    ):
        wait_listening(child, 1, log)
