"""supervisord keeps services up: real processes, with stand-ins for the services that only know /readyz."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import processes, supervision
from deploy.services import ServiceError, Services, forget
from tests.unit.test_services import configure_now, installation

BACK_WITHIN_S = 15.0

CONFIGURATION = """
import os, ssl, tomllib
settings = tomllib.load(open(os.environ["{variable}"], "rb"))
bind = settings["listen"]
workers = settings.get("workers", 1)
if "keys" not in settings:
    certfile, keyfile, ca_certs = (settings["tls"][name] for name in ("certificate", "key", "authority"))
    cert_reqs = ssl.CERT_REQUIRED
"""
APPLICATION = """
def create_app():
    return lambda environ, start: (start("200 OK", []), [b"ready"])[1]
"""


def stand_in(root: Path, role: str) -> None:
    package = root / role
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "gunicorn_conf.py").write_text(CONFIGURATION.format(variable=f"{role.upper()}_CONFIG"))
    (package / "app.py").write_text(APPLICATION)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """The services of a cluster whose directory has blanks and a `;` in its name, not started."""
    state = tmp_path / "a b ;c"
    for role in ("proxy", "orchestrator", "gatekeeper"):
        stand_in(state, role)
    made = configure_now(installation(state))
    yield made
    supervision.stop(made)
    forget(made)


def pids(services: Services) -> dict[str, int]:
    return {status.name: status.pid for status in supervision.statuses(services)}


def states(services: Services) -> set[str]:
    return {status.state for status in supervision.statuses(services)}


def marked(services: Services) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if str(services.runtime_directory).encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_started_services_are_ready_and_stopped_ones_leave_no_process(services: Services) -> None:
    supervision.start(services)
    assert states(services) <= {"starting", "running"}, "supervisord calls it running after a second"
    assert all(supervision.is_ready(service, services) for service in services.services)
    supervision.stop(services)
    assert marked(services) == []
    assert states(services) == {"stopped"}


def test_a_killed_service_is_back_within_seconds(services: Services) -> None:
    supervision.start(services)
    before = pids(services)
    assert 0 not in before.values()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def all_new() -> bool:
        now = pids(services)
        return all(now[name] not in {0, before[name]} for name in before)

    started = time.monotonic()
    processes.wait_until(all_new, timeout_s=BACK_WITHIN_S, what="new processes")
    supervision.wait_ready(services, timeout_s=BACK_WITHIN_S)
    assert time.monotonic() - started < BACK_WITHIN_S


def test_stopping_finds_what_a_killed_supervisord_left(services: Services) -> None:
    supervision.start(services)
    os.kill(int((services.state / "supervisord.pid").read_text()), signal.SIGKILL)
    assert len(marked(services)) >= 4, "gunicorn's masters and workers live on"
    supervision.stop(services)
    assert marked(services) == []


def test_stopping_finds_tunnels_whose_service_was_killed(services: Services) -> None:
    # As the proxy starts them: nothing of the environment, the socket's path among the arguments.
    command = ["ssh", "-c", "read forever", f"{services.runtime_directory}/proxy1/data1.sock"]
    with subprocess.Popen(command, executable=_program_named_ssh(services.root), env={}, stdin=subprocess.PIPE) as ssh:
        supervision.stop(services)
        assert ssh.wait(timeout=BACK_WITHIN_S) == -signal.SIGKILL


def _program_named_ssh(directory: Path) -> Path:
    """The kernel takes a process's name from the file that is run."""
    return Path(shutil.copy(Path("/bin/sh").resolve(), directory / "ssh"))


def test_a_service_that_does_not_stay_up_is_named_with_its_log(services: Services) -> None:
    (services.root / "gatekeeper/app.py").write_text("raise RuntimeError('the policy is missing')")
    with pytest.raises(ServiceError, match="gatekeeper1 does not stay up") as failure:
        supervision.start(services)
    assert failure.value.log is not None
    assert "the policy is missing" in processes.tail(failure.value.log, lines=50)


def test_a_service_that_never_gets_ready_is_named(services: Services) -> None:
    (services.root / "proxy/app.py").write_text(
        "def create_app():\n    return lambda environ, start: (start('503 Unavailable', []), [b''])[1]\n"
    )
    supervision.start_supervisord(services)
    with pytest.raises(ServiceError, match="proxy1 was not ready within 2 s"):
        supervision.wait_ready(services, timeout_s=2)


def test_a_supervisord_that_can_not_start_says_why(services: Services) -> None:
    (services.state / "log").rename(services.state / "elsewhere")
    with pytest.raises(ServiceError, match=r"supervisord did not start: .*log"):
        supervision.start(services)


def test_the_services_get_nothing_of_the_callers_environment(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_CALLER", "planted-canary")
    supervision.start(services)
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in pids(services).values()]
    assert environments
    assert not any(b"planted-canary" in environment for environment in environments)


def test_supervisord_listens_on_a_socket_of_the_owner_only(services: Services) -> None:
    supervision.start(services)
    assert (services.runtime_directory / "supervisor.sock").stat().st_mode & 0o077 == 0
    assert "inet_http_server" not in (services.state / "supervisord.conf").read_text()
