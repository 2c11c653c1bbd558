"""New passwords for the database accounts, while requests go on: accounts of other names take their places.

Two sets of accounts take turns, gk_reader and gk_reader_b: one is used while the other is made, and then dropped.
"""

import time
from typing import Final

import msgspec

from deploy import steps
from deploy.deployment import Deployment
from deploy.engines.mariadb import GRANTS, Accounts, new_accounts
from deploy.host import Host, HostError
from deploy.roles import database, proxy, service
from deploy.roles.engine import MachineEngine
from deploy.site import Site
from deploy.upkeep import whole

_OTHER: Final = "_b"
_KNOWN_TIMEOUT_S: Final = 30


def successors(accounts: Accounts) -> Accounts:
    """Accounts with new passwords, and the names that these accounts do not have."""
    made = msgspec.structs.asdict(new_accounts())
    return Accounts(**made | {member: _other(getattr(accounts, member)) for member in _members()})


def users_of(accounts: Accounts) -> list[str]:
    """The accounts' names."""
    return [getattr(accounts, member) for member in _members()]


def rotate(deployment: Deployment) -> None:
    """Makes the successors, has each proxy use them, drops those before. What was cut off is begun again.

    Raises NotWhole, HostError.
    """
    site, engine, material = whole(deployment), deployment.engine, deployment.material
    # A rotation that was cut off may have left a proxy with the names that are to be made anew.
    _tell(deployment, site)
    old = material.accounts()
    new = successors(old)
    servers = [*site.of("standalone"), *site.of("manager")]
    for host in servers:
        statements = engine.account_statements(host, new, site.cluster.schemas)
        site.report(host, "accounts", database.accounts(host, engine, users_of(new), statements))
    for host in site.nodes:
        _wait_until_known(engine, host, users_of(new))
    material.replace_accounts(new)
    _tell(deployment, site)
    for host in servers:
        engine.sql(host, "".join(f"DROP USER IF EXISTS '{user}'@'127.0.0.1';\n" for user in users_of(old)))
        site.say(host.name, f"accounts: dropped {', '.join(users_of(old))}")


def _members() -> list[str]:
    return [f"{effect}_user" for effect in GRANTS]


def _other(user: str) -> str:
    return user.removesuffix(_OTHER) if user.endswith(_OTHER) else f"{user}{_OTHER}"


def _tell(deployment: Deployment, site: Site) -> None:
    """Each proxy gets the accounts' file, and a new process that has read it."""
    for host in site.of("proxy"):
        steps.paths(host, [proxy.accounts(deployment.material)])
        service.succeed(host, "proxy")
        site.say(host.name, "accounts: a new process uses them")


def _wait_until_known(engine: MachineEngine, host: Host, users: list[str]) -> None:
    """What one node was told, the others know soon. Raises HostError when not in time."""
    listed = ", ".join(f"'{user}'" for user in users)
    asking = f"SELECT COUNT(DISTINCT user) FROM mysql.user WHERE user IN ({listed})"  # noqa: S608 (our own names)
    deadline = time.monotonic() + _KNOWN_TIMEOUT_S
    while int(engine.ask(host, asking)) < len(users):
        if time.monotonic() > deadline:
            raise HostError(f"{host.name}: the new accounts did not get there within {_KNOWN_TIMEOUT_S} s")
        time.sleep(0.3)
