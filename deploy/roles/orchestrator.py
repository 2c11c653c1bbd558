"""An orchestrator's machine: the service, which gatekeepers reach with their certificates. No password is here."""

from collections.abc import Sequence
from typing import Final

from deploy import steps, toml
from deploy.firewall import ORCHESTRATOR_PORT
from deploy.host import Host
from deploy.roles import service
from deploy.roles.files import Material

METRICS: Final = "127.0.0.1:9103"
PACKAGES: Final = service.PACKAGES
_SECRET: Final = f"{service.SETTINGS}/queue-secret"


def listen(host: Host) -> str:
    """Where the orchestrator listens, as HOST:PORT."""
    return f"{host.machine.private_ip_address}:{ORCHESTRATOR_PORT}"


def settings(host: Host, proxies: Sequence[str]) -> str:
    """The text of orchestrator.toml; orchestrator/settings.py reads it. `proxies`: as HOST:PORT."""
    return toml.render(
        {
            "name": host.name,
            "listen": listen(host),
            "metrics_listen": METRICS,
            "proxies": [f"https://{proxy}" for proxy in proxies],
            "secret": _SECRET,
            "runtime_directory": service.RUNTIME,
        },
        {"tls": service.tls_members()},
    )


def files(host: Host, proxies: Sequence[str], material: Material) -> list[steps.Entry]:
    """All that the service reads."""
    return [
        *service.directories("orchestrator"),
        *service.credentials("orchestrator", material.issue("orchestrator", host.name)),
        service.secret(f"{service.SETTINGS}/orchestrator.toml", settings(host, proxies).encode(), "orchestrator"),
        service.secret(_SECRET, material.queue_secret.read_bytes(), "orchestrator"),
    ]
