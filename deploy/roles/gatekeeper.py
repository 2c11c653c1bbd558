"""A gatekeeper's machine: the service on loopback, and nginx before it. Neither passwords nor SSH keys are here."""

from collections.abc import Sequence
from typing import Final

from deploy import steps, toml
from deploy.host import Host
from deploy.roles import service
from deploy.roles.files import Material

LISTEN: Final = "127.0.0.1:8080"
METRICS: Final = "127.0.0.1:9102"
KEYS: Final = f"{service.SETTINGS}/keys.json"
POLICY: Final = f"{service.SETTINGS}/policy.toml"
PACKAGES: Final = (*service.PACKAGES, "nginx-light")


def settings(host: Host, proxies: Sequence[str], orchestrators: Sequence[str]) -> str:
    """The text of gatekeeper.toml; gatekeeper/settings.py reads it. Proxies and orchestrators: as HOST:PORT."""
    return toml.render(
        {
            "name": host.name,
            "listen": LISTEN,
            "metrics_listen": METRICS,
            "proxies": [f"https://{proxy}" for proxy in proxies],
            "orchestrators": [f"https://{orchestrator}" for orchestrator in orchestrators],
            "policy": POLICY,
            "keys": KEYS,
            "audit": f"{service.STATE}/audit.log",
            "records": f"{service.STATE}/records.jsonl",
            "runtime_directory": service.RUNTIME,
            "trusted_proxy": "127.0.0.1",
        },
        {"tls": service.tls_members()},
    )


def files(host: Host, proxies: Sequence[str], orchestrators: Sequence[str], material: Material) -> list[steps.Entry]:
    """What the service reads when it starts."""
    return [
        *service.directories("gatekeeper"),
        *service.credentials("gatekeeper", material.issue("gatekeeper", host.name)),
        service.secret(
            f"{service.SETTINGS}/gatekeeper.toml", settings(host, proxies, orchestrators).encode(), "gatekeeper"
        ),
    ]


def followed(material: Material) -> list[steps.Entry]:
    """What a running gatekeeper takes up by itself: the policy and the keys' hashes."""
    return [
        service.secret(POLICY, material.policy(), "gatekeeper"),
        service.secret(KEYS, material.keys(), "gatekeeper"),
    ]
