"""A small service in two releases, started as a machine starts one, through a link that is switched between them."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.settings import split_address
from deploy.processes import wait_until

ROOT = Path(__file__).parents[2]
WITHIN_S = 30.0

CONFIGURATION = """
import os
from contract.serving import HTTP_OPTIONS
from contract.succession import limit_takeover, retire_predecessor, say_failure

bind = os.environ["LISTEN"]
worker_class = "contract.serving.Worker"
when_ready, post_worker_init, on_exit = limit_takeover, retire_predecessor, say_failure
loglevel = "warning"
globals().update(HTTP_OPTIONS)
"""
# What a release is asked: which one its own modules and gunicorn's are of, as they were loaded, not as they are now.
APPLICATION = """
import json, os, sys, time
import gunicorn

RELEASE = "{release}"

def create_app():
    return answer

def answer(environ, start):
    while environ["PATH_INFO"] == "/slow" and os.path.exists(os.environ["HOLD"]):
        time.sleep(0.01)
    body = json.dumps({{"release": RELEASE, "gunicorn": gunicorn.RELEASE, "master": os.getppid()}}).encode()
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""
PROGRAM = "import sys\nfrom gunicorn.app.wsgiapp import run\nsys.exit(run())\n"


class Said(msgspec.Struct, frozen=True):
    """What the service answers."""

    release: str
    gunicorn: str
    master: int


class Releases:
    """The service's directory: releases, and `current`, which links to one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.current = directory / "current"
        self.hold = directory / "hold"
        self.log = directory / "log"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(directory / "notify"))
        self._notify.setblocking(False)
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.address = f"127.0.0.1:{found.getsockname()[1]}"

    def make(self, release: str) -> Path:
        """A release with modules, a virtual environment and a gunicorn of its own."""
        made = self.directory / release
        shutil.copytree(ROOT / "contract", made / "contract", ignore=shutil.ignore_patterns("__pycache__"))
        venv.EnvBuilder(symlinks=True).create(made / "venv")
        packages = next((made / "venv/lib").glob("python3*")) / "site-packages"
        real = sysconfig.get_path("purelib")
        (packages / "others.pth").write_text(f"{real}\n")
        shutil.copytree(Path(real) / "gunicorn", packages / "gunicorn", ignore=shutil.ignore_patterns("__pycache__"))
        with (packages / "gunicorn/__init__.py").open("a") as module:
            module.write(f"\nRELEASE = {release!r}\n")
        (made / "venv/bin/gunicorn").write_text(PROGRAM)
        (made / "service").mkdir()
        (made / "service/gunicorn_conf.py").write_text(CONFIGURATION)
        (made / "service/app.py").write_text(APPLICATION.format(release=release))
        return made

    def switch(self, release: str) -> None:
        new = self.directory / "new"
        new.symlink_to(self.directory / release)
        new.replace(self.current)

    def start(self) -> "subprocess.Popen[bytes]":
        """The command of deploy/roles/service.py's unit."""
        program = self.current / "venv/bin"
        environment = {
            "PATH": os.environ["PATH"],
            "PWD": str(self.current),
            "LISTEN": self.address,
            "HOLD": str(self.hold),
            "NOTIFY_SOCKET": str(self.directory / "notify"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
        }
        command = [f"{program}/python", f"{program}/gunicorn", "--no-control-socket"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, "--config", "python:service.gunicorn_conf", "service.app:create_app()"],
                cwd=self.current,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ask(self, connection: http.client.HTTPConnection | None = None, path: str = "/") -> Said:
        used = connection or self.connection()
        used.request("GET", path)
        said: Any = json.loads(used.getresponse().read())
        if connection is None:
            used.close()
        return msgspec.convert(said, Said)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*split_address(self.address), timeout=WITHIN_S)

    def wait_for(self, release: str) -> Said:
        def asked() -> Said | None:
            with contextlib.suppress(OSError):
                said = self.ask()
                return said if said.release == release else None
            return None

        return wait_until(asked, timeout_s=WITHIN_S, what=release)

    def told_systemd(self) -> list[str]:
        """What systemd would have been told since the last time."""
        told = []
        with contextlib.suppress(BlockingIOError):
            while True:
                told.append(self._notify.recv(4096).decode())
        return told

    def close(self) -> None:
        self._notify.close()


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Releases]:
    made = Releases(tmp_path)
    for release in ("one", "two"):
        made.make(release)
    made.switch("one")
    yield made
    made.close()


@pytest.fixture
def service(releases: Releases) -> "Iterator[subprocess.Popen[bytes]]":
    """The first release, which serves."""
    with releases.start() as process:
        try:
            releases.wait_for("one")
            yield process
        finally:
            # All masters and workers are in the group of the first master, also when it is gone.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
