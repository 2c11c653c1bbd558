"""What the provider knows of a cluster's machines: their tags, kept in a file, and where each one's files lie."""

import hashlib
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from contract.inventory import MachineRole
from deploy.providers.interface import Order, ProviderError, Wanted
from deploy.providers.state import write_private

# A name is a directory's, a control group's and a host's, see hostname(7); with a prefix, nspawn takes 64 characters.
_NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,48}[a-z0-9])?")
_FIRST_HOST: Final = 11
_LAST_HOST: Final = 254


class Record(msgspec.Struct, frozen=True):
    """A machine's tags. `host`: the last number of its address; `uuid`: 32 hex digits; `size`: as Wanted's."""

    name: str
    role: MachineRole
    host: int
    uuid: str
    size: str


class State(msgspec.Struct, frozen=True):
    """The machines of a cluster. `subnet`: N of 10.99.N.0/24, none before the first launch; `last_host`: ever given."""

    cluster: str
    subnet: int | None = None
    last_host: int = _FIRST_HOST - 1
    machines: tuple[Record, ...] = ()

    def machine(self, name: str) -> Record | None:
        """The machine of that name, if there is one."""
        return next((machine for machine in self.machines if machine.name == name), None)

    def chosen(self, names: Iterable[str]) -> tuple[Record, ...]:
        """The machines of these names. Raises ProviderError, naming those that are known."""
        found = []
        for name in names:
            machine = self.machine(name)
            if machine is None:
                known = ", ".join(each.name for each in self.machines) or "none"
                raise ProviderError(f"there is no machine {name!r} in cluster {self.cluster!r}; known are {known}")
            found.append(machine)
        return tuple(found)

    def without(self, gone: Record) -> "State":
        """The state when that machine is gone; its address is not soon given to another one."""
        return msgspec.structs.replace(self, machines=tuple(each for each in self.machines if each.name != gone.name))

    def with_order(self, order: Order) -> "State":
        """The state with every machine that is wanted. Raises ProviderError for what can't be changed any more."""
        state = self
        for wanted in order.machines:
            state = state._with(wanted)
        return state

    def _with(self, wanted: Wanted) -> "State":
        if not _NAME.fullmatch(wanted.name):
            raise ProviderError(f"{wanted.name!r} is no name for a machine: it takes up to 50 of a-z, 0-9 and -")
        known = self.machine(wanted.name)
        if known is None:
            host = self._free_host()
            added = Record(wanted.name, wanted.role, host, uuid.uuid4().hex, wanted.size)
            return msgspec.structs.replace(self, last_host=host, machines=(*self.machines, added))
        if known.role != wanted.role:
            raise ProviderError(
                f"{known.name} is there as {known.role}, and can't become {wanted.role}; remove it first"
            )
        resized = msgspec.structs.replace(known, size=wanted.size)
        machines = tuple(resized if each is known else each for each in self.machines)
        return msgspec.structs.replace(self, machines=machines)

    def _free_host(self) -> int:
        taken = {machine.host for machine in self.machines}
        host: int
        for host in (*range(self.last_host + 1, _LAST_HOST + 1), *range(_FIRST_HOST, self.last_host + 1)):
            if host not in taken:
                return host
        raise ProviderError(f"cluster {self.cluster!r} has no free address; {len(taken)} machines have one")


class Place(msgspec.Struct, frozen=True):
    """Where a cluster's files lie: all below `directory`, which is the provider's own."""

    directory: Path

    @property
    def key(self) -> str:
        """What this cluster's interfaces, namespaces and control groups begin with: 10 characters, its own."""
        return "gk" + hashlib.sha256(str(self.directory.resolve()).encode()).hexdigest()[:8]

    @property
    def lock(self) -> Path:
        """The file that a command locks while it changes the cluster."""
        return self.directory / "lock"

    @property
    def machines(self) -> Path:
        """The machines' directories."""
        return self.directory / "machines"

    def machine(self, name: str) -> Path:
        """A machine's directory."""
        return self.machines / name

    @property
    def _file(self) -> Path:
        return self.directory / "machines.json"

    def load(self, cluster: str) -> State:
        """What is known of the cluster. Raises ProviderError for a damaged file."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=State)
        except FileNotFoundError:
            return State(cluster)
        except msgspec.DecodeError as error:
            raise ProviderError(f"{self._file} is damaged ({error})") from None

    def save(self, state: State) -> None:
        """Keep what is known; a reader sees the old or the new."""
        write_private(self._file, msgspec.json.format(msgspec.json.encode(state), indent=2).decode())

    def forget(self) -> None:
        """Remove what is known."""
        self._file.unlink(missing_ok=True)
