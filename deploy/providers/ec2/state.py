"""What the provider keeps on the operator's machine: host keys once they are known, and launches that were begun.

Nothing here is needed to find the machines again: their tags are the truth.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from deploy.providers.interface import ProviderError
from deploy.providers.state import write_private
from deploy.secrets import private_directory

# By then EC2 lists what was launched, so that a machine that it does not list is not there.
_SETTLED_S: Final = 600.0


class Launch(msgspec.Struct, frozen=True):
    """A launch that was begun at that time (seconds since 1970), with what makes its token unlike all others."""

    generation: str
    began: float

    def token(self, cluster: str, name: str) -> str:
        """RunInstances' client token: 64 characters; the same request with it makes no second machine.

        See https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Run_Instance_Idempotency.html. A token stays that of
        a terminated machine for a day, so the names alone are not enough.
        """
        return hashlib.sha256(f"{cluster}/{name}/{self.generation}".encode()).hexdigest()


class Kept(msgspec.Struct, frozen=True):
    """What is kept. `host_keys`: the lines of each instance, by its id; `launches`: by the machine's name.

    `region`: where the cluster was launched from this directory, none before that.
    """

    region: str | None = None
    host_keys: Mapping[str, tuple[str, ...]] = {}
    launches: Mapping[str, Launch] = {}


class Place(msgspec.Struct, frozen=True):
    """The provider's directory on the operator's machine. `clock`: seconds since 1970."""

    directory: Path
    clock: Callable[[], float] = time.time

    @property
    def _file(self) -> Path:
        return self.directory / "ec2.json"

    def load(self) -> Kept:
        """What is kept. Raises ProviderError for a damaged file."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept()
        except msgspec.DecodeError as error:
            raise ProviderError(f"{self._file} is damaged ({error}); remove it") from None

    def check_region(self, region: str) -> None:
        """Raises ProviderError where the cluster is in another region: it would be forgotten there, and billed."""
        before = self.load().region
        if before not in {None, region}:
            raise ProviderError(
                f"this cluster was launched in region {before}, and ec2.region is {region} now;"
                " destroy it there first, or give the new one another name"
            )

    def claim_region(self, region: str) -> None:
        """Note down where the cluster is launched."""
        kept = self.load()
        if kept.region is None:
            self._save(msgspec.structs.replace(kept, region=region))

    def begin(self, name: str) -> Launch:
        """The launch of that machine: the one that was begun a while ago, or else a new one, noted down."""
        kept = self.load()
        launch = kept.launches.get(name)
        if launch is None or self.clock() - launch.began > _SETTLED_S:
            launch = Launch(uuid.uuid4().hex, self.clock())
            self._save(msgspec.structs.replace(kept, launches={**kept.launches, name: launch}))
        return launch

    def end(self, names: Iterable[str]) -> None:
        """Forget the launches of these machines."""
        kept, gone = self.load(), set(names)
        if gone & kept.launches.keys():
            left = {name: launch for name, launch in kept.launches.items() if name not in gone}
            self._save(msgspec.structs.replace(kept, launches=left))

    def keep_host_keys(self, instance: str, lines: tuple[str, ...]) -> None:
        """Keep an instance's host keys."""
        kept = self.load()
        self._save(msgspec.structs.replace(kept, host_keys={**kept.host_keys, instance: lines}))

    def forget_host_keys(self, instances: Iterable[str]) -> None:
        """Forget the host keys of instances that are gone."""
        kept, gone = self.load(), set(instances)
        if gone & kept.host_keys.keys():
            left = {instance: lines for instance, lines in kept.host_keys.items() if instance not in gone}
            self._save(msgspec.structs.replace(kept, host_keys=left))

    def forget(self) -> None:
        """Remove all that is kept."""
        self._file.unlink(missing_ok=True)
        if self.directory.exists() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def _save(self, kept: Kept) -> None:
        private_directory(self.directory)
        write_private(self._file, msgspec.json.format(msgspec.json.encode(kept), indent=2).decode())
