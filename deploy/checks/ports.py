"""Who reaches which port of whom, by connecting: from every machine, from the operator's place, and from a stranger's.

A port that refuses counts as reached, too: no firewall was before it. What is allowed is what deploy/firewall.py says,
whose rules the provider was given; tests/unit/test_firewall.py says in words what these are.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from contract.inventory import Machine, MachineRole
from deploy import firewall
from deploy.checks.failed import CheckFailed
from deploy.firewall import Rule
from deploy.host import Host
from deploy.providers.interface import Say
from deploy.site import Site, on_each

Target = tuple[str, int]
"""A machine's name and a port of it."""

_PROGRAM: Final = Path(__file__).with_name("scan.py")
# The well-known ones; to these come all that a rule names, and all that any machine listens on.
_ALWAYS: Final = range(1, 1025)
_SILENT_AFTER_S: Final = 1.5
# One that should answer is asked again, for as long as a busy machine may take.
_PATIENCE_S: Final = 10.0
_MOST_TOLD: Final = 12
_SCAN_TIMEOUT_S: Final = 180.0
_LISTENING: Final = "awk '$4 == \"0A\" { print $2 }' /proc/net/tcp /proc/net/tcp6"
_LOOPBACK: Final = frozenset({"0100007F", "00000000000000000000000001000000"})


class Place(msgspec.Struct, frozen=True):
    """Where ports are tried from. `role`: a machine's, or the operator or the world; `run`: runs a scan there.

    `run` takes the program's arguments and returns what it prints.
    """

    name: str
    role: firewall.Source
    run: Callable[[Sequence[str]], str]


def check(site: Site, rules: Sequence[Rule], stranger: Sequence[str], say: Say) -> None:
    """Raises CheckFailed when a port answers that should not, or does not answer that should.

    `stranger`: what a command of this host is preceded by so that it runs outside of the machines' networks.
    """
    used = _used(site, rules)
    say("ports", f"in use by a machine, or named by a rule: {', '.join(map(str, sorted(used)))}")
    places = _places(site, stranger)
    with ThreadPoolExecutor(len(places)) as threads:
        found = list(threads.map(lambda place: _reached(place, site.machines, rules, {*_ALWAYS, *used}), places))
    mistakes: list[str] = []
    for place, (tried, reached) in zip(places, found, strict=True):
        say("ports", f"from {place.name} {tried} tried, these answer: {_told(reached)}")
        mistakes += mistaken(place.name, allowed(place, site.machines, rules), reached)
    if mistakes:
        raise CheckFailed("; ".join(mistakes))


def allowed(place: Place, machines: Iterable[Machine], rules: Iterable[Rule]) -> set[Target]:
    """What the rules let a place reach, of other machines."""
    sources = {place.role, "world"}
    ports: dict[MachineRole, set[int]] = {}
    for rule in rules:
        if rule.source in sources:
            ports.setdefault(rule.to, set()).add(rule.port)
    return {
        (machine.name, port)
        for machine in machines
        if machine.name != place.name
        for port in ports.get(machine.role, ())
    }


def _used(site: Site, rules: Iterable[Rule]) -> set[int]:
    """The ports that a rule names, and those that something listens on: some of it must be out of reach."""
    listening = on_each(site.hosts.values(), _listening)
    for host in site.servers:
        addresses = {address for address, port in listening[host.name] if port == host.machine.mysql_port}
        if not addresses or addresses - _LOOPBACK:
            raise CheckFailed(f"{host.name} listens for SQL on {sorted(addresses) or 'no address'}, not on loopback")
    return {rule.port for rule in rules} | {port for sockets in listening.values() for _, port in sockets}


def _listening(host: Host) -> set[tuple[str, int]]:
    """The sockets that listen on a machine: the address as the kernel writes it (proc(5), net/tcp), and the port."""
    words = host.sudo(_LISTENING).split()
    return {(address, int(port, 16)) for address, port in (word.split(":") for word in words)}


def _places(site: Site, stranger: Sequence[str]) -> list[Place]:
    return [
        Place("a stranger", "world", lambda words: _here([*stranger, sys.executable], words)),
        Place("the operator", "operator", lambda words: _here([sys.executable], words)),
        *(Place(host.name, host.machine.role, _on(host)) for host in site.hosts.values()),
    ]


def _reached(
    place: Place, machines: Sequence[Machine], rules: Sequence[Rule], ports: set[int]
) -> tuple[int, set[Target]]:
    """How many ports were tried from there, and those that answered."""
    names = {machine.private_ip_address: machine.name for machine in machines if machine.name != place.name}
    found = _scan(place, _SILENT_AFTER_S, ports, names)
    if late := allowed(place, machines, rules) - found:
        found |= _scan(place, _PATIENCE_S, {port for _, port in late}, names)
    return len(ports) * len(names), found


def _scan(place: Place, timeout_s: float, ports: Iterable[int], names: Mapping[str, str]) -> set[Target]:
    told = place.run([str(timeout_s), ",".join(map(str, sorted(ports))), *names])
    answers = [line.split() for line in told.splitlines()]
    return {(names[address], int(port)) for address, port, _ in answers}


def _here(before: Sequence[str], words: Sequence[str]) -> str:
    try:
        return subprocess.run(
            [*before, str(_PROGRAM), *words], capture_output=True, text=True, timeout=_SCAN_TIMEOUT_S, check=True
        ).stdout
    except subprocess.CalledProcessError as error:
        raise CheckFailed(f"ports could not be tried: {error.stderr.strip()[-500:]}") from None
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"ports could not be tried within {_SCAN_TIMEOUT_S:g} s") from None


def _on(host: Host) -> Callable[[Sequence[str]], str]:
    def run(words: Sequence[str]) -> str:
        return host.sudo(f"python3 - {shlex.join(words)}", given=_PROGRAM.read_bytes(), timeout_s=_SCAN_TIMEOUT_S)

    return run


def mistaken(name: str, wanted: set[Target], reached: set[Target]) -> list[str]:
    """Where what a place reaches differs from what it shall reach, a sentence each."""
    said = []
    if more := reached - wanted:
        said.append(f"{name} reaches {_told(more)}")
    if missing := wanted - reached:
        said.append(f"{name} does not reach {_told(missing)}")
    return said


def _told(targets: set[Target]) -> str:
    """As `data1 22; gatekeeper 80 443`."""
    by_name: dict[str, list[str]] = {}
    for name, port in sorted(targets, key=lambda target: (_natural(target[0]), target[1])):
        by_name.setdefault(name, []).append(str(port))
    return "; ".join(f"{name} {_first(ports)}" for name, ports in by_name.items()) or "none"


def _first(ports: Sequence[str]) -> str:
    more = len(ports) - _MOST_TOLD
    return " ".join(ports[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


def _natural(name: str) -> tuple[str, int]:
    number = re.search(r"\d+\Z", name)
    return (name, 0) if number is None else (name[: number.start()], int(number[0]))
