"""What a load showed, compared with the rows that are in the database afterwards: pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from deploy.checks.load import Sent


class Verdict(msgspec.Struct, frozen=True):
    """Counts, the longest times in seconds, and `mistakes`: what must not be."""

    requests: int
    reads_failed: int
    writes_refused: int
    writes_unknown: int
    unknown_kept: int
    tried_again: int
    longest_read_s: float
    longest_write_s: float
    mistakes: tuple[str, ...]

    def __str__(self) -> str:
        kept = f" ({self.unknown_kept} of them took effect)" if self.writes_unknown else ""
        return (
            f"{self.requests} requests, {self.reads_failed} reads failed, {self.writes_refused} writes refused,"
            f" {self.writes_unknown} writes unknown{kept}, {self.tried_again} tried again by the proxy,"
            f" longest read {self.longest_read_s:.2f} s, longest write {self.longest_write_s:.2f} s"
        )


def judged(sent: Sequence[Sent], kept: Iterable[int], *, may_be_unknown: bool) -> Verdict:
    """The verdict on a load whose rows are `kept`.

    No read may fail, and no write be refused: what is temporary the proxy tries again. A write may end with an unknown
    outcome where an SQL node was lost (`may_be_unknown`). One that was acknowledged is kept once, one that was refused
    not at all.
    """
    rows = Counter(kept)
    reads = [each for each in sent if each.kind == "read"]
    writes = [each for each in sent if each.kind == "write"]
    failed = [each for each in reads if each.error]
    unknown = [each for each in writes if each.outcome == "unknown"]
    refused = [each for each in writes if each.error and each.outcome != "unknown"]
    return Verdict(
        requests=len(sent),
        reads_failed=len(failed),
        writes_refused=len(refused),
        writes_unknown=len(unknown),
        unknown_kept=sum(rows[each.number] for each in unknown),
        tried_again=sum(each.attempts > 1 for each in sent),
        longest_read_s=max((each.seconds for each in reads), default=0.0),
        longest_write_s=max((each.seconds for each in writes), default=0.0),
        mistakes=(
            *map(_told, [*failed, *refused, *([] if may_be_unknown else unknown)]),
            *_misplaced(writes, rows),
        ),
    )


def _misplaced(writes: Sequence[Sent], rows: Counter[int]) -> Iterator[str]:
    for each in writes:
        allowed = {0, 1} if each.outcome == "unknown" else {0} if each.error else {1}
        if rows[each.number] not in allowed:
            yield f"write {each.number}, {each.outcome or 'acknowledged'}, is kept {rows[each.number]} times"
    if strange := set(rows) - {each.number for each in writes}:
        yield f"{len(strange)} rows are kept that were never sent"


def _told(sent: Sent) -> str:
    return (
        f"{sent.kind} {sent.number}, sent after {sent.began_s:.1f} s, answered after {sent.seconds:.1f} s:"
        f" {sent.error} ({sent.outcome})"
    )
