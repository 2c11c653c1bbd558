"""`fab deploy`, whole: from a description to machines that answer queries. Every part looks first.

The order is that of trust: machines and their host keys, then databases, then proxies, then orchestrators, then
gatekeepers. What was cut off is completed by the next run.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from contract.inventory import SQL_ROLES, Machine, render
from deploy import firewall, release, steps
from deploy.cluster import Cluster
from deploy.host import Access, Host, HostError
from deploy.providers.interface import Order, Provider, ProviderError, Say
from deploy.roles import database, edge, gatekeeper, node, orchestrator, proxy, service, tarball
from deploy.roles.engine import MachineEngine
from deploy.roles.files import Material
from deploy.secrets import WORLD_READABLE, write_file
from deploy.site import Site, on_each

ROOT: Final = Path(__file__).parent.parent
SAMPLE_POLICY: Final = ROOT / "deploy" / "sample" / "policy.toml"
API_ROLE: Final = "demo"
_DRAIN_TIMEOUT_S: Final = 90
# Names come from a provider's tags, and stand in scripts and paths.
_NAME: Final = re.compile(r"(?:standalone|manager|data|proxy|orchestrator|gatekeeper)[0-9]{0,2}")


class Deployment(msgspec.Struct, frozen=True):
    """A cluster that is to be as its description says. `directory`: the operator's, for this cluster."""

    name: str
    cluster: Cluster
    provider: Provider
    engine: MachineEngine
    directory: Path
    cache: Path
    say: Say

    @property
    def material(self) -> Material:
        """The operator's files."""
        return Material(self.directory, Path(self.cluster.policy) if self.cluster.policy else SAMPLE_POLICY)

    def order(self) -> Order:
        """What is asked of the provider."""
        wanted = self.cluster.wanted()
        jump = bool(self.cluster.ec2 and self.cluster.ec2.private_subnets)
        rules = firewall.rules(self.cluster.engine, frozenset(machine.role for machine in wanted), jump_host=jump)
        return Order(self.name, wanted, rules, self.material.operator_public_key, self.directory)

    def site(self) -> Site:
        """The cluster's running machines, as the provider knows them now."""
        machines = [machine for machine in self.provider.find() if machine.state == "running"]
        return self.site_of([self.host(machine, machines) for machine in machines])

    def host(self, machine: Machine, machines: Sequence[Machine]) -> Host:
        """The machine, of those that there are, as the operator reaches it. Raises ProviderError."""
        if not _NAME.fullmatch(machine.name):
            raise ProviderError(f"{machine.name!r} is no machine's name: its tag was changed")
        return Host(machine, self.access(machines))

    def site_of(self, hosts: Sequence[Host]) -> Site:
        """These machines, as tasks work on them."""
        return Site(
            name=self.name,
            cluster=self.cluster,
            root=ROOT,
            directory=self.directory,
            cache=self.cache,
            hosts={host.name: host for host in hosts},
            say=self.say,
        )

    def access(self, machines: Sequence[Machine]) -> Access:
        """How the operator reaches these machines."""
        jump = None
        if self.cluster.ec2 and self.cluster.ec2.private_subnets:
            jump = next((machine for machine in machines if machine.role == "gatekeeper"), None)
        return Access(self.material.operator_key, self.material.host_keys, jump)


def deploy(deployment: Deployment) -> Site:
    """Makes everything as described. Raises ProviderError, HostError, CommandFailed, KeyIsOpen, WrongChecksum."""
    material, say = deployment.material, deployment.say
    if deployment.cluster.ndb:
        tarball.check(deployment.cluster.ndb)  # before machines cost anything
    say(deployment.name, f"files: {', '.join(material.make(API_ROLE)) or 'unchanged'}")
    _machines(deployment)
    site = deployment.site()
    configure(deployment, site)
    return site


def configure(deployment: Deployment, site: Site) -> None:
    """What is done on machines that are there, in the order of trust; raises as `deploy`."""
    material = deployment.material
    on_each(site.servers, lambda host: site.report(host, "tunnel", node.tunnel(host, material.tunnel_public_key)))
    deployment.engine.install(site, lambda host: drained(site, deployment.engine, host))
    _databases(deployment, site)
    _proxies(deployment, site)
    _orchestrators(deployment, site)
    _gatekeepers(deployment, site)


def _machines(deployment: Deployment) -> None:
    planned = deployment.provider.plan(deployment.order())
    deployment.provider.launch(deployment.order(), deployment.say)
    machines = deployment.provider.find()
    write_known(deployment, machines)
    deployment.say(deployment.name, f"machines: {len(planned)} changes" if planned else "machines: unchanged")


def write_known(deployment: Deployment, machines: Sequence[Machine]) -> None:
    """What the operator's files say of these machines: their host keys and the inventory."""
    write_file(deployment.material.host_keys, deployment.provider.known_hosts().encode())
    text = render(inventory(machines))
    path = deployment.material.inventory
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_file(path, text.encode(), WORLD_READABLE)


def inventory(machines: Sequence[Machine]) -> list[Machine]:
    """The machines as proxies know them: to a server they come as the tunnels' account, not as the operator's."""
    return [
        msgspec.structs.replace(machine, user_name=node.TUNNEL_ACCOUNT) if machine.role in SQL_ROLES else machine
        for machine in machines
    ]


def _databases(deployment: Deployment, site: Site) -> None:
    engine, accounts = deployment.engine, deployment.material.accounts()
    users = [value for member, value in msgspec.structs.asdict(accounts).items() if member.endswith("_user")]
    # What one node is told, all of a cluster know.
    for host in [*site.of("standalone"), *site.of("manager")]:
        if host.is_dry and not engine.is_ready(engine.state(host)):
            site.report(host, "schemas, accounts and sample", ("what is missing when the server runs",))
            continue
        statements = engine.account_statements(host, accounts, site.cluster.schemas)
        site.report(host, "schemas", database.schemas(host, engine, site.cluster.schemas))
        site.report(host, "accounts", database.accounts(host, engine, users, statements))
        if site.cluster.sample:
            site.report(host, "sample", database.sample(host, engine))


def _proxies(deployment: Deployment, site: Site) -> None:
    built = release.build(site.root, "proxy")
    on_each(site.of("proxy"), lambda host: _prepare(site, host, proxy.PACKAGES, built))
    listed = deployment.material.inventory.read_text(encoding="utf-8")
    for host in site.of("proxy"):
        steps.paths(host, service.directories("proxy"))
        site.report(host, "inventory", steps.paths(host, [proxy.inventory(listed)]))
        files = proxy.files(host, site.cluster.engine, deployment.material)
        _run(site, host, built, files)


def _orchestrators(deployment: Deployment, site: Site) -> None:
    built = release.build(site.root, "orchestrator")
    on_each(site.of("orchestrator"), lambda host: _prepare(site, host, orchestrator.PACKAGES, built))
    proxies = [proxy.listen(host) for host in site.of("proxy")]
    for host in site.of("orchestrator"):
        steps.paths(host, service.directories("orchestrator"))
        _run(site, host, built, orchestrator.files(host, proxies, deployment.material))


def _gatekeepers(deployment: Deployment, site: Site) -> None:
    built = release.build(site.root, "gatekeeper")
    on_each(site.of("gatekeeper"), lambda host: _prepare(site, host, gatekeeper.PACKAGES, built))
    proxies = [proxy.listen(host) for host in site.of("proxy")]
    orchestrators = [orchestrator.listen(host) for host in site.of("orchestrator")]
    for host in site.of("gatekeeper"):
        steps.paths(host, service.directories("gatekeeper"))
        site.report(host, "policy and keys", steps.paths(host, gatekeeper.followed(deployment.material)))
        _run(site, host, built, gatekeeper.files(host, proxies, orchestrators, deployment.material))
        site.report(host, "nginx", edge.install(host, site.cluster.edge, deployment.material))


def _prepare(site: Site, host: Host, packages: Sequence[str], built: release.Release) -> None:
    site.report(host, "packages", steps.packages(host, packages))
    site.report(host, "account", steps.account(host, service.account(built.service), home=service.STATE))
    site.report(host, "release", (built.version,) if service.put(host, built, site.cache) else ())


def _run(site: Site, host: Host, built: release.Release, files: Sequence[steps.Entry]) -> None:
    """Switches to the release, and sees to it that the service runs with it and with what it reads."""
    service.switch(host, built.version)
    site.report(host, "settings", steps.paths(host, files))
    read = [entry.path for entry in files if isinstance(entry, steps.File)]
    site.report(host, "service", service.run(host, built.service, read))


@contextmanager
def drained(site: Site, engine: MachineEngine, host: Host, *, for_good: bool = False) -> Iterator[None]:
    """Keeps proxies from a node: its row in their inventory says `stopping` meanwhile. `for_good`: it goes afterwards.

    Entered when the last of their connections is gone: a proxy lets statements that are under way end first. Raises
    HostError when one does not end in time. A dry run takes no node from anybody.
    """
    if host.is_dry:
        yield
        return
    machines = inventory(site.machines)
    stopping = [
        msgspec.structs.replace(machine, state="stopping") if machine.name == host.name else machine
        for machine in machines
    ]
    _tell(site, stopping)
    try:
        _wait_until_left(engine, host)
        yield
        if for_good:
            machines = [machine for machine in machines if machine.name != host.name]
    finally:
        _tell(site, machines)


def _wait_until_left(engine: MachineEngine, host: Host) -> None:
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    while left := [line for line in engine.ask(host, "SHOW PROCESSLIST").splitlines() if "\tgk_" in line]:
        if time.monotonic() > deadline:
            raise HostError(f"{host.name}: {len(left)} connections of proxies did not end within {_DRAIN_TIMEOUT_S} s")
        time.sleep(0.3)


def _tell(site: Site, machines: Sequence[Machine]) -> None:
    on_each(site.of("proxy"), lambda host: steps.paths(host, [proxy.inventory(render(machines))]))
