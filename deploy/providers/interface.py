"""What a provider of machines is: the values it takes, and what it does.

`deploy` does not know which one it runs on.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from contract.inventory import Machine, MachineRole
from deploy.firewall import Rule

Say = Callable[[str, str], None]
"""Takes a host's or step's name and what is to be said about it."""


class ProviderError(RuntimeError):
    """The provider can't do what was asked; one clear sentence, which names what is left running, if anything is."""


class Wanted(msgspec.Struct, frozen=True):
    """A machine as it should be. `size`: the provider's word for memory and cores, "" for its default."""

    name: str
    role: MachineRole
    size: str = ""
    volume_gib: int = 8


class Order(msgspec.Struct, frozen=True):
    """What one cluster needs of a provider.

    `directory` is the cluster's own on the operator's machine, 0700; the provider may keep files below `provider/` in
    it. `operator_key`: one line, an OpenSSH public key that the machines' login account must accept.
    """

    cluster: str
    machines: tuple[Wanted, ...]
    rules: tuple[Rule, ...]
    operator_key: str
    directory: Path


class Provider(Protocol):
    """Machines of one cluster. Everything may be repeated without harm. All methods raise ProviderError.

    A machine's tags (its name, role and cluster) are kept by the provider and are the truth.
    """

    def plan(self, order: Order) -> list[str]:
        """What `launch` would do, a sentence each; none when nothing differs."""

    def launch(self, order: Order, say: Say) -> tuple[Machine, ...]:
        """See to it that the machines exist, run, and are guarded by the rules; says each change, and only changes.

        Machines of the cluster that the order does not name are left alone. Returns when each answers at its SSH port
        and its host key is known. On failure the error names every machine that was launched and is still there.
        """

    def find(self) -> tuple[Machine, ...]:
        """The cluster's machines that exist, with their states, sorted by name; none when nothing was launched."""

    def known_hosts(self) -> str:
        """The machines' host keys in known_hosts' format by the address that SSH is to use, learnt from the provider.

        Never learnt from the network connection itself.
        """

    def destroy(self, say: Say, names: Sequence[str] | None = None) -> None:
        """Remove these machines; without names all of the cluster's, and everything that belongs to it."""

    def stop(self, names: Sequence[str]) -> None:
        """Shut the machines down; they keep their disks."""

    def start(self, names: Sequence[str]) -> None:
        """Start stopped machines, and wait until they answer at their SSH port."""

    def reboot(self, names: Sequence[str]) -> None:
        """Reboot machines, and wait until they answer again."""
