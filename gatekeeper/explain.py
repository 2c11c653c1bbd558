"""Why a statement is allowed or refused, for people who write a policy."""

from typing import Literal

import msgspec

from contract.errors import Forbidden, GatekeeperError, StatementUnparsable
from gatekeeper.analysis import Analysis, analyse
from gatekeeper.judge import Judge
from gatekeeper.policy import Policy


class Explanation(msgspec.Struct, frozen=True):
    """The verdict on a statement, and what the statement does, as far as it is understood.

    `rule` and `reason` say what refuses it; `explained` is the kind of what an EXPLAIN explains. Tables are
    schema.table, columns schema.table.column, with * for all.
    """

    verdict: Literal["allowed", "refused"]
    role: str
    database: str | None
    rule: str | None = None
    reason: str | None = None
    kind: str | None = None
    explained: str | None = None
    effect: str | None = None
    tables_read: tuple[str, ...] = ()
    tables_written: tuple[str, ...] = ()
    columns_read: tuple[str, ...] = ()
    columns_written: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    procedures: tuple[str, ...] = ()
    digest: str | None = None


def explain(policy: Policy, role: str, text: str, database: str | None) -> Explanation:
    """What the gatekeeper would say to the statement, from a key of that role."""
    if database is None and role in policy.roles:
        database = policy.roles[role].default_database
    refusal = _refusal(policy, role, text, database)
    found = Explanation(
        "refused" if refusal else "allowed",
        role,
        database,
        rule=refusal.rule if refusal else None,
        reason=refusal.detail if refusal else None,
    )
    try:
        return _with_analysis(found, analyse(text, database))
    except (Forbidden, StatementUnparsable):  # the judge has said why
        return found


def _refusal(policy: Policy, role: str, text: str, database: str | None) -> GatekeeperError | None:
    try:
        Judge(policy, analyse).judge(role, text, database)
    except GatekeeperError as error:
        return error
    return None


def _with_analysis(found: Explanation, analysis: Analysis) -> Explanation:
    def names(parts: frozenset[tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(sorted(".".join(filter(None, name)) for name in parts))

    return msgspec.structs.replace(
        found,
        kind=analysis.kind,
        explained=analysis.explained,
        effect=analysis.effect,
        tables_read=names(frozenset(analysis.reads)),
        tables_written=names(frozenset(analysis.writes)),
        columns_read=names(frozenset(analysis.columns_read)),
        columns_written=names(frozenset(analysis.columns_written)),
        functions=tuple(sorted(analysis.functions)),
        procedures=names(frozenset(analysis.procedures)),
        digest=analysis.digest,
    )
