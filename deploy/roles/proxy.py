"""A proxy's machine: the service, and alone of all machines the way in to the nodes and the database's passwords."""

from typing import Final

from deploy import steps, toml
from deploy.firewall import PROXY_PORT
from deploy.host import Host
from deploy.roles import service
from deploy.roles.files import Material

METRICS: Final = "127.0.0.1:9101"
INVENTORY: Final = f"{service.SETTINGS}/cluster_config.csv"
PACKAGES: Final = (*service.PACKAGES, "openssh-client")
# With NDB every SQL node takes writes alike; with Galera several writers would make each other's commits fail.
_WRITES = {"ndb": "any", "galera": "manager"}


def listen(host: Host) -> str:
    """Where the proxy listens, as HOST:PORT."""
    return f"{host.machine.private_ip_address}:{PROXY_PORT}"


def settings(host: Host, engine: str) -> str:
    """The text of proxy.toml; proxy/settings.py reads it."""
    return toml.render(
        {
            "name": host.name,
            "listen": listen(host),
            "metrics_listen": METRICS,
            "inventory": INVENTORY,
            "accounts": f"{service.SETTINGS}/accounts.toml",
            "ssh_key": f"{service.SETTINGS}/tunnel.key",
            "known_hosts": f"{service.SETTINGS}/known_hosts",
            "runtime_directory": service.RUNTIME,
            "engine": engine,
            "writes": _WRITES[engine],
        },
        {"tls": service.tls_members()},
    )


def files(host: Host, engine: str, material: Material) -> list[steps.Entry]:
    """All that the service reads."""
    return [
        *service.directories("proxy"),
        *service.credentials("proxy", material.issue("proxy", host.name)),
        service.secret(f"{service.SETTINGS}/proxy.toml", settings(host, engine).encode(), "proxy"),
        accounts(material),
        service.secret(f"{service.SETTINGS}/tunnel.key", material.tunnel_key(), "proxy"),
        service.secret(f"{service.SETTINGS}/known_hosts", material.known_hosts(), "proxy"),
    ]


def accounts(material: Material) -> steps.Entry:
    """The accounts' file, which the service reads when it starts."""
    return service.secret(f"{service.SETTINGS}/accounts.toml", material.accounts_file(), "proxy")


def inventory(text: str) -> steps.Entry:
    """The inventory, which a running proxy takes up by itself."""
    return service.secret(INVENTORY, text.encode(), "proxy")
