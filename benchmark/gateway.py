"""Variants of the deployed services beside them: another tunnel, another kind of worker.

A variant is a proxy and a gatekeeper under a supervisord of their own, with the settings and certificates of the
deployed ones, but for ports and what is varied: so a difference in the results is the variation's.
"""

import contextlib
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmark.children import running
from benchmark.errors import LoadFailed
from deploy import processes, supervision, toml
from deploy.ports import Ports
from deploy.secrets import write_file
from deploy.services import ADDRESS, Service, ServiceError, Services


class Variant(msgspec.Struct, frozen=True):
    """What differs from the deployed services: members of the proxy's settings, arguments of gunicorn for both."""

    name: str
    proxy: Mapping[str, str] = {}
    gunicorn: str = ""


def start(variant: Variant, deployed: Services, ports: Ports, stack: contextlib.ExitStack) -> Service:
    """Starts a variant's proxy and gatekeeper, which the stack stops, and returns the gatekeeper. Raises LoadFailed."""
    services = _lay_out(variant, deployed, ports)
    configuration = services.state / "supervisord.conf"
    write_file(configuration, supervision.configuration_of(services).encode())
    command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration)]
    environment = {
        "GATEKEEPER_RUNTIME": str(services.runtime_directory),
        "GATEKEEPER_PYTHON": sys.executable,
        "GATEKEEPER_ROOT": str(services.root),
        "GUNICORN_CMD_ARGS": variant.gunicorn,
    }
    stack.enter_context(running(command, directory=services.state, log=None, environment=environment))
    try:
        supervision.wait_ready(services)
    except ServiceError as error:
        raise LoadFailed(f"{error}: {processes.tail(error.log, 1) if error.log else 'no log'}") from None
    return services.gatekeeper


def _lay_out(variant: Variant, deployed: Services, ports: Ports) -> Services:
    """The variant's files, in a directory that goes with the deployed services."""
    state = deployed.runtime_directory / variant.name
    runtime_directory = state / "run"
    for directory in (state, state / "log", runtime_directory):
        directory.mkdir(mode=0o700)
    (state / "certificates").symlink_to(deployed.state / "certificates")
    moved = tuple(_moved(service, state, ports) for service in deployed.services)
    services = Services(deployed.root, state, runtime_directory, moved)
    for service, model in zip(moved, deployed.services, strict=True):
        (runtime_directory / service.name).mkdir(mode=0o700)
        changes = variant.proxy if service.role == "proxy" else _upstream(services)
        _write_settings(service, model, services, changes)
    return services


def _moved(model: Service, state: Path, ports: Ports) -> Service:
    return msgspec.structs.replace(
        model,
        listen=f"{ADDRESS}:{ports.take()}",
        metrics_listen=f"{ADDRESS}:{ports.take()}",
        settings=state / model.settings.name,
        log=state / "log" / model.log.name,
    )


def _upstream(services: Services) -> dict[str, toml.Value]:
    return {"proxies": [f"https://{proxy.listen}" for proxy in services.proxies]}


def _write_settings(service: Service, model: Service, services: Services, changes: Mapping[str, toml.Value]) -> None:
    members = tomllib.loads(model.settings.read_text(encoding="utf-8"))
    tls = members.pop("tls")
    own = {
        "listen": service.listen,
        "metrics_listen": service.metrics_listen,
        "runtime_directory": str(services.runtime_directory / service.name),
    }
    write_file(service.settings, toml.render({**members, **own, **changes}, {"tls": tls}).encode())
