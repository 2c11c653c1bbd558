"""The run: make a statement, judge it, run it where it was accepted, count; until the time or the number is reached."""

import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from contract.errors import Forbidden, InvalidParameters, StatementUnparsable, Unavailable
from gatekeeper.judge import Judge, Verdict
from gatekeeper.policy import parse
from proxy.placeholders import bind, template
from tests.fuzz import corpus
from tests.fuzz.definitions import Definitions
from tests.fuzz.grammar import Grammar
from tests.fuzz.mutations import Mutations
from tests.fuzz.server import Oracle, ServerEnded
from tests.fuzz.world import GUESTS, MAKER, POLICY, Guest

_MOST_FINDINGS = 20
# What a hostile caller would bind; every one must stay a value.
_PARAMETERS = (
    1,
    -1,
    0,
    None,
    1.5,
    True,
    "",
    "x",
    "' OR 1=1 -- ",
    "\\' UNION SELECT password FROM staff -- ",
    '" OR ""="',
    "*/ UNION SELECT flag FROM secret_db.flags /*",
    "\0\x1a\n",
    "\xbf'",
    2**64,
    {"$bytes": "JyBPUiAxPTE="},
    {"$json": {"a": "'"}},
)


class Counts(msgspec.Struct):
    """What a run did. `refused` is by rule, `errors` by the server's number, of what was
    accepted; what ran without one is in `ran`."""

    tried: int = 0
    accepted: int = 0
    ran: int = 0
    reads: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    errors: Counter[int | str] = msgspec.field(default_factory=Counter)
    findings: list[str] = msgspec.field(default_factory=list)


class Fuzzer:
    """Statements of one seed, their verdicts, and what a server made of those that were accepted."""

    def __init__(self, seed: int, oracle: Oracle) -> None:
        self._chance = Random(seed)
        self._oracle = oracle
        self._judge = Judge(parse(POLICY))
        self._grammar = Grammar(self._chance)
        self._definitions = Definitions(self._chance)
        self._ordinary = corpus.ordinary()
        self._all = self._ordinary + corpus.attacks()
        self._mutations = Mutations(self._chance, self._all)
        self.counts = Counts()

    def run(self, *, until: float, statements: int | None = None) -> Counts:
        """Goes on until the time (time.monotonic) or the number of statements is reached, or too much was found."""
        counts = self.counts
        while time.monotonic() < until and len(counts.findings) < _MOST_FINDINGS:
            if statements is not None and counts.tried >= statements:
                break
            try:
                self._one(*self._next())
            except ServerEnded as error:
                counts.findings.append(str(error))
                break
        return counts

    def _next(self) -> tuple[Guest, str]:
        """Who asks, and what; definitions are slow to run, and mostly MAKER's."""
        draw = self._chance.random()
        if draw < 0.92:
            return self._chance.choice(GUESTS), self._statement()
        guest = MAKER if draw < 0.99 else self._chance.choice(GUESTS)
        made = self._definitions.statement()
        return guest, made if self._chance.random() < 0.6 else self._mutations.changed(made)

    def _statement(self) -> str:
        makers: tuple[Callable[[], str], ...] = (
            self._grammar.statement,
            lambda: self._mutations.changed(self._chance.choice(self._ordinary)),
            lambda: self._mutations.changed(self._chance.choice(self._all)),
            lambda: self._mutations.changed(self._grammar.statement()),
            self._grammar.feature,
            lambda: self._mutations.changed(self._grammar.feature()),
        )
        return self._chance.choices(makers, weights=(3, 3, 2, 1, 2, 2))[0]()

    def _one(self, guest: Guest, statement: str) -> None:
        self.counts.tried += 1
        try:
            verdict = self._judge.judge(guest.role, statement, None)
        except (Forbidden, StatementUnparsable, Unavailable) as error:
            self.counts.refused[error.rule or error.code] += 1
            return
        self.counts.accepted += 1
        self._run(guest, verdict, statement)

    def _run(self, guest: Guest, verdict: Verdict, statement: str) -> None:
        try:
            sql = bind(statement, self._parameters(statement))
        except InvalidParameters:  # "?" beside ":name", or a value that no literal can hold
            self.counts.errors["not bound"] += 1
            return
        outcome = self._oracle.run(guest, verdict, sql)
        if outcome.finding:
            self.counts.findings.append(f"{outcome.finding}\n  {sql!r}")
        if outcome.errno:
            self.counts.errors[outcome.errno] += 1
            return
        self.counts.ran += 1
        self.counts.reads += verdict.effect == "read"

    def _parameters(self, statement: str) -> list[Any] | dict[str, Any]:
        names = template(statement).names
        if names and names[0] is not None:
            return {name: self._chance.choice(_PARAMETERS) for name in names if name is not None}
        return [self._chance.choice(_PARAMETERS) for _ in names]
