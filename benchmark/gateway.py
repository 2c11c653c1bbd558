"""Variants of the deployed services beside them: another tunnel, another kind of worker, without mutual TLS.

A variant is a proxy and a gatekeeper under a supervisord of their own, with the settings and certificates of the
deployed ones, but for ports and what is varied: so a difference in the results is the variation's.
"""

import contextlib
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import requests

from benchmark.children import running
from benchmark.errors import LoadFailed
from deploy import processes, supervision, toml
from deploy.ports import Ports
from deploy.secrets import write_file
from deploy.services import ADDRESS, Service, ServiceError, Services

_READY_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 2.0


class Variant(msgspec.Struct, frozen=True):
    """What differs from the deployed services: members of their settings.

    `plain`: without mutual TLS. `without`: members of the gatekeeper's that are left out. `upstream`: URLs that the
    gatekeeper sends to; with them there is no proxy of its own.
    """

    name: str
    proxy: Mapping[str, toml.Value] = {}
    gatekeeper: Mapping[str, toml.Value] = {}
    plain: bool = False
    without: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()


PLAIN = Variant("plain", plain=True)


def start(variant: Variant, deployed: Services, ports: Ports, stack: contextlib.ExitStack) -> Services:
    """Starts a variant's proxy and gatekeeper, which the stack stops. Raises LoadFailed."""
    services = _lay_out(variant, deployed, ports)
    configuration = services.state / "supervisord.conf"
    write_file(configuration, supervision.configuration_of(services).encode())
    command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration)]
    environment = {
        "GATEKEEPER_RUNTIME": str(services.runtime_directory),
        "GATEKEEPER_PYTHON": sys.executable,
        "GATEKEEPER_ROOT": str(services.root),
    }
    stack.enter_context(running(command, directory=services.state, log=None, environment=environment))
    _wait_ready(variant, services)
    return services


def _wait_ready(variant: Variant, services: Services) -> None:
    try:
        if variant.plain:
            for service in services.services:
                _wait_plain(service)
        else:
            supervision.wait_ready(services)
    except ServiceError as error:
        raise LoadFailed(f"{error}: {processes.tail(error.log, 1) if error.log else 'no log'}") from None


def _wait_plain(service: Service) -> None:
    """Without TLS, supervision can't ask a proxy."""

    def ready() -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://{service.listen}/readyz", timeout=_ANSWER_TIMEOUT_S).ok
        return False

    try:
        processes.wait_until(ready, timeout_s=_READY_TIMEOUT_S, what=service.name)
    except TimeoutError as error:
        raise ServiceError(str(error), service.log) from None


def _lay_out(variant: Variant, deployed: Services, ports: Ports) -> Services:
    """The variant's files, in a directory that goes with the deployed services."""
    state = deployed.runtime_directory / variant.name
    runtime_directory = state / "run"
    for directory in (state, state / "log", runtime_directory):
        directory.mkdir(mode=0o700)
    (state / "certificates").symlink_to(deployed.state / "certificates")
    roles = {"gatekeeper"} if variant.upstream else {"gatekeeper", "proxy"}
    models = [service for service in deployed.services if service.role in roles]
    moved = tuple(_moved(service, state, ports) for service in models)
    services = Services(deployed.root, state, runtime_directory, moved)
    for service, model in zip(moved, models, strict=True):
        (runtime_directory / service.name).mkdir(mode=0o700)
        _write_settings(service, model, services, variant)
    return services


def _moved(model: Service, state: Path, ports: Ports) -> Service:
    return msgspec.structs.replace(
        model,
        listen=f"{ADDRESS}:{ports.take()}",
        metrics_listen=f"{ADDRESS}:{ports.take()}",
        settings=state / model.settings.name,
        log=state / "log" / model.log.name,
    )


def _write_settings(service: Service, model: Service, services: Services, variant: Variant) -> None:
    members = tomllib.loads(model.settings.read_text(encoding="utf-8"))
    tls = members.pop("tls")
    members.pop("orchestrators", None)  # none runs beside it
    own: dict[str, toml.Value] = {
        "listen": service.listen,
        "metrics_listen": service.metrics_listen,
        "runtime_directory": str(services.runtime_directory / service.name),
    }
    if service.role == "gatekeeper":
        # Logs of its own: the deployed gatekeeper's have one writer.
        own |= {"audit": str(services.state / "audit.log"), "records": str(services.state / "records.jsonl")}
        own |= {"proxies": _upstream(variant, services), **variant.gatekeeper}
        own = {name: value for name, value in own.items() if name not in variant.without}
    else:
        own |= variant.proxy
    tables = {} if variant.plain else {"tls": tls}
    kept = {name: value for name, value in members.items() if name not in variant.without}
    write_file(service.settings, toml.render({**kept, **own}, tables).encode())


def _upstream(variant: Variant, services: Services) -> list[str]:
    scheme = "http" if variant.plain else "https"
    return list(variant.upstream) or [f"{scheme}://{proxy.listen}" for proxy in services.proxies]
