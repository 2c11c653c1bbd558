"""The proxy's view of cluster_config.csv: read at the start, looked at again each second, the last good one kept."""

from pathlib import Path

from contract.inventory import Machine, load
from contract.watched import SETTLED_S, Watched


class Inventory:
    """The machines in the file. Raises InventoryError when the first reading fails."""

    def __init__(self, path: Path) -> None:
        self._file = Watched("inventory", path, load, settled_s=SETTLED_S)
        self.machines: tuple[Machine, ...] = self._file.current()

    @property
    def problem(self) -> str | None:
        """Why a changed file was refused while the last good one serves; None when all is well."""
        return self._file.problem

    def get_server_info(self, name: str) -> Machine:
        """The machine of that name. Raises KeyError."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(name)

    def refresh(self) -> bool:
        """Looks at the file; True when there are other machines now."""
        before, self.machines = self.machines, self._file.current()
        return self.machines != before
