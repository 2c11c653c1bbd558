"""A cluster of real machines, as tests speak of it."""

import io
import shlex
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import fabric
import paramiko

from contract.inventory import MachineRole
from deploy.clusters import fleet_recipe
from deploy.firewall import Rule
from deploy.providers import sshd
from deploy.providers.fleet import Fleet, Settings
from deploy.providers.fleet.faults import Faults
from deploy.providers.interface import Order, Wanted

CACHE = Path(__file__).parents[2] / "var" / "cache" / "fleet"
RULES = (
    Rule("data", 22, "operator"),
    Rule("gatekeeper", 22, "operator"),
    Rule("gatekeeper", 80, "world"),
    Rule("manager", 22, "operator"),
    Rule("manager", 4567, "data"),
)
_TIMEOUT_S = 60
_REACH_TIMEOUT_S = 2


class Cluster:
    """A cluster in a directory of its own. `said`: what the provider said, a sentence each, since the last launch."""

    def __init__(self, directory: Path, machines: Mapping[str, MachineRole], size: str = "512") -> None:
        key = sshd.new_key_pair()
        wanted = tuple(Wanted(name, role, size) for name, role in machines.items())
        self.key = paramiko.Ed25519Key.from_private_key(io.StringIO(key.private))
        self.order = Order(directory.name, wanted, RULES, key.public, directory)
        self.settings = Settings(directory.name, directory, CACHE, fleet_recipe())
        self.fleet = Fleet(self.settings)
        self.faults = Faults(self.fleet)
        self.said: list[str] = []

    def launch(self, order: Order | None = None) -> None:
        self.said.clear()
        self.fleet.launch(order or self.order, self._say)

    def destroy(self, names: Sequence[str] | None = None) -> None:
        self.fleet.destroy(self._say, names)

    def address(self, name: str) -> str:
        return {machine.name: machine.private_ip_address for machine in self.fleet.find()}[name]

    def run(self, name: str, command: str, timeout_s: float = _TIMEOUT_S) -> str:
        """What the command prints on the machine, as the operator runs it with sudo; it must succeed."""
        with self.connection(name) as connection:
            done = connection.run(f"sudo bash -c {shlex.quote(command)}", hide=True, timeout=timeout_s, in_stream=False)
            return str(done.stdout).strip()

    def connection(self, name: str, known_hosts: str | None = None) -> fabric.Connection:
        """A connection that accepts the host keys which the provider knows, and no others."""
        connection = fabric.Connection(
            self.address(name),
            user="admin",
            config=fabric.Config(overrides={"load_ssh_configs": False}),
            connect_timeout=_TIMEOUT_S,
            connect_kwargs={"pkey": self.key, "allow_agent": False, "look_for_keys": False},
        )
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for line in (known_hosts or self.fleet.known_hosts()).splitlines():
            address, kind, _ = line.split()
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
            assert entry is not None
            assert entry.key is not None
            connection.client.get_host_keys().add(address, kind, entry.key)
        return connection

    def listen(self, name: str, port: int, address: str = "0.0.0.0") -> None:
        """Have something listen on the machine's port, all of its addresses by default, until the machine stops."""
        self.run(name, f"systemd-run --quiet --unit=listen-{port} python3 -m http.server --bind {address} {port}")
        self.run(name, f"timeout 50 bash -c 'until echo >/dev/tcp/127.0.0.1/{port}; do sleep 0.05; done' 2>&1")

    def reaches(self, name: str, other: str, port: int) -> bool:
        """Whether the machine can open a connection to that port of the other one."""
        return bool(self.reached(name, [(other, port)]))

    def reached(self, name: str, targets: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """Those machines and ports that the machine can open a connection to."""
        return self.answering(targets, lambda script: self.run(name, script))

    def answering(self, targets: Iterable[tuple[str, int]], run: Callable[[str], str]) -> set[tuple[str, int]]:
        """Those machines and ports that answer where `run` runs a script of bash."""
        by_word = {f"{self.address(name)}/{port}": (name, port) for name, port in targets}
        probe = f"timeout {_REACH_TIMEOUT_S} bash -c 'echo >/dev/tcp/$0' $target 2>/dev/null && echo $target"
        script = f"for target in {' '.join(by_word)}; do ({probe}) & done; wait"
        return {by_word[word] for word in run(script).split()}

    def operator_reaches(self, name: str, port: int) -> bool:
        try:
            socket.create_connection((self.address(name), port), timeout=_REACH_TIMEOUT_S).close()
        except OSError:
            return False
        return True

    def greets(self, name: str) -> bool:
        """Whether the machine's SSH server says anything within a second."""
        with socket.create_connection((self.address(name), 22), timeout=1) as connection:
            try:
                return bool(connection.recv(4))
            except TimeoutError:
                return False

    def _say(self, name: str, text: str) -> None:
        self.said.append(f"{name}: {text}")
