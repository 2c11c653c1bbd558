"""Carries out what the plan tells, a step at a time, each said before it is done."""

from collections.abc import Sequence

import msgspec

from deploy.providers.ec2 import groups, keypair, sizes
from deploy.providers.ec2.api import Api
from deploy.providers.ec2.instances import Making
from deploy.providers.ec2.machines import Machines
from deploy.providers.ec2.plan import Facts, Step
from deploy.providers.ec2.prepare import Prepared
from deploy.providers.ec2.subnets import Ground
from deploy.providers.interface import Order, ProviderError, Say, Wanted


class Work(msgspec.Struct, frozen=True):
    """What a launch knows before it begins."""

    order: Order
    ground: Ground
    facts: Facts
    prepared: Prepared


class Launching:
    """One launch. Raises ProviderError that begins with what the failed step is about."""

    def __init__(self, api: Api, machines: Machines, work: Work, say: Say) -> None:
        self._api = api
        self._machines = machines
        self._work = work
        self._say = say
        self._groups = {group.role: group.id for group in work.facts.groups}
        self._ids = {name: box.id for name, box in work.facts.boxes_by_name.items()}

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Do all steps, and wait until the order's machines are ready, those that were there too."""
        for step in steps:
            self._say(step.name, step.text)
            try:
                with self._api.translated():
                    self._do(step)
            except ProviderError as error:
                raise ProviderError(f"{step.name}: {error}") from None
        if any(step.kind == "launch" for step in steps):
            self._say(self._work.order.cluster, "waiting until all run, tell their host keys and answer")
        self._machines.wait_ready([self._ids[wanted.name] for wanted in self._work.order.machines], self._say)

    def _do(self, step: Step) -> None:
        order, group = self._work.order, self._groups.get(step.role, "")
        match step.kind:
            case "key":
                keypair.put(self._api, order.cluster, order.operator_key)
            case "group":
                self._groups[step.role] = groups.make(self._api, order.cluster, step.role, self._work.ground.vpc)
            case "revoke" if step.present:
                groups.revoke(self._api, group, step.present)
            case "allow" if step.allowed:
                groups.allow(self._api, group, step.allowed, self._groups)
            case "launch" if step.wanted:
                self._launch(step.wanted)
            case _:
                self._mend(step, group)

    def _mend(self, step: Step, group: str) -> None:
        box = self._work.facts.boxes_by_name[step.name]
        if step.kind == "regroup":
            self._machines.regroup(box, group)
        elif step.kind == "metadata":
            self._machines.require_token(box)
        else:
            self._machines.start([box])

    def _launch(self, wanted: Wanted) -> None:
        making = Making(
            cluster=self._work.order.cluster,
            wanted=wanted,
            size=sizes.of(wanted),
            image=self._work.prepared.images[wanted.name],
            subnet=self._work.prepared.places[wanted.name],
            is_public=self._work.ground.is_public(wanted.role),
            group=self._groups[wanted.role],
            key_name=keypair.name_of(self._work.order.cluster),
        )
        self._ids[wanted.name] = self._machines.launch(making)
        self._say(wanted.name, f"launched as {self._ids[wanted.name]} in {making.subnet.zone}; billed from now on")
