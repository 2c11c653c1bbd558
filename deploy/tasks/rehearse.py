"""`fab rehearse`. As a program (`python -m deploy.tasks.rehearse JSON`) it is what runs in namespaces of its own."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import cluster as descriptions
from deploy import rehearsal
from deploy.site import printing
from deploy.tasks.failures import USAGE, reported


@task(
    help={
        "engine": "ndb or galera (default: ndb)",
        "tarball": "with ndb: MySQL NDB Cluster's archive, a path; else the setting GATEKEEPER_NDB_TARBALL",
        "faults": "kill processes and cut a machine's power, under load (default: yes; --no-faults)",
    }
)
@reported
def rehearse(_context: Context, engine: str = "ndb", tarball: str | None = None, faults: bool = True) -> None:
    """Deploy to machines on this one, in namespaces of their own, check them, and take them down. Needs root."""
    members: dict[str, Any] = {"provider": "fleet", "engine": engine}
    if engine == "ndb":
        members["ndb"] = archive(tarball)
    descriptions.checked(members)
    if status := rehearsal.run(rehearsal.Script(members, faults=faults), printing()):
        raise Exit("the rehearsal failed", code=status)


def archive(path: str | None) -> dict[str, str]:
    """MySQL NDB Cluster's archive, as a description has it. Raises Exit when none is named."""
    found = path or os.environ.get("GATEKEEPER_NDB_TARBALL")
    if not found:
        raise Exit("say where MySQL NDB Cluster's archive is: --tarball PATH", code=USAGE)
    with Path(found).open("rb") as file:
        return {"source": str(Path(found).absolute()), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def main() -> int:
    """Rehearses the script that is the first argument, as JSON; the exit status."""
    try:
        reported(rehearsal.rehearse)(msgspec.json.decode(sys.argv[1], type=rehearsal.Script))
    except Exit as ended:
        print(ended.message, file=sys.stderr)
        return ended.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
