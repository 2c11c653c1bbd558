"""A service is succeeded by a new process: real masters and workers of a small service in two releases."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from contract import succession
from deploy.processes import wait_until
from tests.unit.succession_fixtures import WITHIN_S, Releases, releases, service

__all__ = ["releases", "service"]


def succeed(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGUSR2)


def test_the_successor_runs_the_release_that_is_current_then_with_its_own_gunicorn(
    releases: Releases, service: "subprocess.Popen[bytes]"
) -> None:
    before = releases.ask()
    assert (before.release, before.gunicorn, before.master) == ("one", "one", service.pid)
    releases.switch("two")
    succeed(service)
    after = releases.wait_for("two")
    assert after.gunicorn == "two"
    assert after.master != before.master
    assert service.wait(timeout=WITHIN_S) == 0
    assert releases.ask() == after


def test_a_successor_can_be_succeeded(releases: Releases, service: "subprocess.Popen[bytes]") -> None:
    releases.switch("two")
    succeed(service)
    second = releases.wait_for("two").master
    service.wait(timeout=WITHIN_S)
    releases.switch("one")

    def third() -> bool:
        os.kill(second, signal.SIGUSR2)  # which it takes when it has seen that its predecessor is gone
        return releases.ask().release == "one"

    wait_until(third, timeout_s=WITHIN_S, what="the third")


def test_systemd_is_told_of_the_new_main_process_when_it_serves(
    releases: Releases, service: "subprocess.Popen[bytes]"
) -> None:
    assert "MAINPID" not in "".join(releases.told_systemd())
    releases.switch("two")
    succeed(service)
    after = releases.wait_for("two")
    service.wait(timeout=WITHIN_S)
    assert f"MAINPID={after.master}" in releases.told_systemd()


@pytest.mark.parametrize("module", ["service/app.py", "service/gunicorn_conf.py"])
def test_a_successor_that_can_not_start_leaves_the_old_one_and_the_next_one_may_try(
    releases: Releases, service: "subprocess.Popen[bytes]", module: str
) -> None:
    broken = releases.directory / "two" / module
    good = broken.read_text()
    broken.write_text("raise RuntimeError('the new release is broken')\n")
    releases.switch("two")
    succeed(service)
    wait_until(lambda: "the new release is broken" in releases.log.read_text(), timeout_s=WITHIN_S, what="the failure")
    wait_until(lambda: len(children(service)) == 1, timeout_s=WITHIN_S, what="none but the worker")
    assert releases.ask().release == "one"
    assert "MAINPID" not in "".join(releases.told_systemd())
    if module == "service/app.py":
        assert f"The succession failed: this process ends before its predecessor (pid:{service.pid})" in (
            releases.log.read_text()
        )
    broken.write_text(good)
    succeed(service)
    assert releases.wait_for("two").gunicorn == "two"


def test_a_successor_that_never_serves_ends_after_a_time_and_the_next_one_may_try(
    releases: Releases, service: "subprocess.Popen[bytes]"
) -> None:
    application = releases.directory / "two/service/app.py"
    good = application.read_text()
    application.write_text(f"import time\ntime.sleep(600)\n{good}")
    with (releases.directory / "two/service/gunicorn_conf.py").open("a") as configuration:
        configuration.write("\nfrom contract import succession\nsuccession.TAKEOVER_LIMIT_S = 1.0\n")
    releases.switch("two")
    succeed(service)
    wait_until(lambda: "The succession failed" in releases.log.read_text(), timeout_s=WITHIN_S, what="the failure")
    wait_until(lambda: len(children(service)) == 1, timeout_s=WITHIN_S, what="none but the worker")
    assert releases.ask().release == "one"
    application.write_text(good)
    succeed(service)
    assert releases.wait_for("two").gunicorn == "two"


def test_a_request_under_way_is_ended_by_the_old_one(releases: Releases, service: "subprocess.Popen[bytes]") -> None:
    releases.hold.touch()
    kept = releases.connection()
    assert releases.ask(kept).release == "one"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(releases.ask, None, "/slow")
        releases.switch("two")
        succeed(service)
        releases.wait_for("two")
        assert releases.ask(kept).release == "one", "a kept connection is answered by the one that has it"
        assert kept.sock is None, "and ended with that answer"
        releases.hold.unlink()
        assert slow.result(timeout=WITHIN_S).release == "one"
    assert service.wait(timeout=WITHIN_S) == 0


def test_an_end_for_good_does_not_wait_for_idle_connections(
    releases: Releases, service: "subprocess.Popen[bytes]"
) -> None:
    kept = releases.connection()
    releases.ask(kept)
    service.send_signal(signal.SIGINT)
    assert service.wait(timeout=60) == 0
    kept.close()


def test_a_port_that_is_held_is_bound_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "_PAUSE_S", 0.01)
    tries = []

    def bind() -> None:
        tries.append(1)
        if len(tries) < 4:
            raise OSError(98, "Address already in use")

    succession.when_free(bind, "metrics")
    wait_until(lambda: len(tries) == 4, timeout_s=WITHIN_S, what="the port")


def test_a_port_that_stays_held_is_given_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = CapturingLogger()
    monkeypatch.setattr(succession, "log", said)
    monkeypatch.setattr(succession, "_PAUSE_S", 0.01)
    monkeypatch.setattr(succession, "TAKEOVER_LIMIT_S", 0.1)

    def bind() -> None:
        raise OSError(98, "Address already in use")

    succession._bind(bind, "metrics")
    expected = (("no_metrics",), {"reason": "Address already in use"})
    assert [(call.args, call.kwargs) for call in said.calls] == [expected]


def children(process: "subprocess.Popen[bytes]") -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
