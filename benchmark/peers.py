"""The peers. Their account may read the sample, and write one table.

From npm, as they come: xmysql (REST over MySQL) and dbhub (MCP over MySQL). Their exact versions stand in package.json
and package-lock.json beside this file; optional packages are left out, so that dbhub has the driver for MariaDB and no
other. And the way of the student projects, benchmark/per_request.py.
"""

import contextlib
import hashlib
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmark import commands, per_request
from benchmark.children import running, wait_listening
from benchmark.errors import NotMeasured
from benchmark.per_request import Way
from benchmark.shapes import INSERT_TABLE, SCHEMA
from deploy import toml
from deploy.providers.servers import AdminConnection
from deploy.providers.state import Cluster, Place
from deploy.secrets import private_directory, write_file

_HERE = Path(__file__).parent
_MANIFEST = ("package.json", "package-lock.json")
_INSTALL_TIMEOUT_S = 300
_INSTALL = ("npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")
_USER = "bench_peer"


class Peer(msgspec.Struct, frozen=True):
    """How a peer reaches the database: the manager's server, as an account of its own. `scratch` takes its files.

    `port`: where the peer is to listen, on 127.0.0.1.
    """

    packages: Path
    scratch: Path
    place: Place
    cluster: Cluster
    password: str
    port: int

    def __repr__(self) -> str:
        return f"Peer({self.packages}, password hidden)"


class Running(msgspec.Struct, frozen=True):
    """A started peer: its HOST:PORT and its process."""

    address: str
    pid: int


def create_account(connection: AdminConnection) -> str:
    """Makes the peers' account, which may read the sample and fill the table for that, and returns its password."""
    password = secrets.token_urlsafe(24)
    # sshd, like any local client, connects from 127.0.0.1.
    name = f"'{_USER}'@'127.0.0.1'"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE USER {name} IDENTIFIED BY %s", (password,))
        cursor.execute(f"GRANT SELECT ON {SCHEMA}.* TO {name}")
        cursor.execute(f"GRANT INSERT ON {SCHEMA}.{INSERT_TABLE} TO {name}")
    return password


def install(cache: Path) -> Path:
    """The directory with the peers' packages, installed if need be. Raises NotMeasured."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotMeasured(f"{program} is missing")
    directory = private_directory(cache / "bench" / "npm")
    manifest = b"".join((_HERE / name).read_bytes() for name in _MANIFEST)
    stamp = directory / "installed"
    wanted = hashlib.sha256(manifest).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        stamp.unlink(missing_ok=True)
        for name in _MANIFEST:
            shutil.copyfile(_HERE / name, directory / name)
        _npm_ci(directory)
        stamp.write_text(wanted)
    return directory


def start_xmysql(peer: Peer, stack: contextlib.ExitStack) -> Running:
    """Starts xmysql, which the stack stops. It has no tunnel. Raises LoadFailed."""
    manager = peer.cluster.nodes[0]
    command = ["node", str(_HERE / "xmysql.js"), "-h", manager.address, "-o", str(manager.mysql_port), "-u", _USER]
    command += ["-d", SCHEMA, "-r", "127.0.0.1", "-n", str(peer.port)]
    # It prints a line for each request, which is thrown away: the cheapest place for it.
    environment = {"BENCHMARK_PASSWORD": peer.password}
    child = stack.enter_context(running(command, directory=peer.packages, log=None, environment=environment))
    wait_listening(child, peer.port, None)
    return Running(f"127.0.0.1:{peer.port}", child.pid)


def start_dbhub(peer: Peer, stack: contextlib.ExitStack) -> Running:
    """Starts dbhub with its own SSH tunnel, which the stack stops. Raises LoadFailed."""
    configuration = peer.scratch / "dbhub.toml"
    write_file(configuration, _dbhub_settings(peer).encode())
    log = peer.scratch / "dbhub.log"
    program = peer.packages / "node_modules" / "@bytebase" / "dbhub" / "dist" / "index.js"
    command = ["node", str(program), f"--config={configuration}", "--transport", "http"]
    command += ["--host", "127.0.0.1", "--port", str(peer.port)]
    child = stack.enter_context(running(command, directory=peer.scratch, log=log))
    wait_listening(child, peer.port, log)
    return Running(f"127.0.0.1:{peer.port}", child.pid)


def start_per_request(peer: Peer, stack: contextlib.ExitStack) -> Running:
    """Starts the stand-in for the student projects, which the stack stops. Raises LoadFailed."""
    manager = peer.cluster.nodes[0]
    way = Way(
        host=manager.address,
        ssh_port=peer.cluster.ssh_port,
        ssh_user=peer.cluster.account.name,
        ssh_key=str(peer.place.private_key),
        mysql_port=manager.mysql_port,
        user=_USER,
        password=peer.password,
    )
    command = [sys.executable, "-m", "benchmark.per_request", str(peer.port)]
    environment = {per_request.VARIABLE: msgspec.json.encode(way).decode()}
    # It prints a line for each request, and a trace for each tunnel that fails, which is thrown away.
    child = stack.enter_context(running(command, directory=_HERE.parent, log=None, environment=environment))
    wait_listening(child, peer.port, None)
    return Running(f"127.0.0.1:{peer.port}", child.pid)


def _dbhub_settings(peer: Peer) -> str:
    manager = peer.cluster.nodes[0]
    source: dict[str, toml.Value] = {
        "id": SCHEMA,
        "type": "mariadb",
        "host": manager.address,
        "port": manager.mysql_port,
        "user": _USER,
        "password": peer.password,
        "database": SCHEMA,
        "ssh_host": manager.address,
        "ssh_port": peer.cluster.ssh_port,
        "ssh_user": peer.cluster.account.name,
        "ssh_key": str(peer.place.private_key),
    }
    tool: dict[str, toml.Value] = {"name": "execute_sql", "source": SCHEMA}
    return f"[[sources]]\n{toml.render(source)}\n[[tools]]\n{toml.render(tool)}"


def _npm_ci(directory: Path) -> None:
    try:
        done = commands.run(_INSTALL, _INSTALL_TIMEOUT_S, directory)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"npm ci did not end within {_INSTALL_TIMEOUT_S} s") from None
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if line.startswith("npm error")]
        raise NotMeasured(f"npm ci failed: {(errors or ['without a word'])[0]}")
