"""What machines spend meanwhile, from /proc: a script that samples, and what its samples say. The script is bash.

The cores' own figures in /proc/stat are the host's where machines are containers (the fleet); so a server's processor
time and memory are taken from its processes, which are its machine's alone everywhere. See proc(5).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

# As the kernel has them, in 15 characters at most.
SERVERS: Final = ("mariadbd", "mysqld", "ndbmtd", "ndb_mgmd")
CLIENT: Final = "sysbench"
_PAGE_BYTES: Final = 4096
_TICKS_PER_S: Final = 100
_STAT: Final = re.compile(r"^\d+ \((.+)\) (.*)$")

# A second between samples; one grep each. It ends with the script that started it.
SAMPLER: Final = f"""\
look() {{
    echo "at $EPOCHREALTIME"
    grep -hE '^cpu |^MemAvailable:|^ *[a-z0-9@]+: *[0-9]+ |^[0-9]+ \\(({"|".join((*SERVERS, CLIENT))})\\) ' \
 /proc/stat /proc/meminfo /proc/net/dev /proc/[0-9]*/stat 2>/dev/null || true
}}
sample() {{ while :; do look; sleep 1; done; }}
"""


class Sample(msgspec.Struct, frozen=True):
    """One look. Seconds since 1970; processor seconds and bytes of memory by process name; bytes through interfaces.

    `busy_s` and `stolen_s`: of all cores together, as /proc/stat tells them.
    """

    at_s: float
    busy_s: float = 0.0
    stolen_s: float = 0.0
    available: int = 0
    received: int = 0
    sent: int = 0
    processor_s: dict[str, float] = {}
    resident: dict[str, int] = {}


class Usage(msgspec.Struct, frozen=True):
    """What a machine spent between its first sample after the warm-up and its last.

    Cores: processor seconds a second. `servers`, `client`: of the database's processes and of sysbench. `host`,
    `stolen`: of all that the kernel knows of. `resident`: most bytes of the database's processes. Bytes a second.
    """

    seconds: float
    servers: float
    client: float
    host: float
    stolen: float
    resident: int
    received_per_s: float
    sent_per_s: float


def samples(text: str) -> list[Sample]:
    """The samples in what the sampler printed; a last one that was cut off counts as far as it goes."""
    return [_sample(block) for block in re.split(r"^at ", text, flags=re.MULTILINE) if block.strip()]


def usage(taken: Sequence[Sample], warmup_s: float) -> Usage | None:
    """The difference of the last sample and the first after the warm-up; None when there are no two such."""
    counted = [sample for sample in taken if sample.at_s >= taken[0].at_s + warmup_s - 0.5]
    if len(counted) < 2:
        return None
    first, last = counted[0], counted[-1]
    seconds = last.at_s - first.at_s
    return Usage(
        seconds=seconds,
        servers=sum(_cores(counted, name) for name in SERVERS),
        client=_cores(counted, CLIENT),
        host=(last.busy_s - first.busy_s) / seconds,
        stolen=(last.stolen_s - first.stolen_s) / seconds,
        resident=max(sum(sample.resident.get(name, 0) for name in SERVERS) for sample in counted),
        received_per_s=(last.received - first.received) / seconds,
        sent_per_s=(last.sent - first.sent) / seconds,
    )


def _cores(counted: Sequence[Sample], name: str) -> float:
    """Processor seconds a second, between the first and the last sample that saw the process."""
    seen = [sample for sample in counted if name in sample.processor_s]
    if len(seen) < 2:
        return 0.0
    spent = seen[-1].processor_s[name] - seen[0].processor_s[name]
    return max(0.0, spent) / (seen[-1].at_s - seen[0].at_s)


def _sample(block: str) -> Sample:
    at, *lines = block.splitlines()
    values: dict[str, float] = {"at_s": float(at)}
    processor: dict[str, float] = {}
    resident: dict[str, int] = {}
    for line in lines:
        if found := _STAT.match(line):
            fields = found[2].split()
            if len(fields) > 21:
                name = found[1]
                processor[name] = processor.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
                resident[name] = resident.get(name, 0) + int(fields[21]) * _PAGE_BYTES
        else:
            for name, value in _counted(line.split()):
                values[name] = values.get(name, 0) + value
    return msgspec.convert({**values, "processor_s": processor, "resident": resident}, Sample, strict=False)


def _counted(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    """What a line of /proc/stat, /proc/meminfo or /proc/net/dev adds to the sample; one that was cut off nothing."""
    if not words:
        return
    if words[0] == "cpu" and len(words) > 8:
        ticks = list(map(int, words[1:9]))
        yield "busy_s", (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / _TICKS_PER_S
        yield "stolen_s", ticks[7] / _TICKS_PER_S
    elif words[0] == "MemAvailable:" and len(words) > 2:
        yield "available", int(words[1]) * 1024
    elif words[0] != "lo:" and len(words) > 9:
        yield "received", int(words[1])
        yield "sent", int(words[9])
