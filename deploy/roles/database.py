"""What is in the database: the application's schemas and accounts, and the sample's rows. Looks first."""

import hashlib
from typing import Final

from deploy import steps
from deploy.host import Host
from deploy.roles.engine import MachineEngine
from deploy.sample import rental
from deploy.sample.rental_script import script

_SEEN: Final = "/etc/mysql/gatekeeper-accounts.sha256"
_LOAD_TIMEOUT_S: Final = 600.0


def schemas(host: Host, engine: MachineEngine, names: tuple[str, ...]) -> list[str]:
    """Makes the schemas that are missing; returns those."""
    there = set(engine.ask(host, "SELECT schema_name FROM information_schema.schemata").split())
    missing = [name for name in names if name not in there]
    for name in missing:
        engine.sql(host, f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
    return missing


def accounts(host: Host, engine: MachineEngine, users: list[str], statements: list[str]) -> bool:
    """Makes the accounts as the statements say, if they are not; whether they were not.

    The database keeps a password's hash only. So what the statements are is kept, hashed together with what the server
    then said of the accounts: either's change is noticed.
    """
    there = host.look(f"cat {_SEEN} 2>/dev/null || true").strip()
    if there and there == _seen(host, engine, users, statements):
        return False
    if host.is_dry:
        return True
    engine.sql(host, "".join(f"{statement};\n" for statement in statements))
    seen = _seen(host, engine, users, statements)
    steps.paths(host, [steps.Directory("/etc/mysql"), steps.File(_SEEN, f"{seen}\n".encode(), "0600")])
    return True


def sample(host: Host, engine: MachineEngine) -> bool:
    """Loads the sample into its schema if that has no table; whether it did."""
    tables = f"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{rental.SCHEMA}'"  # noqa: S608
    if engine.ask(host, tables).strip() != "0":
        return False
    if host.is_dry:
        return True
    engine.sql(host, "".join(script(full_text=engine.full_text)), timeout_s=_LOAD_TIMEOUT_S)
    return True


def _seen(host: Host, engine: MachineEngine, users: list[str], statements: list[str]) -> str:
    listed = ", ".join(f"'{user}'" for user in users)
    # In hexadecimal: the salt of caching_sha2_password may have any byte, line ends as splitlines() sees them too.
    told = engine.ask(
        host,
        "SELECT user, host, plugin, HEX(authentication_string) FROM mysql.user"  # noqa: S608 - our own names
        f" WHERE user IN ({listed}) ORDER BY user, host",
    )
    known = [line.split("\t")[0] for line in told.splitlines()]
    grants = "".join(engine.ask(host, f"SHOW GRANTS FOR '{user}'@'127.0.0.1'") for user in known)
    return hashlib.sha256("\n".join([*statements, told, grants]).encode()).hexdigest()
