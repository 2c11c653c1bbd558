"""Runs a local cluster's services under supervisord (http://supervisord.org): a service that dies is back in seconds.

supervisord is a daemon of the calling user; its socket lies in the cluster's runtime directory, and it has no port.
Paths reach its configuration by expansion (`%(here)s`, `%(ENV_...)s`), so that a blank or a `;` in them means nothing.
"""

import contextlib
import http.client
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import urllib3
from supervisor.xmlrpc import Faults, SupervisorTransport

from contract.roles import dns_name
from deploy import processes
from deploy.processes import Process
from deploy.secrets import WORLD_READABLE, write_file
from deploy.services import Service, ServiceError, Services

_READY_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 30.0  # supervisord gives each service stopwaitsecs before it kills it
_REQUEST_TIMEOUT_S = 2.0
_MARK = "GATEKEEPER_RUNTIME"
_FAILED = {"backoff", "fatal"}
_TRIES = 3

_SUPERVISORD = """\
[unix_http_server]
file=%(ENV_GATEKEEPER_RUNTIME)s/supervisor.sock
chmod=0700

[supervisord]
logfile=%(here)s/log/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=%(here)s/supervisord.pid
umask=077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# Workers and tunnels are in the process group of their service, so stopping takes the group; with SIGINT, on which
# gunicorn does not drain: there is nobody to take over. gunicorn's control socket would be one and the same file for
# all services.
_PROGRAM = """
[program:{name}]
command="%(ENV_GATEKEEPER_PYTHON)s" -m gunicorn --no-control-socket --config python:{role}.gunicorn_conf
    {role}.app:create_app()
directory=%(ENV_GATEKEEPER_ROOT)s
environment={variable}="%(here)s/{name}.toml"
autorestart=true
startsecs=1
startretries=1000000
stopsignal=INT
stopasgroup=true
killasgroup=true
stopwaitsecs=10
redirect_stderr=true
stdout_logfile=%(here)s/log/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""


class ServiceStatus(msgspec.Struct, frozen=True):
    """How supervisord sees a service: its process, 0 if there is none, and its state (`running`, `backoff`, ...)."""

    name: str
    role: str
    address: str
    pid: int
    state: str


class _ProcessInfo(msgspec.Struct, frozen=True):
    """What matters of getProcessInfo's answer. See: http://supervisord.org/api.html."""

    name: str
    pid: int
    statename: str


_STOPPED = _ProcessInfo("", 0, "STOPPED")


def start(services: Services) -> None:
    """Starts supervisord, which starts the services; returns when all can serve. Raises ServiceError."""
    start_supervisord(services)
    wait_ready(services)


def start_supervisord(services: Services) -> None:
    """Starts supervisord, which starts the services; does not wait for them. Raises ServiceError."""
    configuration = services.state / "supervisord.conf"
    write_file(configuration, configuration_of(services).encode(), WORLD_READABLE)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
    done = subprocess.run(
        command,
        env=_environment(services),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_START_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise ServiceError(f"supervisord did not start: {done.stdout.decode(errors='replace').strip()}")


def stop(services: Services) -> None:
    """Stops supervisord and with it the services, and whatever a killed one left behind. Raises TimeoutError."""
    with contextlib.suppress(TimeoutError):
        processes.stop(_supervisord(services), timeout_s=_STOP_TIMEOUT_S)
    processes.kill(_processes(services))


def statuses(services: Services) -> tuple[ServiceStatus, ...]:
    """The state of every service; `stopped` for all when supervisord does not answer."""
    known = {info.name: info for info in _process_infos(services)}
    found = [(service, known.get(service.name, _STOPPED)) for service in services.services]
    return tuple(
        ServiceStatus(service.name, service.role, service.listen, info.pid, info.statename.lower())
        for service, info in found
    )


def wait_ready(services: Services, timeout_s: float = _READY_TIMEOUT_S) -> None:
    """Returns when every service answers 200 to /readyz. Raises ServiceError, about the first that does not."""
    for service in services.services:
        settled = partial(_settled, service, services, set())
        try:
            processes.wait_until(settled, timeout_s=timeout_s, what=service.name)
        except TimeoutError:
            raise ServiceError(f"{service.name} was not ready within {timeout_s:g} s", service.log) from None


def configuration_of(services: Services) -> str:
    """The text of supervisord's configuration."""
    programs = (
        _PROGRAM.format(name=service.name, role=service.role, variable=f"{service.role.upper()}_CONFIG")
        for service in services.services
    )
    return _SUPERVISORD + "".join(programs)


def is_ready(service: Service, services: Services) -> bool:
    """Whether the service answers 200 to /readyz. All others are asked as the gatekeeper, by its certificate."""
    with _pool(service, services) as pool, contextlib.suppress(urllib3.exceptions.HTTPError):
        return pool.request("GET", "/readyz", timeout=_REQUEST_TIMEOUT_S, retries=False).status == 200
    return False


def _settled(service: Service, services: Services, pids: set[int]) -> bool:
    """Whether the service is ready. Raises ServiceError when it dies again and again; `pids` are those seen so far."""
    if is_ready(service, services):
        return True
    status = next(status for status in statuses(services) if status.name == service.name)
    pids.add(status.pid)
    if status.state in _FAILED or len(pids - {0}) >= _TRIES:
        raise ServiceError(f"{service.name} does not stay up", service.log)
    return False


def _pool(service: Service, services: Services) -> urllib3.HTTPConnectionPool:
    host, _, port = service.listen.rpartition(":")
    if service.role == "gatekeeper":
        return urllib3.HTTPConnectionPool(host, int(port))
    credentials = services.credentials(services.gatekeeper)
    return urllib3.HTTPSConnectionPool(
        host,
        int(port),
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(credentials.authority),
        cert_file=str(credentials.certificate),
        key_file=str(credentials.key),
        server_hostname=dns_name(service.role),
        assert_hostname=dns_name(service.role),
    )


def _process_infos(services: Services) -> list[_ProcessInfo]:
    """What supervisord answers; none while it does not run, starts or ends."""
    transport = SupervisorTransport(serverurl=f"unix://{services.runtime_directory}/supervisor.sock")
    try:
        answer = xmlrpc.client.ServerProxy("http://127.0.0.1", transport).supervisor.getAllProcessInfo()
    except (OSError, http.client.HTTPException):
        return []
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != Faults.SHUTDOWN_STATE:
            raise
        return []
    finally:
        transport.close()
    return msgspec.convert(answer, list[_ProcessInfo])


def _environment(services: Services) -> dict[str, str]:
    return {
        **processes.environment(services.state),
        _MARK: str(services.runtime_directory),
        "GATEKEEPER_PYTHON": sys.executable,
        "GATEKEEPER_ROOT": str(services.root),
    }


def _supervisord(services: Services) -> list[Process]:
    try:
        pid = (services.state / "supervisord.pid").read_text().strip()
    except FileNotFoundError:
        return []
    return [process for process in _processes(services) if str(process.pid) == pid]


def _processes(services: Services) -> list[Process]:
    """Every process of the services: by the mark in its environment; a tunnel's, which has none, by its socket."""
    return list(_find(f"{_MARK}={services.runtime_directory}".encode(), str(services.runtime_directory).encode()))


def _find(mark: bytes, directory: bytes) -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):  # it ended meanwhile, or is another user's
            pid = int(entry.name)
            stat = (entry / "stat").read_text()
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            if marked or ("(ssh)" in stat and directory in (entry / "cmdline").read_bytes()):
                yield Process(pid, int(stat.rpartition(")")[2].split()[19]))
