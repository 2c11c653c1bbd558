"""Packages of a machine that its package sources have newer."""

import re
import shlex
from collections.abc import Sequence
from typing import Final

from deploy.host import Host

_TIMEOUT_S: Final = 900.0
_LOCKED_TIMEOUT_S: Final = 300
_WOULD_INSTALL = re.compile(r"^Inst (\S+)", re.MULTILINE)


def newer(host: Host, names: Sequence[str]) -> tuple[str, ...]:
    """The installed packages, and what comes with them, that would be replaced; none where nothing is newer.

    Raises HostError. Where the sources can't be reached, what was known of them counts.
    """
    wanted = " ".join(map(shlex.quote, names))
    host.sudo(
        f"apt-get -qq -oDPkg::Lock::Timeout={_LOCKED_TIMEOUT_S} update </dev/null >&2 || true", timeout_s=_TIMEOUT_S
    )
    return replaced(host.look(f"apt-get --quiet --simulate install --only-upgrade {wanted} </dev/null"))


def replaced(simulation: str) -> tuple[str, ...]:
    """The packages that apt-get's simulation says it would install. See apt-get(8), --simulate."""
    return tuple(sorted(_WOULD_INSTALL.findall(simulation)))


def replace(host: Host, names: Sequence[str]) -> None:
    """Installs the newer packages; settings that were changed stay. The server should be stopped. Raises HostError."""
    wanted = " ".join(map(shlex.quote, names))
    host.sudo(
        "# install newer packages\nexport DEBIAN_FRONTEND=noninteractive; apt-get -qq"
        f" -oDPkg::Lock::Timeout={_LOCKED_TIMEOUT_S} -oDPkg::Options::=--force-confold"
        f" install --yes --only-upgrade {wanted} </dev/null >/dev/null",
        timeout_s=_TIMEOUT_S,
    )
