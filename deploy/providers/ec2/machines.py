"""What is done to instances, and how long it is waited for; each change is looked for until it can be seen."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from botocore.exceptions import ClientError

from deploy.providers.ec2 import errors, hostkeys, instances
from deploy.providers.ec2.api import Api
from deploy.providers.ec2.instances import SSH_PORT, Box, Making
from deploy.providers.ec2.state import Place
from deploy.providers.interface import ProviderError, Say

_STATE_TIMEOUT_S: Final = 600.0
_STATE_POLL_S: Final = 5.0
# cloud-init tells the keys at the end of the first boot; consoles before Nitro are some minutes behind.
_KEYS_TIMEOUT_S: Final = 600.0
_KEYS_POLL_S: Final = 10.0
_ANSWER_TIMEOUT_S: Final = 300.0
_ANSWER_POLL_S: Final = 2.0
_SILENCE_TIMEOUT_S: Final = 120.0
_SILENCE_POLL_S: Final = 0.5


class Machines:
    """The instances of one cluster. `operator`: the addresses that SSH is open to, for what is said when it is shut."""

    def __init__(self, api: Api, cluster: str, place: Place, operator: str) -> None:
        self._api = api
        self._cluster = cluster
        self._place = place
        self._operator = operator

    def launch(self, making: Making) -> str:
        """Make an instance; its id. A repeated launch whose answer was lost makes no second one."""
        name = making.wanted.name
        made = self._run(making)
        if made[1] in instances.GOING:  # the token's machine was terminated meanwhile, so it needs another
            self._place.end([name])
            made = self._run(making)
        return made[0]

    def _run(self, making: Making) -> tuple[str, str]:
        name = making.wanted.name
        request = instances.request(making, self._place.begin(name).token(self._cluster, name))
        try:
            instance = self._api.ec2.run_instances(**request)["Instances"][0]
        except ClientError as error:
            if errors.is_final(error):
                self._place.end([name])
            raise
        return instance["InstanceId"], instance["State"]["Name"]

    def require_token(self, box: Box) -> None:
        """Require IMDSv2."""
        self._api.ec2.modify_instance_metadata_options(
            InstanceId=box.id, HttpTokens="required", HttpEndpoint="enabled", HttpPutResponseHopLimit=1
        )

    def regroup(self, box: Box, group: str) -> None:
        """Put it into that security group and no other, by each of its network interfaces."""
        for interface in box.interfaces:
            self._api.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group])

    def start(self, boxes: Sequence[Box]) -> None:
        """Start stopped machines; those that are just stopping are waited for."""
        self._reach([box.id for box in boxes if box.state == "stopping"], "stopped")
        for box in boxes:
            if box.state in {"stopped", "stopping"}:
                self._api.ec2.start_instances(InstanceIds=[box.id])

    def stop(self, boxes: Sequence[Box]) -> None:
        """Stop machines, and wait until they are."""
        for box in boxes:
            if box.state in {"pending", "running"}:
                self._api.ec2.stop_instances(InstanceIds=[box.id])
        self._reach([box.id for box in boxes], "stopped")

    def reboot(self, boxes: Sequence[Box]) -> None:
        """Reboot machines; each that has a public address is waited for until it falls silent."""
        for box in boxes:
            self._api.ec2.reboot_instances(InstanceIds=[box.id])
            if box.public_address:
                self._wait_silent(box)

    def terminate(self, boxes: Sequence[Box]) -> dict[str, str]:
        """Terminate machines, each by itself, and wait until those are gone; what was refused, by name."""
        refused = {}
        for box in boxes:
            try:
                self._api.ec2.terminate_instances(InstanceIds=[box.id])
            except ClientError as error:
                refused[box.name] = errors.sentence(error, self._api.region)
        gone = [box for box in boxes if box.name not in refused]
        self._reach([box.id for box in gone], "terminated")
        self._place.forget_host_keys(box.id for box in gone)
        self._place.end(box.name for box in gone)
        return refused

    def wait_ready(self, ids: Sequence[str], say: Say | None = None) -> None:
        """Wait until they run, their host keys are known, and they answer at their SSH port."""
        self._reach(ids, "running")
        boxes = [box for box in instances.find(self._api, self._cluster) if box.id in ids]
        self.learn_host_keys(boxes, say)
        for box in boxes:
            self._wait_answers(box)

    def learn_host_keys(self, boxes: Sequence[Box], say: Say | None = None) -> None:
        """Keep the host keys of those whose keys are not known yet."""
        missing = {box.id: box for box in boxes if box.id not in self._place.load().host_keys}

        def learnt() -> bool:
            for box in list(missing.values()):
                if keys := self._host_keys(box):
                    self._place.keep_host_keys(box.id, keys)
                    del missing[box.id]
                    if say:
                        say(box.name, "its host key is known from its console")
            return not missing

        self._wait(learnt, _KEYS_TIMEOUT_S, _KEYS_POLL_S, lambda: _no_keys(missing.values()))

    def _host_keys(self, box: Box) -> tuple[str, ...]:
        try:
            return hostkeys.read(self._api, box.id)
        except ProviderError as error:
            raise ProviderError(f"{box.name} ({box.id}): {error}") from None

    def _reach(self, ids: Sequence[str], state: str) -> None:
        """Wait until all are in that state. Raises ProviderError for those that end otherwise."""
        if not ids:
            return
        waiting = set(ids)

        def reached() -> bool:
            boxes = {box.id: box for box in instances.find(self._api, self._cluster)}
            if state == "terminated":
                waiting.intersection_update(boxes)
            else:
                waiting.difference_update(each for each in ids if each in boxes and boxes[each].state == state)
                self._check_alive(sorted(waiting), state)
            return not waiting

        self._wait(reached, _STATE_TIMEOUT_S, _STATE_POLL_S, lambda: f"not {state}: {', '.join(sorted(waiting))}")

    def _check_alive(self, ids: Sequence[str], state: str) -> None:
        ended = instances.reasons(self._api, ids)
        if ended:
            told = "; ".join(f"{each}: {reason or 'no reason given'}" for each, reason in sorted(ended.items()))
            raise ProviderError(f"EC2 terminated what should be {state} ({told})")

    def _wait_answers(self, box: Box) -> None:
        """A machine without a public address can't be reached from here: EC2's checks are waited for instead."""
        if box.public_address:
            self._wait(
                lambda: self._api.world.answers(box.public_address, SSH_PORT),
                _ANSWER_TIMEOUT_S,
                _ANSWER_POLL_S,
                lambda: (
                    f"{box.name} does not answer at {box.public_address}:{SSH_PORT};"
                    f" do you work from an address of {self._operator} (ec2.operator)?"
                ),
            )
        else:
            late = f"{box.name} ({box.id}) does not pass EC2's status checks"
            self._wait(lambda: instances.is_checked(self._api, box.id), _STATE_TIMEOUT_S, _KEYS_POLL_S, lambda: late)

    def _wait_silent(self, box: Box) -> None:
        self._wait(
            lambda: not self._api.world.answers(box.public_address, SSH_PORT),
            _SILENCE_TIMEOUT_S,
            _SILENCE_POLL_S,
            lambda: f"{box.name} did not begin to reboot",
        )

    def _wait(self, check: Callable[[], bool], timeout_s: float, every_s: float, late: Callable[[], str]) -> None:
        self._api.world.wait(check, timeout_s=timeout_s, every_s=every_s, late=late)


def _no_keys(boxes: Iterable[Box]) -> str:
    names = ", ".join(f"{box.name} ({box.id})" for box in boxes)
    return (
        f"the console of {names} tells no host keys; it may have forgotten them:"
        " then take provider/ec2/ec2.json of the cluster's directory from where they are known"
    )
