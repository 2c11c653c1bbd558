"""A gatekeeper of a test's own: several workers, with policy, keys and logs in its directory, run by no supervisor."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from deploy import toml
from deploy.ports import Ports
from gatekeeper import keys
from tests.live.proxy_fixtures import wait_until

ADDRESS = "127.0.0.1"


class OwnGatekeeper:
    """The gatekeeper, in the words that tests use. `settings`: besides the places of its files, and its address."""

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        policy: str,
        role: str,
        *,
        settings: Mapping[str, Any],
        tables: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.policy = directory / "policy.toml"
        self.policy.write_text(policy)
        self.audit = directory / "audit.log"
        self.log = directory / "gatekeeper.log"
        self.keys = directory / "keys.json"
        self.key = keys.add(self.keys, "web", role)
        self.address = f"{ADDRESS}:{ports.take()}"
        own = {"listen": self.address, "runtime_directory": str(directory)}
        own |= {name: str(getattr(self, name)) for name in ("policy", "keys", "audit")}
        self._settings = directory / "gatekeeper.toml"
        self._settings.write_text(toml.render({**settings, **own}, tables or {}))

    @contextmanager
    def running(self, when: str = "/readyz", under: Sequence[str] = ()) -> Iterator[None]:
        """Runs it, as the arguments of the command `under` where there is one, and waits until that path says so."""
        command = [*under, sys.executable, "-m", "gunicorn", "--config", "python:gatekeeper.gunicorn_conf"]
        environment = {**os.environ, "GATEKEEPER_CONFIG": str(self._settings)}
        with (
            self.log.open("wb") as log,
            subprocess.Popen([*command, "gatekeeper.app:create_app()"], env=environment, stderr=log) as process,
        ):
            try:
                wait_until(lambda: self._is_well(when), 60)
                yield
            except BaseException:
                print(self.log.read_text(errors="replace"))  # noqa: T201 pytest shows it with the failure
                raise
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)

    def put(self, policy: str) -> None:
        """Puts a policy in place whole; every worker takes it up with its next request."""
        new = self.policy.with_suffix(".new")
        new.write_text(policy)
        long_ago = time.time() - 60
        os.utime(new, (long_ago, long_ago))
        new.replace(self.policy)

    def _is_well(self, path: str) -> bool:
        try:
            return requests.get(f"http://{self.address}{path}", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            return False
