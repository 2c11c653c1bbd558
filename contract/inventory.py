"""The rows of cluster_config.csv: one a machine. Read by proxies and tasks, written by `deploy` for every provider."""

import csv
import io
import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec

MachineRole = Literal["standalone", "manager", "data", "proxy", "orchestrator", "gatekeeper"]
MachineState = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]

SQL_ROLES: frozenset[str] = frozenset({"standalone", "manager", "data"})
COLUMNS = (
    "name",
    "role",
    "user_name",
    "public_dns_name",
    "private_dns_name",
    "public_ip_address",
    "private_ip_address",
    "ssh_port",
    "mysql_port",
    "state",
)


class InventoryError(ValueError):
    """The inventory makes no sense; every mistake is named, with its line."""


class Machine(msgspec.Struct, frozen=True):
    """One machine. Ports are TCP; `mysql_port` is that of the SQL server on the machine's own loopback address."""

    name: str
    role: MachineRole
    user_name: str
    public_dns_name: str
    private_dns_name: str
    public_ip_address: str
    private_ip_address: str
    ssh_port: int
    mysql_port: int
    state: MachineState

    @property
    def ssh_address(self) -> str:
        """Where a proxy reaches the machine's SSH server: the private address, else the public one."""
        return self.private_ip_address or self.public_ip_address

    @property
    def sql_address(self) -> str:
        """Where SQL listens, seen from the machine itself: 127.0.0.1, or its own address within 127.0.0.0/8."""
        address = self.private_ip_address
        return address if address and ipaddress.ip_address(address).is_loopback else "127.0.0.1"


def parse(text: str) -> tuple[Machine, ...]:
    """The machines in the CSV text, in order. Raises InventoryError with all mistakes, each with its line number."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InventoryError(f"line 1: the columns must be {','.join(COLUMNS)}")
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InventoryError(f"line {reader.reader.line_num}: {error}") from None
    mistakes = [f"line {line}: {text}" for line, row in rows for text in _row_mistakes(row)]
    if not mistakes:
        mistakes = [f"line {line}: {text}" for line, text in _table_mistakes(rows)]
    if mistakes:
        raise InventoryError("; ".join(mistakes))
    return tuple(msgspec.convert(row, Machine, strict=False) for _, row in rows)


def load(path: Path) -> tuple[Machine, ...]:
    """The machines in the file. Raises InventoryError, also for a file that can't be read."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InventoryError(f"{path.name} can't be read: {error}") from None


def render(machines: Iterable[Machine]) -> str:
    """The CSV text of the machines, which `parse` reads back."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(machine, column) for column in COLUMNS] for machine in machines)
    return out.getvalue()


def _row_mistakes(row: dict[str, str | None]) -> Iterator[str]:
    if None in row or None in row.values():
        yield f"{len(COLUMNS)} fields were expected"
        return
    known = (("role", get_args(MachineRole)), ("state", get_args(MachineState)))
    for column, values in known:
        if row[column] not in values:
            yield f"unknown {column} {row[column]!r}; known are {', '.join(values)}"
    for column in ("name", "user_name"):
        if not row[column]:
            yield f"{column} is missing"
    for column in ("ssh_port", "mysql_port"):
        port = row[column] or ""
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            yield f"{column} {port!r} is not a port"
    yield from _address_mistakes(row)


def _address_mistakes(row: dict[str, str | None]) -> Iterator[str]:
    addresses = [(column, row[column] or "") for column in ("public_ip_address", "private_ip_address")]
    for column, address in addresses:
        try:
            ipaddress.ip_address(address or "::")
        except ValueError:
            yield f"{column} {address!r} is not an IP address"
    if row["state"] == "running" and not any(address for _, address in addresses):
        yield "an address is missing: neither public_ip_address nor private_ip_address is given"


def _table_mistakes(rows: list[tuple[int, dict[str, str]]]) -> Iterator[tuple[int, str]]:
    seen: dict[str, int] = {}
    managers: list[int] = []
    for line, row in rows:
        if row["name"] in seen:
            yield line, f"duplicate name {row['name']!r}, first on line {seen[row['name']]}"
        seen.setdefault(row["name"], line)
        if row["role"] == "manager" and row["state"] != "terminated":
            managers.append(line)
    for line in managers[1:]:
        yield line, f"a second manager; the first is on line {managers[0]}"
    if not managers and any(row["role"] == "data" for _, row in rows):
        yield rows[-1][0], "there are data nodes but no manager"
