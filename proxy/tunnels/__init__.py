"""SSH tunnels to the nodes' SQL ports: one interface (base.py), and backends that register by name."""

from collections.abc import Callable
from pathlib import Path

from contract.inventory import Machine
from proxy.settings import Settings
from proxy.tunnels.base import HostKeyMismatch, LocalEnd, Target, Tunnel, TunnelError
from proxy.tunnels.openssh import OpensshTunnel
from proxy.tunnels.sshtunnel_backend import SshtunnelTunnel

__all__ = ["BACKENDS", "HostKeyMismatch", "LocalEnd", "Target", "Tunnel", "TunnelError", "opener"]

BACKENDS: dict[str, Callable[[Target], Tunnel]] = {"openssh": OpensshTunnel, "sshtunnel": SshtunnelTunnel}


def opener(settings: Settings) -> Callable[[Machine], Tunnel]:
    """What makes the tunnel to a machine, by the backend that the settings name."""
    backend = BACKENDS[settings.tunnel]

    def make(machine: Machine) -> Tunnel:
        return backend(
            Target(
                machine=machine,
                ssh_key=Path(settings.ssh_key),
                known_hosts=Path(settings.known_hosts),
                runtime_directory=Path(settings.runtime_directory),
                connect_timeout_ms=settings.connect_timeout_ms,
            )
        )

    return make
