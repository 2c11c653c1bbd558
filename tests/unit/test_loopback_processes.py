"""Daemons are started, found and ended one by one, and never by a pid alone."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from deploy import processes
from deploy.processes import CommandFailed, Process

OWN = processes.own_account()


def spawn(directory: Path, script: str) -> Process:
    """A shell that runs the script; the directory's name stands in its command line."""
    command = ["/bin/sh", "-c", script, str(directory)]
    return processes.spawn(command, runs_as=OWN, directory=directory, log=directory / "log")


def ready(directory: Path) -> None:
    processes.wait_until((directory / "ready").exists, timeout_s=60, what="the script")


def test_a_process_is_found_by_its_name_and_an_argument_until_it_is_stopped(tmp_path: Path) -> None:
    process = spawn(tmp_path, "touch ready; read never < fifo || sleep 60; :")
    try:
        ready(tmp_path)
        assert processes.find("sh", str(tmp_path)) == [process]
        assert processes.find("sh", str(tmp_path)[:-1]) == []
        assert processes.alive(process)
    finally:
        processes.kill([process])
    assert processes.find("sh", str(tmp_path)) == []
    assert not processes.alive(process)


def test_killing_takes_the_descendants_too(tmp_path: Path) -> None:
    process = spawn(tmp_path, "sh -c 'sleep 61 & echo $! > ready; wait' & wait")
    processes.wait_until(
        lambda: (tmp_path / "ready").exists() and (tmp_path / "ready").read_text(), timeout_s=60, what=""
    )
    grandchild = int((tmp_path / "ready").read_text())
    processes.kill([process])
    status = Path(f"/proc/{grandchild}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_pid_that_was_reused_is_not_signalled(tmp_path: Path) -> None:
    process = spawn(tmp_path, "touch ready; sleep 62; :")
    ready(tmp_path)
    try:
        earlier = msgspec.structs.replace(process, started_ticks=process.started_ticks - 1)
        assert not processes.alive(earlier)
        processes.kill([earlier])
        processes.stop([earlier], timeout_s=1)
        assert processes.find("sh", str(tmp_path)) == [process]
    finally:
        processes.kill([process])


def test_one_that_ignores_the_request_to_stop_is_named(tmp_path: Path) -> None:
    process = spawn(tmp_path, "trap '' TERM; touch ready; while :; do sleep 0.1; done")
    ready(tmp_path)
    try:
        with pytest.raises(TimeoutError, match=f"still there: {process.pid}"):
            processes.stop([process], timeout_s=0.2)
    finally:
        processes.kill([process])


def test_a_daemon_gets_nothing_of_the_callers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "secret")
    printed = processes.run([str(shutil.which("env"))], runs_as=OWN, directory=tmp_path, timeout_s=10)
    assert "PLANTED" not in printed
    assert f"HOME={tmp_path}" in printed


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(["/bin/sh", "-c", "echo why; exit 3"], "/bin/sh ended with status 3: why", id="status"),
        pytest.param(["/nowhere/program"], "/nowhere/program is not installed", id="not there"),
        pytest.param(["/bin/sleep", "60"], "/bin/sleep did not end within 0.1 s", id="too slow"),
    ],
)
def test_a_command_that_fails_says_why(tmp_path: Path, command: list[str], message: str) -> None:
    with pytest.raises(CommandFailed, match=message):
        processes.run(command, runs_as=OWN, directory=tmp_path, timeout_s=0.1 if "60" in command else 10)


def test_a_wait_ends_and_says_for_what() -> None:
    with pytest.raises(TimeoutError, match=r"the moon: not within 0\.05 s"):
        processes.wait_until(lambda: None, timeout_s=0.05, what="the moon")


def test_nothing_is_left_to_be_reaped(tmp_path: Path) -> None:
    process = spawn(tmp_path, "exit 1")
    processes.wait_until(lambda: not processes.alive(process), timeout_s=60, what="its end")
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
