"""SSH tunnels to the nodes' SQL ports: the interface that both backends have.

A tunnel is opened, watched from outside and, when it is dead or silent, closed and replaced: it is never repaired
(the libraries' own reconnection is unreliable: pahaz/sshtunnel #188, #289, paramiko #2326).
"""

from pathlib import Path
from typing import Protocol

import msgspec

from contract.inventory import Machine


class TunnelError(Exception):
    """The tunnel can't be opened; the text says why."""


class HostKeyMismatch(TunnelError):
    """The host's key is not the one that known_hosts has; nothing was sent to it."""


class Target(msgspec.Struct, frozen=True):
    """Where a tunnel leads, and what opens it. `runtime_directory` takes the local end's socket."""

    machine: Machine
    ssh_key: Path
    known_hosts: Path
    runtime_directory: Path
    connect_timeout_ms: int


class LocalEnd(msgspec.Struct, frozen=True):
    """Where the driver connects: a Unix socket, or a TCP port of 127.0.0.1."""

    unix_socket: str | None = None
    port: int = 0


class Tunnel(Protocol):
    """A tunnel to one node."""

    def open(self) -> LocalEnd:
        """Opens the tunnel, within the target's time. Raises TunnelError."""
        ...

    def alive(self) -> bool:
        """Whether the SSH connection is believed to stand. A silent one is found by the prober's queries."""
        ...

    def close(self) -> None:
        """Ends the tunnel and all that it started; safe to call twice."""
        ...
