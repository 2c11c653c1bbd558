"""A run's directory: what was planned, what was measured, and sysbench's own words. It can be gone on with.

manifest.json       the format's version, the matrix, the seed, the cluster
state.json          settings and kernels of every server, before anything was measured
results.jsonl       a line for each measurement, written when it has ended
timeline.json       the loss and return of a node
transcripts/        what sysbench printed, and the samples, compressed: 0007-manager.txt.gz
"""

import errno
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from benchmark.sysbench.errors import RunUnusable
from benchmark.sysbench.matrix import Cell, Matrix
from benchmark.sysbench.merging import Rates
from benchmark.sysbench.usage import Usage
from deploy.secrets import private_directory, write_file

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_STATE: Final = "state.json"
_RESULTS: Final = "results.jsonl"
_TIMELINE: Final = "timeline.json"
_TRANSCRIPTS: Final = "transcripts"

Content = TypeVar("Content")


class Manifest(msgspec.Struct, frozen=True):
    """What a run is of. `nodes`: the SQL nodes' machines, in their order. `machine`: the one that `fab` runs on."""

    format: int
    began: str
    engine: str
    provider: str
    cluster: str
    matrix: Matrix
    seed: int
    standalone: str
    nodes: tuple[str, ...]
    data_nodes: int
    machine: str


class Server(msgspec.Struct, frozen=True):
    """A server's state. `kernel`: facts by name. `ndb`: the data nodes' parameters, none where there are none."""

    variables: dict[str, str]
    kernel: dict[str, str]
    sysbench: str
    ndb: dict[str, str] | None = None


class DataSize(msgspec.Struct, frozen=True):
    """A data set as it was made: bytes of rows and indexes as each side tells them, the stand-alone's buffer pool."""

    size: str
    standalone_bytes: int
    cluster_bytes: int
    pool_bytes: int


class Result(msgspec.Struct, frozen=True):
    """One measurement. `rates` is None when it has none; `marks`: everything that was not as it should be.

    `usage`: of each machine that could be sampled. `errors`: sysbench's own lines, or why it could not be run.
    """

    number: int
    repetition: int
    cell: Cell
    at: str
    seconds: float
    rates: Rates | None
    marks: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    usage: dict[str, Usage] = {}


class Mark(msgspec.Struct, frozen=True):
    """Something that happened in a time line, in seconds since the load began."""

    at_s: float
    text: str


class Moment(msgspec.Struct, frozen=True):
    """A second of a time line, of all processes together. `latency_ms`: the worst process's 99th percentile."""

    at_s: int
    transactions_per_s: float
    latency_ms: float
    errors_per_s: float
    processes: int


class TimelineResult(msgspec.Struct, frozen=True):
    """The loss and the return of a machine under load. `ended_early`: the processes that did not come to their end."""

    target: str
    lost: str
    moments: tuple[Moment, ...]
    marks: tuple[Mark, ...]
    errors: tuple[str, ...]
    ended_early: tuple[str, ...]


class Results(msgspec.Struct, frozen=True):
    """A run as a report needs it."""

    manifest: Manifest
    servers: dict[str, Server]
    data: tuple[DataSize, ...]
    results: tuple[Result, ...]
    timeline: TimelineResult | None


class _State(msgspec.Struct):
    servers: dict[str, Server]
    data: list[DataSize] = []


class RunDirectory:
    """The directory. Methods that write raise RunUnusable when the disk is full: what was measured until then stays."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, manifest: Manifest) -> None:
        """Makes it. Raises RunUnusable when there is a run in it."""
        if (self.path / _MANIFEST).exists():
            raise RunUnusable(f"{self.path} has a run already: resume it, or name another")
        with _space(self.path):
            private_directory(self.path)
            private_directory(self.path / _TRANSCRIPTS)
            self._write(_MANIFEST, manifest)

    def manifest(self) -> Manifest:
        """What the run is of. Raises RunUnusable, also for a run of another version."""
        content = self._read(_MANIFEST)
        try:
            found = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            version = msgspec.json.decode(found.get("format", msgspec.Raw(b"null")))
        except msgspec.MsgspecError as error:
            raise RunUnusable(f"{self.path / _MANIFEST} can't be read: {error}") from None
        if version != FORMAT:
            raise RunUnusable(f"{self.path} was written by another version (format {version}, not {FORMAT})")
        return self._decoded(_MANIFEST, content, Manifest)

    def put_servers(self, servers: dict[str, Server]) -> None:
        """Keeps the servers' state; data sizes that are known stay."""
        self._write(_STATE, _State(servers, list(self._state().data)))

    def put_data(self, data: DataSize) -> None:
        """Keeps how large a data set is, in place of what was known of it."""
        state = self._state()
        state.data = [*(each for each in state.data if each.size != data.size), data]
        self._write(_STATE, state)

    def add(self, result: Result) -> None:
        """Appends a result, and sees to it that it is on the disk."""
        with _space(self.path), (self.path / _RESULTS).open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def results(self) -> list[Result]:
        """The results, in the order in which they were measured.

        A last line that was cut off is taken away: that measurement will be made again. Raises RunUnusable.
        """
        path = self.path / _RESULTS
        if not path.exists():
            return []
        content = path.read_bytes()
        whole, _, cut_off = content.rpartition(b"\n")
        if cut_off:
            os.truncate(path, len(content) - len(cut_off))
        return [self._decoded(_RESULTS, line, Result) for line in whole.splitlines()]

    def put_timeline(self, timeline: TimelineResult) -> None:
        """Keeps the time line."""
        self._write(_TIMELINE, timeline)

    def timeline(self) -> TimelineResult | None:
        """The time line, if it was made."""
        if not (self.path / _TIMELINE).exists():
            return None
        return self._decoded(_TIMELINE, self._read(_TIMELINE), TimelineResult)

    def keep_transcript(self, name: str, text: str) -> None:
        """Keeps what a machine's script printed."""
        with _space(self.path), gzip.open(self.path / _TRANSCRIPTS / f"{name}.txt.gz", "wt", encoding="utf-8") as file:
            file.write(text)

    def load(self) -> Results:
        """All of it. Raises RunUnusable."""
        manifest, state = self.manifest(), self._state()
        return Results(manifest, state.servers, tuple(state.data), tuple(self.results()), self.timeline())

    def _state(self) -> _State:
        if not (self.path / _STATE).exists():
            return _State({})
        return self._decoded(_STATE, self._read(_STATE), _State)

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise RunUnusable(f"{self.path} is no run: {name}: {error.strerror}") from None

    def _decoded(self, name: str, content: bytes, kind: type[Content]) -> Content:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise RunUnusable(f"{self.path / name} can't be read: {error}") from None

    def _write(self, name: str, content: object) -> None:
        with _space(self.path):
            write_file(self.path / name, msgspec.json.format(msgspec.json.encode(content)))


@contextmanager
def _space(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise RunUnusable(
            f"the disk of {path} is full; what was measured is kept: make space and resume the run"
        ) from None
