"""What keeps a running cluster in order: restarts, releases, certificates. One at a time, so that requests go on."""

import time
from collections.abc import Sequence
from typing import Final

from contract.errors import GatekeeperError
from contract.messages import NodesAnswer
from deploy import certificates, clusters, steps
from deploy.deployment import Deployment, deploy, drained
from deploy.host import Host, HostError
from deploy.release import Service
from deploy.roles import edge, service
from deploy.site import Site, on_each

_SEEN_TIMEOUT_S: Final = 60
_SERVICES: Final[tuple[Service, ...]] = ("gatekeeper", "orchestrator", "proxy")


class NotWhole(RuntimeError):
    """The cluster misses a machine or a node, so no other may be taken out now; the message names it."""


class NoRelease(RuntimeError):
    """A machine has no release to go back to."""


def whole(deployment: Deployment) -> Site:
    """The cluster, if every machine runs and every node is in step. Raises NotWhole, HostError, ProviderError."""
    site = deployment.site()
    missing = [wanted.name for wanted in deployment.cluster.wanted() if wanted.name not in site.hosts]
    if missing:
        raise NotWhole(f"not running: {', '.join(missing)}; bring it back first (fab deploy)")
    states = on_each(site.nodes, deployment.engine.state)
    behind = [f"{name} ({state})" for name, state in states.items() if not deployment.engine.is_whole(state)]
    if behind:
        raise NotWhole(f"not in step: {', '.join(behind)}; bring it back first (fab deploy)")
    return site


def restart(deployment: Deployment) -> None:
    """Services, then nodes, each when the one before serves again. Raises NotWhole, HostError."""
    site = whole(deployment)
    for name in _SERVICES:
        for host in site.of(name):
            service.succeed(host, name)
            site.say(host.name, "service: succeeded by a new process")
    for host in site.nodes:
        with drained(site, deployment.engine, host):
            deployment.engine.restart(site, host)
        wait_until_served(deployment, site, host)


def upgrade(deployment: Deployment) -> Site:
    """All that `deploy` brings, and the engine's newer software. Raises NotWhole and what `deploy` raises."""
    whole(deployment)
    site = deploy(deployment)
    deployment.engine.upgrade(site, lambda host: drained(site, deployment.engine, host))
    return site


def rollback(deployment: Deployment) -> None:
    """Services back to the release before, gatekeepers first. Raises HostError; NoRelease when nothing was changed."""
    site = deployment.site()
    hosts: list[tuple[Service, Host]] = [(name, host) for name in _SERVICES for host in site.of(name)]
    before = {host.name: previous(host.name, service.current(host), service.versions(host)) for _, host in hosts}
    for name, host in hosts:
        _switch(host, name, before[host.name])
        site.say(host.name, f"release: back to {before[host.name]}")


def previous(name: str, current: str | None, versions: Sequence[str]) -> str:
    """The release that was current before, of those on the machine, the last one first. Raises NoRelease."""
    others = [version for version in versions if version != current]
    if not others:
        raise NoRelease(f"{name} has no release but {current or 'none'}: there is nothing to go back to")
    return others[0]


def rotate_certificates(deployment: Deployment, *, with_edge: bool) -> None:
    """New keys and certificates for services and the engine's nodes; `with_edge`: nginx's too, if it was made here.

    One after the other. Those of one authority are signed by it again, so old and new are trusted by all. Raises
    NotWhole, HostError, CertificateError.
    """
    site, material = deployment.site(), deployment.material
    for name in _SERVICES:
        for host in site.of(name):
            renewed = certificates.renew(material.certificates, name, host.name)
            steps.paths(host, service.credentials(name, renewed))
            service.succeed(host, name)
            site.say(host.name, "certificate: new")
    whole(deployment)
    deployment.engine.rotate_certificates(site, lambda host: drained(site, deployment.engine, host))
    if with_edge and not deployment.cluster.edge.certificate:
        for host in site.of("gatekeeper"):
            # Without its key the pair is made anew; who reads the certificate meanwhile finds the old one.
            (material.certificates / f"edge-{host.name}.key").unlink(missing_ok=True)
            site.report(host, "nginx", edge.install(host, deployment.cluster.edge, material))


def wait_until_served(deployment: Deployment, site: Site, host: Host) -> None:
    """Until every proxy uses the node again. Raises HostError when one does not in time."""
    deadline = time.monotonic() + _SEEN_TIMEOUT_S
    while blind := _proxies_without(deployment, site, host.name):
        if time.monotonic() > deadline:
            raise HostError(f"{host.name}: not used within {_SEEN_TIMEOUT_S} s by {', '.join(blind)}")
        time.sleep(0.3)


def _proxies_without(deployment: Deployment, site: Site, node: str) -> list[str]:
    try:
        with clusters.client(deployment, site) as client:
            answers = client.nodes()
    except GatekeeperError as error:
        return [f"the gatekeeper ({error})"]
    return without(node, [host.name for host in site.of("proxy")], answers)


def without(node: str, proxies: Sequence[str], answers: Sequence[NodesAnswer]) -> list[str]:
    """The proxies that don't use the node, or did not answer. A proxy is named as its machine."""
    used = {each.proxy for each in answers if any(one.name == node and one.state == "up" for one in each.nodes)}
    return [proxy for proxy in proxies if proxy not in used]


def _switch(host: Host, name: Service, version: str) -> None:
    """To the release; if its process can't take over, the running one stays, and its release the current one."""
    now = service.current(host)
    service.switch(host, version)
    try:
        service.succeed(host, name)
    except HostError:
        if now:
            service.switch(host, now)
        raise
