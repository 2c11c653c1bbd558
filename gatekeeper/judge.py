"""The judge: may this role run this statement, and as what? Analysis and decision, remembered by the text.

The caches are functools.lru_cache: bounded, safe between threads, and under gevent too, as neither analysis nor
decision holds a lock while it waits for the child. Refusals are remembered like verdicts. A changed policy is a new
judge.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import msgspec

from contract.errors import Forbidden, GatekeeperError, StatementUnparsable
from gatekeeper.analysis import MAX_CHARACTERS, Analysis, analyse
from gatekeeper.analysis.apart import Stopped, shared
from gatekeeper.policy import Policy, Role, decide

# Statements longer than this (characters) are judged anew each time, so that a cache is at most 16 MB of text or so.
MAX_REMEMBERED_CHARACTERS = 4096
CACHED_STATEMENTS = 4096

Analyse = Callable[[str, str | None], Analysis]


class Verdict(msgspec.Struct, frozen=True):
    """What is known of a statement that may run, and the limits of the role that runs it.

    `effect` is the label for the proxy; `database` the default schema it was judged with; `digest` names the statement
    in logs.
    """

    kind: str
    effect: Literal["read", "write"]
    digest: str
    database: str | None
    role: Role


class _Refusal(msgspec.Struct, frozen=True):
    """An error as a value: one exception must not be raised twice, its traceback would grow."""

    error: type[GatekeeperError]
    detail: str
    rule: str | None


class Judge:
    """Judges statements under one policy. What is not simple is analysed `apart`: by default in a child process."""

    def __init__(self, policy: Policy, apart: Analyse | None = None) -> None:
        self._policy = policy
        self._apart = apart or shared().analyse
        self._analysis = lru_cache(CACHED_STATEMENTS)(self._analysed)
        self._remembered = lru_cache(CACHED_STATEMENTS)(self._verdict)

    def judge(self, role_name: str, text: str, database: str | None) -> Verdict:
        """The verdict on a statement; without a `database` the role's default one is taken.

        Raises Forbidden, with the rule that refuses it, StatementUnparsable, or Unavailable where too many large
        statements wait; nothing else.
        """
        if len(text) > MAX_CHARACTERS:
            raise Forbidden(f"a statement may have {MAX_CHARACTERS} characters", rule="too_long")
        judged = self._remembered if len(text) <= MAX_REMEMBERED_CHARACTERS else self._verdict
        try:
            found = judged(role_name, text, database)
        except Stopped:
            raise Forbidden("the statement is too large: it takes too long to understand", rule="limit") from None
        if isinstance(found, _Refusal):
            raise found.error(found.detail, rule=found.rule)
        return found

    def _verdict(self, role_name: str, text: str, database: str | None) -> Verdict | _Refusal:
        try:
            role = self._policy.role(role_name)
            database = _database(role, database)
            remembered = len(text) <= MAX_REMEMBERED_CHARACTERS
            found = self._analysis(text, database) if remembered else self._analysed(text, database)
            if isinstance(found, _Refusal):
                return found
            decide(role, found)
        except Forbidden as error:
            return _Refusal(type(error), error.detail, error.rule)
        effect: Literal["read", "write"] = "read" if found.effect == "read" else "write"
        return Verdict(found.kind, effect, found.digest, database, role)

    def _analysed(self, text: str, database: str | None) -> Analysis | _Refusal:
        try:
            return analyse(text, database, self._apart)
        except (Forbidden, StatementUnparsable) as error:
            return _Refusal(type(error), error.detail, error.rule)


def _database(role: Role, database: str | None) -> str | None:
    """The default schema: the one asked for, which must be one that the role has tables in, else the role's."""
    if database is None:
        return role.default_database
    if database not in role.schemas():
        raise Forbidden(f"the database {database[:64]} is not open to this key", rule="database")
    return database
