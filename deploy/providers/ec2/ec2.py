"""The provider `ec2`: a cluster's machines on Amazon EC2, behind the interface that all providers have."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from contract.inventory import Machine
from deploy.providers.ec2 import groups, hostkeys, instances, keypair, plan, subnets, tags, volumes
from deploy.providers.ec2.api import Api, World
from deploy.providers.ec2.instances import Box
from deploy.providers.ec2.launching import Launching, Work
from deploy.providers.ec2.machines import Machines
from deploy.providers.ec2.plan import Facts, Step
from deploy.providers.ec2.prepare import Choice, prepare
from deploy.providers.ec2.state import Place
from deploy.providers.ec2.subnets import Ground
from deploy.providers.interface import Order, ProviderError, Say


class Settings(msgspec.Struct, frozen=True):
    """One cluster on EC2. `directory`: the order's; `operator`: the addresses that reach SSH, in CIDR form.

    `region`: none for that of boto3's configuration; `image`: a name of images.RELEASES, or an AMI's id; `user`: the
    login account of an image that is neither Debian's nor Canonical's; `subnets`, `private_subnets`: ids.
    """

    cluster: str
    directory: Path
    operator: str
    region: str | None = None
    image: str = "debian"
    user: str | None = None
    subnets: tuple[str, ...] = ()
    private_subnets: tuple[str, ...] = ()
    spread_over_zones: bool = False


class Ec2:
    """The provider `ec2` for one cluster. `world`: AWS and the clock; a test hands in another."""

    def __init__(self, settings: Settings, world: World | None = None) -> None:
        self._settings = settings
        self._api = Api(settings.region, world or World())
        self._place = Place(settings.directory / "provider" / "ec2")
        self._machines = Machines(self._api, settings.cluster, self._place, settings.operator)

    def plan(self, order: Order) -> list[str]:
        """What `launch` would do, a sentence each; none when nothing differs. Looks up all that a launch needs."""
        with self._asking():
            _, steps = self._work(order)
        return [f"{step.name}: {step.text}" for step in steps]

    def launch(self, order: Order, say: Say) -> tuple[Machine, ...]:
        """See to it that the machines exist, run, and are guarded by the rules; returns when each answers."""
        with self._asking():
            work, steps = self._work(order)
            self._place.claim_region(self._api.region)
        try:
            with self._api.translated():
                Launching(self._api, self._machines, work, say).carry_out(steps)
        except ProviderError as error:
            raise ProviderError(f"{error}; {self._left()}") from None
        except BaseException:  # an operator who interrupts, too, must know what is billed
            say(order.cluster, self._left())
            raise
        return self.find()

    def find(self) -> tuple[Machine, ...]:
        """The cluster's machines by their tags, with EC2's states, sorted by name; those terminated are left out."""
        with self._asking():
            return tuple(box.machine for box in self._boxes())

    def known_hosts(self) -> str:
        """The machines' host keys, learnt from their consoles, by both addresses.

        The operator comes to the public address, proxies to the private one. Raises ProviderError if one is unknown.
        """
        with self._asking():
            boxes = [box for box in self._boxes() if box.is_there and box.private_address]
            self._machines.learn_host_keys([box for box in boxes if box.state == "running"])
            keys = self._place.load().host_keys
        return "".join(
            hostkeys.known_hosts_line((box.public_address, box.private_address), key)
            for box in boxes
            for key in keys.get(box.id, ())
        )

    def destroy(self, say: Say, names: Sequence[str] | None = None) -> None:
        """Remove these machines; without names all, the groups, the key pair, and the provider's files.

        Goes as far as it can. Raises ProviderError with what could not be removed.
        """
        with self._asking():
            boxes = self._boxes(names)
            refused = self._machines.terminate(boxes)
            for box in boxes:
                if box.name not in refused:
                    say(box.name, f"terminated ({box.id})")
            if refused:
                told = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
                raise ProviderError(f"not removed, and billed: {told}")
            if names is None:
                self._remove_rest(say)

    def stop(self, names: Sequence[str]) -> None:
        """Shut the machines down; they keep their disks, and their private addresses. Volumes are still billed."""
        with self._asking():
            self._machines.stop(self._boxes(names))

    def start(self, names: Sequence[str]) -> None:
        """Start stopped machines, and wait until they answer. They get other public addresses."""
        with self._asking():
            boxes = self._boxes(names)
            self._machines.start(boxes)
            self._machines.wait_ready([box.id for box in boxes])

    def reboot(self, names: Sequence[str]) -> None:
        """Reboot machines, and wait until they answer again."""
        with self._asking():
            boxes = self._boxes(names)
            self._machines.reboot(boxes)
            self._machines.wait_ready([box.id for box in boxes])

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """All that is asked of AWS from outside: in the cluster's region, and with errors translated."""
        with self._api.translated():
            self._place.check_region(self._api.region)
            yield

    def _work(self, order: Order) -> tuple[Work, tuple[Step, ...]]:
        """How things are, what has to be done, and all that is needed for it. Changes nothing."""
        settings = self._settings
        if (order.cluster, order.directory) != (settings.cluster, settings.directory):
            raise ProviderError(f"the order is for cluster {order.cluster!r}, not {settings.cluster!r}")
        ground = subnets.find(self._api, settings.subnets, settings.private_subnets)
        facts = Facts(
            key=keypair.find(self._api, order.cluster),
            groups=groups.find(self._api, order.cluster, ground.vpc),
            boxes=instances.find(self._api, order.cluster),
            volumes=volumes.sizes(self._api, order.cluster),
        )
        _check_vpc(ground, facts)
        steps = plan.steps(order, settings.operator, facts)
        home = next((box.zone for box in facts.boxes if box.is_there), None)
        choice = Choice(settings.image, settings.user, settings.spread_over_zones, home)
        new = [step.wanted for step in steps if step.wanted]
        return Work(order, ground, facts, prepare(self._api, order.machines, new, ground, choice)), steps

    def _boxes(self, names: Sequence[str] | None = None) -> tuple[Box, ...]:
        """The machines of these names, or all. Raises ProviderError for an unknown name."""
        boxes = instances.find(self._api, self._settings.cluster)
        known = {box.name: box for box in boxes}
        for name in names or ():
            if name not in known:
                told = ", ".join(known) or "none"
                raise ProviderError(
                    f"there is no machine {name!r} in cluster {self._settings.cluster!r}; known are {told}"
                )
        return boxes if names is None else tuple(known[name] for name in names)

    def _remove_rest(self, say: Say) -> None:
        cluster = self._settings.cluster
        if keypair.remove(self._api, cluster):
            say("key pair", "removed")
        volumes.remove(self._api, cluster)
        found = groups.find(self._api, cluster)
        groups.remove(self._api, found)
        if found:
            say("security groups", f"removed: {', '.join(group.name for group in found)}")
        self._place.forget()

    def _left(self) -> str:
        """What a failed launch leaves, as part of its sentence."""
        tag = f"{tags.CLUSTER}={self._settings.cluster}"
        try:
            with self._api.translated():
                boxes = self._boxes()
        except ProviderError:
            return f"what is left and billed could not be looked up: look for machines with the tag {tag}"
        told = ", ".join(f"{box.name} ({box.id}, {box.state})" for box in boxes if box.is_there)
        return f"still there and billed: {told}" if told else "no machine was left there"


def _check_vpc(ground: Ground, facts: Facts) -> None:
    for box in facts.boxes:
        if box.is_there and box.vpc != ground.vpc:
            raise ProviderError(
                f"{box.name} is in {box.vpc}, and the subnets for new machines are of {ground.vpc};"
                " name subnets of the cluster's own VPC in ec2.subnets"
            )
