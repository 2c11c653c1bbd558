"""One measurement: sysbench on every SQL node of its target at once, samples of every machine, and what was odd."""

import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from benchmark.sysbench import command, merging, parser, usage
from benchmark.sysbench.matrix import Matrix, shares, size_of
from benchmark.sysbench.parser import Transcript
from benchmark.sysbench.plan import Item
from benchmark.sysbench.rundir import Result
from benchmark.sysbench.system import OPTIONS, Subject
from deploy.host import Done, Host, HostError
from deploy.site import on_each

_BETWEEN: Final = "----- samples"
_SPARE_S: Final = 30.0
# sysbench lets the transactions that are under way end, and counts rates to that moment; much more is odd.
_ODD_DURATION: Final = 0.25

# The sampler is a child of the script and ends with it, however the script ends.
_SCRIPT: Final = """\
{sampler}
samples=$(mktemp); trap 'kill $sampler 2>/dev/null || true; rm -f "$samples"' EXIT
sample >"$samples" & sampler=$!
status=0
timeout --kill-after=5 {limit} {command} 2>&1 || status=$?
kill $sampler; wait $sampler 2>/dev/null || true
{{ echo; look; }} >>"$samples"
echo; echo '{between}'; cat "$samples"; exit $status
"""


class Said(msgspec.Struct, frozen=True):
    """What a machine's script printed and how it ended; `failure`: why it could not be run to its end."""

    transcript: Transcript
    samples: tuple[usage.Sample, ...]
    status: int
    text: str
    failure: str = ""


def script(words: Sequence[str], limit_s: int) -> str:
    """The bash script that runs a command and samples its machine meanwhile."""
    return _SCRIPT.format(sampler=usage.SAMPLER, limit=limit_s, command=shlex.join(words), between=_BETWEEN)


def run(host: Host, words: Sequence[str], limit_s: int) -> Said:
    """Runs it there; whatever happens is in what is returned."""
    try:
        return said(host.attempt(script(words, limit_s), timeout_s=limit_s + _SPARE_S))
    except HostError as error:
        return Said(parser.parse(""), (), -1, "", str(error))


def said(done: Done) -> Said:
    """What the script printed, taken apart."""
    transcript, _, samples = done.text.partition(f"\n{_BETWEEN}\n")
    return Said(parser.parse(transcript), tuple(usage.samples(samples)), done.status, done.text)


def loads(matrix: Matrix, item: Item, subject: Subject) -> dict[str, list[str]]:
    """The words for each machine of the target: the clients are shared out, each process has a seed of its own."""
    cell = item.cell
    nodes = max(1, cell.target.nodes)
    found: dict[str, list[str]] = {}
    for number, (host, threads) in enumerate(zip(subject.hosts, shares(cell.threads, nodes), strict=False)):
        load = {"threads": threads, "warmup_s": matrix.warmup_s, "seconds": matrix.seconds, "seed": item.seed + number}
        found[host.name] = command.measure(OPTIONS, size_of(matrix, cell.size), cell.workload, load)
    return found


def measure(matrix: Matrix, item: Item, subject: Subject, others: Sequence[Host]) -> tuple[Result, Mapping[str, Said]]:
    """Measures, and says what was odd. `others`: machines that are sampled only. Raises nothing that a machine did."""
    words = loads(matrix, item, subject)
    limit = command.limit_s(matrix.warmup_s, matrix.seconds)
    idle = ["sleep", f"{matrix.warmup_s + matrix.seconds + 0.2:g}"]
    began, at = time.monotonic(), datetime.now(UTC)
    # The idle ones first, so that their samples cover the load's whole time.
    heard = on_each([*others, *subject.hosts], lambda host: run(host, words.get(host.name, idle), limit))
    seconds = time.monotonic() - began
    asked = {name: heard[name] for name in words}
    result = Result(
        number=item.number,
        repetition=item.repetition,
        cell=item.cell,
        at=at.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        rates=merging.merged([said.transcript for said in asked.values()]),
        marks=tuple(marks(asked, matrix.seconds)),
        errors=tuple(errors(heard)),
        usage={name: spent for name, said in heard.items() if (spent := usage.usage(said.samples, matrix.warmup_s))},
    )
    return result, asked


def marks(asked: Mapping[str, Said], seconds: int) -> list[str]:
    """What was not as it should be, a phrase each."""
    found: list[str] = []
    for name, said in asked.items():
        final = said.transcript.final
        if said.failure:
            found.append(f"{name}: could not be run")
        elif final is None:
            found.append(f"{name}: sysbench did not come to its end (status {said.status})")
        elif said.status != 0 or said.transcript.error_lines:
            found.append(f"{name}: {said.transcript.error_lines} lines of errors, status {said.status}")
        if final is not None:
            found += _counted(name, final, seconds)
    if merging.uneven([said.transcript.final for said in asked.values() if said.transcript.final]):
        found.append("no rate: the processes counted different times")
    return found


def _counted(name: str, final: parser.Report, seconds: int) -> list[str]:
    found: list[str] = []
    if final.ignored_errors:
        found.append(f"{name}: {final.ignored_errors} transactions tried again")
    if final.reconnects:
        found.append(f"{name}: {final.reconnects} reconnects")
    if abs(final.counted_s - seconds) > _ODD_DURATION * seconds:
        found.append(f"{name}: counted {final.counted_s:.1f} s, not {seconds}")
    return found


def errors(heard: Mapping[str, Said]) -> list[str]:
    """Lines of errors, with their machines."""
    return [
        f"{name}: {line}"
        for name, said in heard.items()
        for line in (said.transcript.errors or ([said.failure] if said.failure else []))
    ]
