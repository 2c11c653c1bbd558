"""The two that are compared, on their machines: sysbench, an account and a schema of the benchmark's own, the tables.

All of it is taken away at the end. Debian's package sysbench stays.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from benchmark.sysbench import command, parser
from benchmark.sysbench.errors import NotFit, NotOurs, SysbenchMissing, WrongTables
from benchmark.sysbench.matrix import Size
from deploy import steps
from deploy.engines.mariadb import password_hash
from deploy.host import Host, HostError
from deploy.roles.engine import MachineEngine
from deploy.site import Site, on_each

SCHEMA: Final = "gk_benchmark"
USER: Final = "gk_benchmark"
DIRECTORY: Final = "/run/gk-benchmark"
OPTIONS: Final = f"{DIRECTORY}/sysbench.cnf"
PACKAGE: Final = "sysbench"
_PREPARE_TIMEOUT_S: Final = 6 * 3600.0
_QUERY_TIMEOUT_S: Final = 3600.0
# InnoDB's pages with their indexes, twice: undo and redo, and what a transfer keeps. Measured: 240 bytes a row.
_BYTES_PER_ROW: Final = 500
_OURS: Final = re.compile(r"sbtest\d+")
_SOCKETS: Final[Mapping[str, str]] = {"galera": "/run/mysqld/mysqld.sock", "ndb": "/run/gk-mysql/mysqld.sock"}
_DATA: Final[Mapping[str, str]] = {"galera": "/var/lib/mysql", "ndb": "/var/lib"}
_TABLES: Final[Mapping[str, str]] = {"galera": "innodb", "ndb": "ndbcluster"}


class Subject(msgspec.Struct, frozen=True):
    """One of the two. `hosts`: machines with an SQL node, the first makes the tables. `tables`: their engine."""

    name: Literal["standalone", "cluster"]
    engine_name: str
    engine: MachineEngine
    hosts: tuple[Host, ...]
    tables: str

    @property
    def first(self) -> Host:
        """The machine on which what concerns all of them is done."""
        return self.hosts[0]

    @property
    def is_ndb(self) -> bool:
        """Whether accounts must be told to reach every SQL node."""
        return self.tables == "ndbcluster"

    def sql(self, script: str, *, timeout_s: float = 120.0) -> str:
        """Runs SQL as the administrator on the first machine."""
        return self.engine.sql(self.first, script, timeout_s=timeout_s)


def subjects(site: Site, engine: MachineEngine) -> tuple[Subject, Subject]:
    """The stand-alone server and the cluster. Raises NotFit when there is none."""
    alone, nodes = site.of("standalone"), site.nodes
    if not alone or not nodes:
        raise NotFit(f"{site.name} has no {'cluster' if alone else 'stand-alone server'} that runs to be compared with")
    name = site.cluster.engine
    return (
        Subject("standalone", name, engine, tuple(alone[:1]), "innodb"),
        Subject("cluster", name, engine, tuple(nodes), _TABLES[name]),
    )


def check_ready(subject: Subject) -> None:
    """Raises NotFit when a node is not as it should be."""
    states = on_each(subject.hosts, subject.engine.state)
    if odd := {name: state for name, state in states.items() if not subject.engine.is_whole(state)}:
        raise NotFit("not ready: " + ", ".join(f"{name} is {state}" for name, state in odd.items()))


def install(host: Host) -> str:
    """Sees to it that sysbench 1.0 is there; its version. Raises SysbenchMissing."""
    try:
        steps.packages(host, [PACKAGE])
        found = parser.version(host.sudo(f"{command.PROGRAM} --version"))
    except HostError as error:
        raise SysbenchMissing(f"{host.name} has no sysbench, and it can't be installed: {error}") from None
    if not found.startswith("1.0"):
        raise SysbenchMissing(f"{host.name} has sysbench {found or 'of an unknown version'}; 1.0 is needed")
    return found


def account(subject: Subject, password: str) -> None:
    """Makes the account, or gives the one that was left another password, and writes it down for sysbench."""
    subject.sql(";\n".join(_account(subject, password)))
    text = command.option_file(_SOCKETS[subject.engine_name], USER, password, SCHEMA)
    wanted: list[steps.Entry] = [steps.Directory(DIRECTORY, "0700"), steps.File(OPTIONS, text.encode(), "0600")]
    on_each(subject.hosts, lambda host: steps.paths(host, wanted))


def new_password() -> str:
    """192 random bits, of characters that need no quoting."""
    return secrets.token_urlsafe(24)


def _account(subject: Subject, password: str) -> Iterator[str]:
    user = f"{USER}@localhost"
    # By its hash where that is possible: Galera keeps statements in a file.
    by = f"BY PASSWORD '{password_hash(password)}'" if subject.engine_name == "galera" else f"BY '{password}'"
    yield f"CREATE USER IF NOT EXISTS {user} IDENTIFIED {by}"
    yield f"ALTER USER {user} IDENTIFIED {by}"
    yield f"GRANT ALL ON {SCHEMA}.* TO {user}"
    if subject.is_ndb:
        yield f"GRANT NDB_STORED_USER ON *.* TO {user}"


def left_tables(subject: Subject) -> list[str]:
    """The tables of a run that was cut off. Raises NotOurs when one is not sysbench's."""
    found = subject.sql(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'").split()  # noqa: S608
    if foreign := [name for name in found if not _OURS.fullmatch(name)]:
        raise NotOurs(f"{subject.first.name}: {SCHEMA}.{foreign[0]} is not sysbench's: remove or rename it by hand")
    return found


def check_space(subject: Subject, size: Size) -> None:
    """Raises NotFit when a machine's disk has not the room for the tables."""
    needed = size.tables * size.rows * _BYTES_PER_ROW
    where = _DATA[subject.engine_name]
    free = on_each(subject.hosts, lambda host: int(host.sudo(f"df --output=avail -B1 {where} | tail -1")))
    for name, there in free.items():
        if there < needed:
            raise NotFit(f"{name}: {size.name} needs {needed >> 20} MiB of disk, and {there >> 20} MiB are free")


def prepare(subject: Subject, size: Size) -> int:
    """Makes the tables anew and checks them; the bytes that they take. Raises NotFit, NotOurs, WrongTables, HostError.

    latin1: sysbench's text is digits. NDB would keep four bytes for each character of a CHAR in utf8mb4.
    """
    left_tables(subject)
    check_space(subject, size)
    subject.sql(f"DROP DATABASE IF EXISTS {SCHEMA}; CREATE DATABASE {SCHEMA} CHARACTER SET latin1")
    words = command.prepare(OPTIONS, size, subject.tables)
    done = subject.first.attempt(f"{' '.join(words)} 2>&1", timeout_s=_PREPARE_TIMEOUT_S)
    errors = parser.parse(done.text).errors
    if done.status != 0 or errors:
        raise WrongTables(f"{subject.first.name}: sysbench could not make the tables: {'; '.join(errors) or done.text}")
    return check_tables(subject, size)


def check_tables(subject: Subject, size: Size) -> int:
    """Compares each table with what was asked for; the bytes of all. Raises WrongTables.

    Rows are counted by the administrator on the last SQL node, so that a table which is on one node only is seen.
    """
    names = [f"sbtest{number}" for number in range(1, size.tables + 1)]
    engines = _engines(subject)
    if wrong := {name: engines.get(name, "missing") for name in names if engines.get(name) != subject.tables}:
        told = ", ".join(f"{name} is {found}" for name, found in wrong.items())
        raise WrongTables(f"{subject.name}: {told}, not {subject.tables}")
    counting = "".join(f"SELECT COUNT(*), MIN(id), MAX(id) FROM {SCHEMA}.{name};\n" for name in names)  # noqa: S608
    rows = subject.engine.sql(subject.hosts[-1], counting, timeout_s=_QUERY_TIMEOUT_S).splitlines()
    if odd := [name for name, row in zip(names, rows, strict=True) if row.split() != _rows(size)]:
        raise WrongTables(f"{subject.name}: {odd[0]} has not the ids 1 to {size.rows}")
    subject.sql("".join(f"ANALYZE TABLE {SCHEMA}.{name};\n" for name in names), timeout_s=_QUERY_TIMEOUT_S)
    told = subject.sql(
        "SELECT CAST(SUM(data_length + index_length) AS UNSIGNED) FROM information_schema.tables"  # noqa: S608
        f" WHERE table_schema = '{SCHEMA}'"
    )
    return int(told)


def _engines(subject: Subject) -> dict[str, str]:
    told = subject.sql(
        f"SELECT table_name, LOWER(engine) FROM information_schema.tables WHERE table_schema = '{SCHEMA}'"  # noqa: S608
    )
    return dict(line.split("\t", 1) for line in told.splitlines() if "\t" in line)


def _rows(size: Size) -> list[str]:
    return [str(size.rows), "1", str(size.rows)]


def remove(subject: Subject) -> None:
    """Takes away the tables, the schema, the account and the files. Raises NotOurs, HostError."""
    left_tables(subject)
    subject.sql(f"DROP DATABASE IF EXISTS {SCHEMA}; DROP USER IF EXISTS {USER}@localhost", timeout_s=_QUERY_TIMEOUT_S)
    on_each(subject.hosts, lambda host: host.sudo(f"rm -rf {DIRECTORY}"))


def versions(hosts: Sequence[Host]) -> dict[str, str]:
    """Its version on every machine, installed where it was missing."""
    return on_each(hosts, install)
