"""The loss and the return of a machine under load, second by second.

The load comes through the SQL nodes that stay: clients of the lost one lose their connections whatever the engine is
(the proxy sends them elsewhere), and what is asked here is what the others feel.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from benchmark.sysbench import command, measuring
from benchmark.sysbench.errors import NotFit
from benchmark.sysbench.matrix import Size, Timeline, shares
from benchmark.sysbench.measuring import Said
from benchmark.sysbench.rundir import Mark, Moment, TimelineResult
from benchmark.sysbench.system import OPTIONS, Subject
from deploy.host import Host, HostError
from deploy.providers.interface import Say

_WHOLE_TIMEOUT_S: Final = 600.0
_POLL_S: Final = 0.5


def run(timeline: Timeline, size: Size, cluster: Subject, seed: int, say: Say) -> TimelineResult:
    """Loads the nodes that stay, kills the servers of the last one, and starts them again. Raises NotFit, HostError.

    Returns when the node is in step again, though that may be after the load's end.
    """
    lost, staying = cluster.hosts[-1], cluster.hosts[:-1]
    words = _words(timeline, size, staying, seed)
    limit = command.limit_s(0, timeline.seconds)
    with ThreadPoolExecutor(len(staying), thread_name_prefix="load") as threads:
        began = time.monotonic()
        running = {host.name: threads.submit(measuring.run, host, words[host.name], limit) for host in staying}
        marks = _fault(timeline, cluster, lost, began, say)
        heard = {name: future.result() for name, future in running.items()}
    return TimelineResult(
        target=f"{timeline.workload}, {size.name}, {timeline.threads} threads through {len(staying)} SQL nodes",
        lost=lost.name,
        moments=tuple(moments(heard)),
        marks=tuple(marks),
        errors=tuple(measuring.errors(heard)),
        ended_early=tuple(name for name, said in heard.items() if said.transcript.final is None),
    )


def moments(heard: Mapping[str, Said]) -> list[Moment]:
    """The processes' seconds, added up; the last of each is left out where it is shorter than a second."""
    lines = [second for said in heard.values() for second in said.transcript.seconds]
    found: list[Moment] = []
    for at in sorted({line.at_s for line in lines}):
        mine = [line for line in lines if line.at_s == at]
        found.append(
            Moment(
                at_s=at,
                transactions_per_s=sum(line.transactions_per_s for line in mine),
                latency_ms=max(line.latency_ms for line in mine),
                errors_per_s=sum(line.errors_per_s for line in mine),
                processes=len(mine),
            )
        )
    return found


def _words(timeline: Timeline, size: Size, staying: Sequence[Host], seed: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, (host, threads) in enumerate(zip(staying, shares(timeline.threads, len(staying)), strict=True)):
        load = {"threads": threads, "warmup_s": 0, "seconds": timeline.seconds, "seed": seed + number}
        found[host.name] = command.measure(OPTIONS, size, timeline.workload, load)
    return found


def _fault(timeline: Timeline, cluster: Subject, lost: Host, began: float, say: Say) -> list[Mark]:
    """Kills and starts again at the times that are set; what was done when. The servers run again in any case."""
    units = " ".join(cluster.engine.units(lost.machine.role))
    marks: list[Mark] = []

    def mark(text: str) -> None:
        marks.append(Mark(round(time.monotonic() - began, 1), text))
        say(lost.name, f"{text} after {marks[-1].at_s:g} s of load")

    try:
        _wait_until(began + timeline.lost_at_s)
        # `stop` after it, so that systemd does not start what was killed.
        lost.sudo(
            f"systemctl kill --signal=KILL {units}; systemctl stop {units}; systemctl reset-failed {units} || true"
        )
        mark("killed")
        _wait_until(began + timeline.back_at_s)
    finally:
        lost.sudo(f"systemctl start --no-block {units}")
    mark("started again")
    _wait_whole(cluster, lost)
    mark("in step again")
    return marks


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _wait_whole(cluster: Subject, lost: Host) -> None:
    deadline = time.monotonic() + _WHOLE_TIMEOUT_S
    while not cluster.engine.is_whole(_state(cluster, lost)):
        if time.monotonic() > deadline:
            raise NotFit(f"{lost.name} was not in step again within {_WHOLE_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)


def _state(cluster: Subject, lost: Host) -> str:
    try:
        return cluster.engine.state(lost)
    except HostError:
        return "not reached"
