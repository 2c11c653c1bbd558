"""The proxy's view of cluster_config.csv: read at the start, looked at again each second, the last good one kept."""

from pathlib import Path

import structlog

from contract.inventory import InventoryError, Machine, load

log = structlog.get_logger()


class Inventory:
    """The machines in the file. Raises InventoryError when the first reading fails.

    `problem` says why a changed file was refused while the last good one serves; None when all is well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature = self._stat()
        self.machines: tuple[Machine, ...] = load(path)
        self.problem: str | None = None

    def get_server_info(self, name: str) -> Machine:
        """The machine of that name. Raises KeyError."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(name)

    def refresh(self) -> bool:
        """Reads the file again if it has changed; True when there are other machines now."""
        signature = self._stat()
        if signature == self._signature:
            return False
        self._signature = signature
        try:
            machines = load(self._path)
        except InventoryError as error:
            self.problem = str(error)
            log.error("inventory_refused", reason=self.problem)
            return False
        changed = machines != self.machines
        self.machines, self.problem = machines, None
        log.info("inventory_read", machines=len(machines), changed=changed)
        return changed

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
