"""A cluster's rows on the operator's machine, and back: SQL, compressed, with a manifest to verify it by.

DIRECTORY/              0700
    data.sql.gz         what mariadb-dump or mysqldump printed, 0600
    manifest.json       what it is of, its SHA-256, and each table's rows and checksum
"""

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from deploy import terminal
from deploy.cluster import Cluster
from deploy.deployment import Deployment
from deploy.host import Host
from deploy.roles.engine import MachineEngine, quoted, unhex
from deploy.secrets import OWNER_ONLY, private_directory, write_file
from deploy.site import Site

_DATA: Final = "data.sql.gz"
_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
# What a transfer or a count over all rows may take; a vanished machine is noticed within a minute.
_TRANSFER_TIMEOUT_S: Final = 12 * 3600
_COUNT_TIMEOUT_S: Final = 3600
_TOLD: Final = 2000


class BackupError(RuntimeError):
    """A backup could not be made, read or verified; the message says which part."""


class Table(msgspec.Struct, frozen=True):
    """How many rows a table has, and the engine's checksum of them; None for both where it was written meanwhile."""

    rows: int | None
    checksum: int | None


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is of. `began` and `ended`: in UTC; `tables`: by `schema.table`."""

    format: int
    cluster: str
    engine: str
    version: str
    began: datetime
    ended: datetime
    schemas: tuple[str, ...]
    sha256: str
    tables: dict[str, Table]

    @property
    def unverified(self) -> list[str]:
        """The tables that were written while the backup was made, so that it can't be told how they should be."""
        return [name for name, table in self.tables.items() if table.checksum is None]


def make(deployment: Deployment, parent: Path) -> Path:
    """Makes a backup in a new directory below `parent`, by the manager; returns it. Raises BackupError, HostError."""
    site, engine, schemas = deployment.site(), deployment.engine, deployment.cluster.schemas
    manager = _manager(site)
    began = datetime.now(UTC)
    directory = private_directory(parent / f"{deployment.name}-{began:%Y%m%dT%H%M%SZ}")
    before = tables(engine, manager, schemas)
    site.say(manager.name, f"{len(before)} tables are being dumped")
    digest = _fetch(deployment, manager, engine.dump(schemas), directory / _DATA)
    manifest = Manifest(
        format=_FORMAT,
        cluster=deployment.name,
        engine=deployment.cluster.engine,
        version=engine.version(manager),
        began=began,
        ended=datetime.now(UTC),
        schemas=schemas,
        sha256=digest,
        tables=agreed(before, tables(engine, manager, schemas)),
    )
    write_file(directory / _MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return directory


def read(directory: Path) -> Manifest:
    """The manifest of a backup whose data are as they were made. Raises BackupError."""
    try:
        manifest = msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest)
        with (directory / _DATA).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BackupError(f"{directory} is no complete backup: {error.filename}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise BackupError(f"{directory / _MANIFEST} can't be read: {error}") from None
    if manifest.format != _FORMAT:
        raise BackupError(f"{directory} has format {manifest.format}; this version reads {_FORMAT}")
    if digest != manifest.sha256:
        raise BackupError(f"{directory / _DATA} is not what was backed up: its SHA-256 is another")
    return manifest


def check_fits(name: str, cluster: Cluster, manifest: Manifest) -> None:
    """Raises BackupError for a backup of another engine, or of schemas that the cluster's accounts can't read."""
    if manifest.engine != cluster.engine:
        raise BackupError(f"the backup is of {manifest.engine}, and cluster {name} is {cluster.engine}")
    if foreign := sorted(set(manifest.schemas) - set(cluster.schemas)):
        raise BackupError(f"the backup has schemas that are not described for {name}: {', '.join(foreign)}")


def restore(deployment: Deployment, directory: Path, manifest: Manifest) -> None:
    """Puts the backup's schemas in the place of the cluster's, whole, and verifies each table.

    Raises BackupError, HostError.
    """
    site, engine = deployment.site(), deployment.engine
    manager = _manager(site)
    with (directory / _DATA).open("rb") as file:
        manager.sudo(f"gunzip --stdout | {engine.load()}", given=file, timeout_s=_TRANSFER_TIMEOUT_S)
    site.say(manager.name, "loaded")
    wrong = differing(manifest.tables, tables(engine, manager, manifest.schemas))
    if wrong:
        raise BackupError(f"after the restore these tables are not as they were backed up: {', '.join(wrong)}")
    site.say(manager.name, f"{len(manifest.tables) - len(manifest.unverified)} tables verified by their checksums")


def tables(engine: MachineEngine, host: Host, schemas: Sequence[str]) -> dict[str, Table]:
    """The schemas' tables with their rows and checksums as they are now. Raises HostError."""
    listed = ", ".join(f"'{schema}'" for schema in schemas)
    found = engine.sql(
        host,
        "SELECT HEX(table_schema), HEX(table_name) FROM information_schema.tables"  # noqa: S608 (checked names)
        f" WHERE table_type = 'BASE TABLE' AND table_schema IN ({listed}) ORDER BY table_schema, table_name",
    )
    names = [(schema, table) for schema, table in map(unhex, found.splitlines())]
    sums = engine.checksum_statements(host, names)
    script = "".join(
        f"SELECT COUNT(*) FROM {quoted(*name)}; {asking};\n"  # noqa: S608 - quoted names
        for name, asking in zip(names, sums, strict=True)
    )
    told = engine.sql(host, script, timeout_s=_COUNT_TIMEOUT_S).splitlines() if names else []
    return {".".join(name): measured(*told[2 * at : 2 * at + 2]) for at, name in enumerate(names)}


def measured(rows: str, checksum: str) -> Table:
    """A table, of the lines that the server printed for COUNT and for the checksum."""
    told = checksum.rpartition("\t")[2]
    return Table(int(rows), None if told == "NULL" else int(told))


def agreed(before: Mapping[str, Table], after: Mapping[str, Table]) -> dict[str, Table]:
    """The tables as they surely are in a dump that was made between: those that did not change meanwhile."""
    return {name: table if before.get(name) == table else Table(None, None) for name, table in after.items()}


def differing(wanted: Mapping[str, Table], found: Mapping[str, Table]) -> list[str]:
    """The tables that are missing, or not as wanted where that is known."""
    return [
        name
        for name, table in wanted.items()
        if name not in found or (table.checksum is not None and found[name] != table)
    ]


def _manager(site: Site) -> Host:
    managers = site.of("manager")
    if not managers:
        raise BackupError("the manager does not run: bring it back first (fab deploy)")
    return managers[0]


def _fetch(deployment: Deployment, host: Host, command: str, path: Path) -> str:
    """Keeps what the command prints there, compressed, 0600; its SHA-256. It is compressed before it travels."""
    script = f"set -o pipefail; {command} | gzip --stdout"
    words = ["sudo", "-n", "bash", "-c", script]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as file:
        _run(terminal.to(deployment, host.name, words), file)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(command: Sequence[str], output: BinaryIO) -> None:
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=_TRANSFER_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise BackupError(f"the dump did not end within {_TRANSFER_TIMEOUT_S} s") from None
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip()[-_TOLD:]
        raise BackupError(f"the dump ended with status {done.returncode}: {told}")
