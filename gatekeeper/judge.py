"""The judge: may this role run this statement, and as what? Analysis and decision, remembered by the text.

The caches are functools.lru_cache: bounded, safe between threads, and under gevent too, as neither analysis nor
decision holds a lock while it waits for the child. Refusals are remembered like verdicts. A changed policy is a new
judge.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar, TypeVarTuple, get_args

import msgspec

from contract.errors import Forbidden, GatekeeperError, StatementUnparsable
from contract.messages import Runnable
from gatekeeper.analysis import KINDS, MAX_CHARACTERS, Analysis, TableName, analyse, digest
from gatekeeper.analysis.apart import Stopped, shared
from gatekeeper.analysis.lexer import lex
from gatekeeper.analysis.parse import shorten
from gatekeeper.policy import Policy, Role, decide
from gatekeeper.rates import UNLIMITED, Limits

# Statements longer than this (characters) are judged anew each time, so that a cache is at most 16 MB of text or so.
MAX_REMEMBERED_CHARACTERS = 4096
CACHED_STATEMENTS = 4096
# A statement that is not understood is lexed once more for its digest, up to this length: 8 ms at most.
_MAX_DIGESTED_CHARACTERS = 65_536
_TOO_LARGE = "the statement is too large: it takes too long to understand"
_RUNNABLE: Final[dict[str, Runnable]] = {effect: effect for effect in get_args(Runnable)}

# What an analysis may name (tables, columns, functions) to be remembered: 4096 of the largest are about 100 MB. One
# with more, which a text of a few hundred characters can have, is made anew each time.
MAX_REMEMBERED_NAMES = 128

Analyse = Callable[[str, str | None], Analysis]
Arguments = TypeVarTuple("Arguments")


class Verdict(msgspec.Struct, frozen=True):
    """What is known of a statement that may run, and the limits of the role that runs it.

    `effect` is the label for the proxy; `database` the default schema it was judged with; `digest` names the statement
    in logs.
    """

    kind: str
    effect: Runnable
    digest: str
    database: str | None
    role: Role


class Refusal(msgspec.Struct, frozen=True):
    """An error as a value: one exception must not be raised twice, its traceback would grow."""

    error: type[GatekeeperError]
    detail: str
    rule: str | None

    def exception(self) -> GatekeeperError:
        """The error, to be raised."""
        return self.error(self.detail, rule=self.rule)


class Judged(msgspec.Struct, frozen=True):
    """What was decided of a statement, and what is known of it, as far as it was understood.

    `reported`: what the policy has against a statement that may run, as its role is in report-only mode. `reads`,
    `writes` and `defines` are the analysis's tables as schema.table, in order.
    """

    outcome: Verdict | Refusal
    reported: Refusal | None = None
    role: Role | None = None
    database: str | None = None
    digest: str | None = None
    analysis: Analysis | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()

    @property
    def objection(self) -> Refusal | None:
        """What is said against the statement, whether it may run or not."""
        return self.outcome if isinstance(self.outcome, Refusal) else self.reported


Found = TypeVar("Found")


class _Misread(msgspec.Struct, frozen=True):
    """A statement that is refused under every policy."""

    refusal: Refusal
    digest: str | None


class Judge:
    """Judges statements under one policy. What is not simple is analysed `apart`: by default in a child process."""

    def __init__(self, policy: Policy, apart: Analyse | None = None) -> None:
        self._policy = policy
        self._apart = apart or shared().analyse
        self._analysis = _remembering(self._analysed)
        self._remembered = _remembering(self._judged)

    def judge(self, role_name: str, text: str, database: str | None) -> Verdict:
        """The verdict on a statement; without a `database` the role's default one is taken.

        Raises Forbidden, with the rule that refuses it, StatementUnparsable, or Unavailable where too many large
        statements wait; nothing else.
        """
        outcome = self.look(role_name, text, database).outcome
        if isinstance(outcome, Refusal):
            raise outcome.exception()
        return outcome

    def look(self, role_name: str, text: str, database: str | None) -> Judged:
        """As `judge`, with refusals as values and all that is known of the statement. Raises Unavailable only."""
        if expired := self.expired(role_name):
            return Judged(expired)
        if len(text) > MAX_CHARACTERS:
            return Judged(Refusal(Forbidden, f"a statement may have {MAX_CHARACTERS} characters", "too_long"))
        judged = self._remembered if len(text) <= MAX_REMEMBERED_CHARACTERS else self._judged
        try:
            return judged(role_name, text, database)
        except Stopped:  # not remembered: the machine may have been busy
            return Judged(Refusal(Forbidden, _TOO_LARGE, "limit"), digest=_digest(text))

    def expired(self, role_name: str) -> Refusal | None:
        """What is said to every request of a role that has come to its end. Not remembered, as time goes on."""
        role = self._policy.roles.get(role_name)
        if role is None or role.expires is None or datetime.now(UTC) < role.expires:
            return None
        return Refusal(Forbidden, "the key's role has expired", "expired")

    def limits(self, role_name: str) -> Limits:
        """What all keys of the role together may ask."""
        role = self._policy.roles.get(role_name)
        return role.limits if role else UNLIMITED

    def role(self, role_name: str) -> Role:
        """The role of that name. Raises Forbidden where there is none, or it has expired."""
        if expired := self.expired(role_name):
            raise expired.exception()
        return self._policy.role(role_name)

    def _judged(self, role_name: str, text: str, named: str | None) -> Judged:
        role = self._policy.roles.get(role_name)
        database = role.default_database if role and named is None else named
        remembered = len(text) <= MAX_REMEMBERED_CHARACTERS
        found = self._analysis(text, database) if remembered else self._analysed(text, database)
        if isinstance(found, _Misread):
            return Judged(found.refusal, role=role, database=database, digest=found.digest)
        objection = self._objection(role_name, named, found)
        effect = _RUNNABLE.get(found.effect) if found.kind in KINDS else None
        outcome: Verdict | Refusal
        if role and effect and (objection is None or role.report_only):
            outcome, reported = Verdict(found.kind, effect, found.digest, database, role), objection
        else:
            outcome, reported = objection or Refusal(Forbidden, f"{found.kind} can't be run", "kind"), None
        known = (found.digest, found, _names(found.reads), _names(found.writes), _names(found.defines))
        return Judged(outcome, reported, role, database, *known)

    def _objection(self, role_name: str, named: str | None, found: Analysis) -> Refusal | None:
        """What the policy has against it."""
        try:
            role = self._policy.role(role_name)
            _check_database(role, named)
            decide(role, found)
        except Forbidden as error:
            return Refusal(type(error), error.detail, error.rule)
        return None

    def _analysed(self, text: str, database: str | None) -> Analysis | _Misread:
        try:
            return analyse(text, database, self._apart)
        except (Forbidden, StatementUnparsable) as error:
            return _Misread(Refusal(type(error), error.detail, error.rule), _digest(text))


class _NotKept(Exception):
    """Carries what is too large to be remembered past the cache."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


def _remembering(function: Callable[[*Arguments], Found]) -> Callable[[*Arguments], Found]:
    """The function, whose last results are remembered where they are small."""

    @lru_cache(CACHED_STATEMENTS)
    def kept(*args: *Arguments) -> Found:
        found = function(*args)
        if _names_in(found) > MAX_REMEMBERED_NAMES:
            raise _NotKept(found)
        return found

    def call(*args: *Arguments) -> Found:
        try:
            return kept(*args)
        except _NotKept as large:
            found: Found = large.found
            return found

    return call


def _names_in(found: object) -> int:
    analysis = found.analysis if isinstance(found, Judged) else found
    if not isinstance(analysis, Analysis):
        return 0
    sets = (getattr(analysis, field) for field in analysis.__struct_fields__)
    return sum(len(names) for names in sets if isinstance(names, frozenset))


def _check_database(role: Role, named: str | None) -> None:
    """The schema that a request names must be one that the role has tables in. Raises Forbidden."""
    if named is not None and named not in role.schemas():
        raise Forbidden(f"the database {named[:64]} is not open to this key", rule="database")


def _names(tables: frozenset[TableName]) -> tuple[str, ...]:
    return tuple(sorted(f"{schema}.{table}" if schema else table for schema, table in tables))


def _digest(text: str) -> str | None:
    """The digest of a statement that was not understood; None where it can't be lexed, or is long."""
    if len(text) > _MAX_DIGESTED_CHARACTERS:
        return None
    try:
        return digest(shorten(lex(text)))
    except Forbidden:
        return None
