"""Why a statement is allowed or refused, for people who write a policy."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from gatekeeper.analysis import Analysis, analyse
from gatekeeper.judge import Judge, Refusal
from gatekeeper.policy import Policy


class Explanation(msgspec.Struct, frozen=True):
    """The verdict on a statement, and what the statement does, as far as it is understood.

    `rule` and `reason` say what refuses it, or is only reported, in report-only mode; `explained` is the kind of what
    an EXPLAIN explains. Tables are schema.table, columns schema.table.column, with * for all.
    """

    verdict: Literal["allowed", "refused", "reported"]
    role: str
    database: str | None
    rule: str | None = None
    reason: str | None = None
    kind: str | None = None
    explained: str | None = None
    effect: str | None = None
    tables_read: tuple[str, ...] = ()
    tables_written: tuple[str, ...] = ()
    tables_defined: tuple[str, ...] = ()
    columns_read: tuple[str, ...] = ()
    columns_written: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    procedures: tuple[str, ...] = ()
    digest: str | None = None


def explain(policy: Policy, role: str, text: str, database: str | None) -> Explanation:
    """What the gatekeeper would say to the statement, from a key of that role."""
    judged = Judge(policy, analyse).look(role, text, database)
    objection = judged.objection
    verdict: Literal["refused", "reported"] = "refused" if isinstance(judged.outcome, Refusal) else "reported"
    found = Explanation(
        verdict if objection else "allowed",
        role,
        judged.database or database,
        rule=objection.rule if objection else None,
        reason=objection.detail if objection else None,
        digest=judged.digest,
    )
    return _with_analysis(found, judged.analysis) if judged.analysis else found


def _with_analysis(found: Explanation, analysis: Analysis) -> Explanation:
    return msgspec.structs.replace(
        found,
        kind=analysis.kind,
        explained=analysis.explained,
        effect=analysis.effect,
        tables_read=_names(analysis.reads),
        tables_written=_names(analysis.writes),
        tables_defined=_names(analysis.defines),
        columns_read=_names(analysis.columns_read),
        columns_written=_names(analysis.columns_written),
        functions=tuple(sorted(analysis.functions)),
        procedures=_names(analysis.procedures),
    )


def _names(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted(".".join(filter(None, name)) for name in parts))
