"""The provider `fleet`: a cluster's machines on this host, behind the interface that all providers have."""

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from contract.inventory import Machine
from deploy import processes
from deploy.processes import CommandFailed
from deploy.providers.fleet import commands, guard, image, machine, network, plan
from deploy.providers.fleet.cgroups import parse_size
from deploy.providers.fleet.image import Recipe
from deploy.providers.fleet.machine import SSH_PORT, USER, Box
from deploy.providers.fleet.network import Network
from deploy.providers.fleet.plan import Facts, Known, Step
from deploy.providers.fleet.state import Place, Record, State
from deploy.providers.interface import Order, ProviderError, Say
from deploy.providers.state import Busy, locked
from deploy.secrets import private_directory

_LOCK_TIMEOUT_S: Final = 1.0
_MYSQL_PORT: Final = 3306
_MACHINE_BYTES: Final = 256 << 20
_AT_ONCE: Final = 16


class Settings(msgspec.Struct, frozen=True):
    """One cluster's fleet. `directory`: the order's; `cache`: keeps images for all clusters of this host."""

    cluster: str
    directory: Path
    cache: Path
    recipe: Recipe = Recipe()


class Fleet:
    """The provider `fleet` for one cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._place = Place(settings.directory / "provider" / "fleet")
        self._image = image.root(settings.recipe, settings.cache)

    def plan(self, order: Order) -> list[str]:
        """What `launch` would do, a sentence each; none when nothing differs."""
        with _translated():
            _check_host()
            now = self._load()
            state = now.with_order(order)
            return [f"{step.name}: {step.text}" for step in self._steps(order, now, state)]

    def launch(self, order: Order, say: Say) -> tuple[Machine, ...]:
        """See to it that the machines exist, run, and are guarded by the rules; returns when each answers."""
        with self._changing():
            for wanted in order.machines:
                parse_size(wanted.size)
            now = self._load()
            state = now.with_order(order)
            steps = self._steps(order, now, state)
            self._check_space(steps)
            try:
                with _translated():
                    if order.machines:
                        self._carry_out(order, state, steps, say)
            except ProviderError as error:
                raise ProviderError(f"{error}; {self._left()}") from None
        return self.find()

    def find(self) -> tuple[Machine, ...]:
        """The cluster's machines, sorted by name. `pending`: its making was cut off; `launch` goes on with it."""
        with _translated():
            return tuple(_row(box) for box in sorted(self.boxes(), key=lambda each: each.name))

    def known_hosts(self) -> str:
        """The machines' host keys, made by the provider, in known_hosts' format."""
        with _translated():
            return "".join(f"{box.address} {box.host_key}\n" for box in self.boxes() if box.exists)

    def destroy(self, say: Say, names: Sequence[str] | None = None) -> None:
        """Remove these machines; without names all of them, the network, and the provider's files."""
        if not self._place.directory.exists():
            return
        with self._changing():
            state = self._load()
            boxes = self.boxes(names)
            self._together(machine.remove, boxes)
            for box in boxes:
                say(box.name, "removed")
                state = state.without(box.record)
            self._place.save(state)
            if names is None:
                self._remove_rest(state)
        if names is None:
            self._place.directory.rmdir()
            with contextlib.suppress(OSError):
                self._place.directory.parent.rmdir()

    def stop(self, names: Sequence[str]) -> None:
        """Shut the machines down; they keep their disks."""
        with self._changing():
            self._together(machine.stop, self.boxes(names))

    def start(self, names: Sequence[str]) -> None:
        """Start stopped machines, and wait until they answer. The rules are as they were, unless the host rebooted."""
        with self._changing():
            boxes = self.boxes(names)
            for box in boxes:
                if not machine.guarded_as(box):
                    raise ProviderError(f"{box.name} has lost its network or its rules; launch the cluster again")
                if not box.runs:
                    machine.start(box)
            self._together(machine.wait_answers, boxes)

    def reboot(self, names: Sequence[str]) -> None:
        """Reboot machines, and wait until they answer again."""
        with self._changing():
            boxes = self.boxes(names)
            self._together(machine.reboot, boxes)
            self._together(machine.wait_answers, boxes)

    def boxes(self, names: Sequence[str] | None = None) -> tuple[Box, ...]:
        """The machines of these names, or all. Raises ProviderError for an unknown name."""
        state = self._load()
        records = state.machines if names is None else state.chosen(names)
        return () if state.subnet is None else tuple(self._box(record, state.subnet) for record in records)

    def _steps(self, order: Order, now: State, state: State) -> tuple[Step, ...]:
        """The changes from what there is `now` to the `state` that is wanted."""
        if (order.cluster, order.directory) != (self._settings.cluster, self._settings.directory):
            raise ProviderError(f"the order is for cluster {order.cluster!r}, not {self._settings.cluster!r}")
        its_network = None if now.subnet is None else Network(self._place.key, now.subnet)
        facts = Facts(
            has_image=self._image.is_dir(),
            has_network=its_network is not None and network.is_ready(its_network),
            machines=self._known(),
        )
        return plan.steps(order, state, its_network, facts)

    def _known(self) -> Mapping[str, Known]:
        return {
            box.name: Known(runs=box.runs, guarded_as=machine.guarded_as(box), size=box.record.size)
            for box in self.boxes()
            if box.exists
        }

    def _carry_out(self, order: Order, state: State, steps: Sequence[Step], say: Say) -> None:
        its_network = self._begin(state, steps, say)
        state = msgspec.structs.replace(state, subnet=its_network.subnet)
        boxes = {record.name: Box(self._place, its_network, record) for record in state.machines}
        if any(step.kind == "network" for step in steps):
            for box in boxes.values():
                network.connect(its_network, box.record.host)
        for step in steps:
            if step.kind not in {"image", "network"}:
                say(step.name, step.text)
                self._change(step, boxes[step.name], order, state)
        self._together(machine.wait_answers, [boxes[wanted.name] for wanted in order.machines])

    def _change(self, step: Step, box: Box, order: Order, state: State) -> None:
        if step.kind in {"make", "guard"}:
            network.connect(box.network, box.record.host)
            guard.apply(box.namespace, plan.rules_of(order, state, box.record, box.network))
        if step.kind == "make":
            machine.make(box, self._image, order.operator_key)
        if step.kind in {"make", "start"}:
            machine.start(box)
        if step.kind == "resize":
            box.group.create(parse_size(box.record.size))

    def _begin(self, state: State, steps: Sequence[Step], say: Say) -> Network:
        """What all machines share. What is about to be made is noted down first, so that `destroy` knows of it."""
        shared = {step.kind: step for step in steps if step.kind in {"image", "network"}}
        if "image" in shared:
            say("image", shared["image"].text)
            image.ensure(self._settings.recipe, self._settings.cache, say)
        if "network" not in shared and state.subnet is not None:
            self._place.save(state)
            return Network(self._place.key, state.subnet)

        def note(subnet: int) -> None:
            self._place.save(msgspec.structs.replace(state, subnet=subnet))

        say("network", "make it")
        return network.claim(self._place.key, state.subnet, note)

    def _remove_rest(self, state: State) -> None:
        if state.subnet is not None:
            network.remove(Network(self._place.key, state.subnet))
        if self._place.machines.exists():
            shutil.rmtree(self._place.machines)
        self._place.forget()

    def _check_space(self, steps: Sequence[Step]) -> None:
        needed = _MACHINE_BYTES * sum(step.kind == "make" for step in steps)
        free = shutil.disk_usage(self._settings.directory).free
        if free < needed:
            raise ProviderError(f"the machines need {needed >> 20} MiB of disk, and {free >> 20} MiB are free")

    def _left(self) -> str:
        there = [box.name for box in self.boxes() if box.exists]
        return f"still there: {', '.join(there)}" if there else "no machine was left there"

    def _together(self, action: Callable[[Box], None], boxes: Sequence[Box]) -> None:
        """Do it to all machines at the same time; the first error is raised when all are through."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            doing = [pool.submit(action, box) for box in boxes]
        # Launchers that have ended were this process's children; only one thread may take note of that.
        processes.stop((), timeout_s=0.0)
        for done in doing:
            done.result()

    def _box(self, record: Record, subnet: int) -> Box:
        return Box(self._place, Network(self._place.key, subnet), record)

    def _load(self) -> State:
        return self._place.load(self._settings.cluster)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """What changes anything is done by one command at a time."""
        with _translated():
            _check_host()
            private_directory(self._place.directory)
            with locked(self._place.lock, timeout_s=_LOCK_TIMEOUT_S):
                yield


def _row(box: Box) -> Machine:
    return Machine(
        name=box.name,
        role=box.record.role,
        user_name=USER,
        public_dns_name="",
        private_dns_name="",
        public_ip_address=box.address,
        private_ip_address=box.address,
        ssh_port=SSH_PORT,
        mysql_port=_MYSQL_PORT,
        state="running" if box.runs else "stopped" if box.exists else "pending",
    )


def _check_host() -> None:
    missing = commands.missing()
    if missing:
        raise ProviderError(f"no fleet can be made on this host: {'; '.join(missing)}")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The border at which other errors become the provider's."""
    try:
        yield
    except (Busy, CommandFailed) as error:
        raise ProviderError(str(error)) from error
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise ProviderError(f"the disk is full ({error.filename})" if full else str(error)) from error
