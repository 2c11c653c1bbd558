"""What deployment needs of an engine on machines, besides the texts that deploy/engines/ makes."""

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Final, Protocol

import msgspec

from deploy.engines.mariadb import Accounts
from deploy.host import Host
from deploy.site import Site

# Of mysqldump and mariadb-dump: one moment's rows where the engine has snapshots, all that a schema has, and SQL that
# first removes what it brings.
DUMP_OPTIONS: Final = (
    "--single-transaction --quick --routines --triggers --events --hex-blob --default-character-set=utf8mb4"
    " --add-drop-database"
)
# Of the sessions that only ask.
READ_ONLY: Final = "SET SESSION TRANSACTION READ ONLY"
_MEMORY: Final = """\
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ ! -r $file ] || tr -c '0-9\\n' 0 <$file
done
awk '/^MemTotal:/ { printf "%.0f\\n", $2 * 1024 }' /proc/meminfo
nproc
"""
# Of a machine that is not there yet, which a dry run has to say something of: what is sized by the smallest one stays.
_NOT_THE_SMALLEST: Final = f"{1 << 50}\n1024\n"


class Drained(Protocol):
    """Keeps new statements from a node for as long as the block lasts; entered when those under way have ended."""

    def __call__(self, host: Host) -> AbstractContextManager[None]:
        """The block."""


class Resources(msgspec.Struct, frozen=True):
    """What a machine has: bytes of memory, or its container's limit, and cores."""

    memory: int
    cores: int


class MachineEngine(Protocol):
    """An engine on machines. Every method raises HostError."""

    @property
    def full_text(self) -> bool:
        """Whether its tables can have full text indexes."""

    def install(self, site: Site, drained: Drained) -> None:
        """Software, configuration and a running cluster, the stand-alone server too; restarts nodes one at a time."""

    def sql(self, host: Host, script: str, *, timeout_s: float = 120.0) -> str:
        """Runs SQL as the server's administrator, through its socket; the rows, tab-separated, without headings."""

    def ask(self, host: Host, script: str) -> str:
        """The same for SQL that changes nothing, in a session that is READ ONLY."""

    def account_statements(self, host: Host, accounts: Accounts, schemas: Sequence[str]) -> list[str]:
        """The statements that make the application's accounts on that server, or change them."""

    def state(self, host: Host) -> str:
        """The engine's own word for how the node is; `ready` tells whether it may be used."""

    def is_ready(self, state: str) -> bool:
        """Whether a node of that state may be used."""

    def is_whole(self, state: str) -> bool:
        """Whether a node of that state may be used, and misses no other: what is asked before one is taken out."""

    def units(self, role: str) -> tuple[str, ...]:
        """The systemd units of a machine of that role."""

    def dump(self, schemas: Sequence[str]) -> str:
        """The command that prints a server's schemas, whole, as SQL that replaces them."""

    def checksum_statements(self, host: Host, tables: Sequence[tuple[str, str]]) -> list[str]:
        """For each schema and table the statement whose one row ends with the rows' checksum, or NULL."""

    def load(self) -> str:
        """The command that takes such SQL."""

    def upgrade(self, site: Site, drained: Drained) -> None:
        """Brings the software up to what its source has now, one node at a time."""

    def version(self, host: Host) -> str:
        """The server's version."""

    def rotate_certificates(self, site: Site, drained: Drained) -> None:
        """New keys and certificates for the traffic among the nodes, one node at a time; nothing where it has none."""

    def certificate_end(self, host: Host) -> datetime | None:
        """When the first of the machine's certificates for that traffic ends; None where it has none."""

    def restart(self, site: Site, host: Host) -> None:
        """Restarts one node, and returns when it is in step with the others."""


def quoted(*names: str) -> str:
    """The names as SQL has them, with dots between."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def unhex(row: str) -> tuple[str, ...]:
    """The values of a row whose values are in hexadecimal, so that they may have tabs and line ends."""
    return tuple(bytes.fromhex(part).decode() for part in row.split("\t"))


def resources(host: Host) -> Resources:
    """The machine's resources."""
    *memory, cores = map(int, host.look(_MEMORY, new=_NOT_THE_SMALLEST).split())
    return Resources(min(size for size in memory if size), cores)


def wait_for(host: Host, condition: str, *, timeout_s: int, what: str, unit: str) -> None:
    """Runs the bash condition again and again until it is true. Raises HostError with the unit's last log lines."""
    if host.is_dry:
        return
    late = shlex.quote(f"{what}: not within {timeout_s} s")
    host.sudo(
        f"# wait for: {what}\nend=$((SECONDS + {timeout_s})); until {condition}; do\n"
        f"    if [ $SECONDS -ge $end ]; then echo {late} >&2;"
        f" journalctl --no-pager --lines 15 --output cat --unit {unit} >&2; exit 1; fi\n"
        "    sleep 0.3\ndone",
        timeout_s=timeout_s + 30,
    )


def options_text(section: str, options: Sequence[tuple[str, str | int]]) -> str:
    """An option file's text; an option with the value "" is a switch and stands alone."""
    return f"[{section}]\n" + "".join(f"{name} = {value}\n" if value != "" else f"{name}\n" for name, value in options)
