"""A real nginx in front of the system's gatekeeper, run by an account without rights, on a port of its own."""

import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from deploy import nginx, processes
from deploy.nginx import Certificate, Edge
from deploy.ports import Ports
from tests import planted
from tests.live.proxy_fixtures import wait_until
from tests.live.raw_http import exchange
from tests.live.system_fixtures import LiveSystem
from tests.unit.test_client_tls import _self_signed

NGINX = "/usr/sbin/nginx"
ADDRESS = "127.0.0.1"

needs_nginx = pytest.mark.skipif(not Path(NGINX).exists(), reason="nginx is not installed (Debian's package nginx)")


class LiveNginx:
    """nginx, in the words that tests use."""

    def __init__(self, edge: Edge, certificate: str) -> None:
        self.edge = edge
        self.address = edge.listen
        self.plain_address = edge.plain_listen or ""
        self.certificate = certificate
        self.url = f"{'https' if edge.certificate else 'http'}://{edge.listen}"
        self.port = int(edge.listen.rpartition(":")[2])
        self.access_log = edge.logs / "access.log"

    def trusting(self) -> ssl.SSLContext:
        """A client's context that knows nginx's certificate."""
        return ssl.create_default_context(cafile=self.certificate)

    def logs(self) -> str:
        """All that nginx has written."""
        return "".join(path.read_text(errors="replace") for path in self.edge.logs.glob("*.log"))


def account() -> processes.Account:
    """Who runs nginx: www-data where the tests are root's, else their own account."""
    return processes.account("www-data") if os.geteuid() == 0 else processes.own_account()


def configure(edge: Edge) -> Path:
    """The written configuration, which nginx itself has checked."""
    for directory in (edge.logs, edge.state):
        directory.mkdir()
        shutil.chown(directory, account().name)
    path = edge.state.parent / "nginx.conf"
    path.write_text(nginx.render(edge), encoding="utf-8")
    check = [NGINX, "-t", "-q", "-c", str(path), "-e", str(edge.logs / "error.log")]
    processes.run(check, runs_as=account(), directory=edge.state, timeout_s=20)
    return path


@contextmanager
def nginx_before(
    gatekeeper: str, *, tls: bool, plain: Literal["redirect", "serve"] = "redirect", **changes: Any
) -> Iterator[LiveNginx]:
    """nginx in front of a gatekeeper; `changes` are settings."""
    with tempfile.TemporaryDirectory(prefix="gk-nginx-") as name, Ports(ADDRESS) as ports:
        directory = Path(name)
        shutil.chown(directory, account().name)
        certificate = _self_signed(directory / "edge.pem", ADDRESS)
        shutil.chown(certificate, account().name)
        edge = Edge(
            server_name=ADDRESS,
            listen=f"{ADDRESS}:{ports.take()}",
            plain_listen=f"{ADDRESS}:{ports.take()}" if tls else None,
            plain=plain,
            gatekeeper=gatekeeper,
            certificate=Certificate(Path(certificate), Path(certificate)) if tls else None,
            user=None,
            pid=directory / "nginx.pid",
            logs=directory / "log",
            state=directory / "state",
            **changes,
        )
        command = [NGINX, "-c", str(configure(edge)), "-e", str(edge.logs / "error.log"), "-g", "daemon off;"]
        process = processes.spawn(command, runs_as=account(), directory=edge.state, log=edge.logs / "nginx.log")
        try:
            wait_until(lambda: b"HTTP/1.1" in answer_of(edge), 20)
            yield LiveNginx(edge, certificate)
        finally:
            processes.stop([process], timeout_s=15)
            planted.look_through(edge.logs)


def answer_of(edge: Edge) -> bytes:
    """What nginx says to a request for nothing, in plain HTTP; nothing while it does not listen."""
    try:
        return exchange(edge.listen, b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    except ConnectionError:
        return b""


@pytest.fixture(scope="session")
def edge(system: LiveSystem) -> Iterator[LiveNginx]:
    """nginx with TLS."""
    with nginx_before(system.services.gatekeeper.listen, tls=True) as live:
        yield live


@pytest.fixture(scope="session")
def plain_edge(system: LiveSystem) -> Iterator[LiveNginx]:
    """nginx without TLS, for what is easier to see without."""
    with nginx_before(system.services.gatekeeper.listen, tls=False, connections_per_address=1_000) as live:
        yield live
