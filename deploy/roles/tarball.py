"""MySQL NDB Cluster's archive on a machine: checked against its SHA-256, unpacked beside earlier versions.

/opt/mysql-cluster/HASH/     the unpacked archive
/opt/mysql-cluster/current  -> HASH
"""

import hashlib
import shlex
from pathlib import Path
from typing import Final

from deploy import steps
from deploy.cluster import Tarball
from deploy.host import Host

ROOT: Final = "/opt/mysql-cluster"
PROGRAMS: Final = f"{ROOT}/current/bin"
PACKAGES: Final = ("libaio1", "libnuma1", "libncurses6", "xz-utils", "curl")
_UNPACK_TIMEOUT_S: Final = 600.0
_FETCH_TIMEOUT_S: Final = 1800


class WrongChecksum(ValueError):
    """The archive is not the one that was asked for."""


def check(tarball: Tarball) -> None:
    """Compares a local archive with its SHA-256. Raises WrongChecksum, also when it can't be read."""
    if "://" in tarball.source:
        return
    try:
        with Path(tarball.source).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WrongChecksum(f"{tarball.source} can't be read: {error.strerror}") from None
    if found != tarball.sha256:
        raise WrongChecksum(f"{tarball.source} has the SHA-256 {found}, not {tarball.sha256}")


def put(host: Host, tarball: Tarball) -> bool:
    """Puts the archive's content on the machine, if it is not there; whether it did. Raises HostError."""
    directory = f"{ROOT}/{tarball.sha256[:16]}"
    if host.look(f"test -e {directory}/complete && echo y || true").strip():
        return False
    if host.is_dry:
        return True
    host.sudo(f"rm -rf {directory}; mkdir -p {directory}")
    archive = f"{directory}/archive.tar"
    if "://" in tarball.source:
        host.sudo(
            "# fetch the archive\n"
            f"curl --fail --silent --show-error --location --proto =https --proto-redir =https --retry 3"
            f" --max-time {_FETCH_TIMEOUT_S} --output {archive} -- {shlex.quote(tarball.source)}",
            timeout_s=_FETCH_TIMEOUT_S + 30,
        )
    else:
        with Path(tarball.source).open("rb") as file:
            host.sudo(f"# put the archive\ncat >{archive}", given=file, timeout_s=_FETCH_TIMEOUT_S)
    host.sudo(
        f"# unpack the archive\necho '{tarball.sha256}  {archive}' | sha256sum --check --status ||"
        f" {{ echo 'the archive does not have the SHA-256 {tarball.sha256}' >&2; exit 1; }}\n"
        f"tar --extract --no-same-owner --strip-components 1 --directory {directory} --file {archive};"
        f" rm {archive}; touch {directory}/complete",
        timeout_s=_UNPACK_TIMEOUT_S,
    )
    return True


def switch(host: Host, tarball: Tarball) -> bool:
    """Makes this version the current one; whether it was not."""
    return steps.link(host, f"{ROOT}/current", f"{ROOT}/{tarball.sha256[:16]}")
