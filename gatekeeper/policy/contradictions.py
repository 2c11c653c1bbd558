"""What makes no sense together in a role whose members are sound each for itself."""

from collections.abc import Callable, Iterator, Set

from gatekeeper.analysis.names import loosely
from gatekeeper.policy.lines import Place
from gatekeeper.policy.model import CHANGING, Role

_Found = Iterator[tuple[Place, str]]
_DEFINING = frozenset(
    {"create_table", "alter_table", "drop_table", "truncate", "rename_table", "create_index", "drop_index"}
)
_WRITING = CHANGING | _DEFINING - {"create_table"}


def contradictions(role: Role, unsound: Set[str]) -> _Found:
    """Where in the role, and what. Checks that look at an `unsound` member, whose value is not known, are left out."""
    for members, check in _CHECKS:
        if not unsound & members:
            yield from check(role)


def _default_implementation(role: Role) -> _Found:
    if role.default_implementation not in role.implementations:
        yield ("default_implementation",), f"{role.default_implementation} is not among implementations"


def _default_database(role: Role) -> _Found:
    if role.default_database is not None and role.default_database not in role.schemas():
        yield ("default_database",), f"neither read nor write names a table of {role.default_database}"


def _write(role: Role) -> _Found:
    if role.write and not role.kinds & _WRITING:
        yield ("write",), f"kinds has nothing that writes: {', '.join(sorted(_WRITING))}"


def _define(role: Role) -> _Found:
    if role.define and not role.kinds & _DEFINING:
        yield ("define",), f"kinds has nothing that defines: {', '.join(sorted(_DEFINING))}"


def _procedures(role: Role) -> _Found:
    if role.procedures and "call" not in role.kinds:
        yield ("procedures",), "kinds has no call"


def _columns_of(member: str, granted: str) -> Callable[[Role], _Found]:
    """Restricting a table that is not granted does nothing, so its name is likely a mistake."""

    def check(role: Role) -> _Found:
        # As restrictions match tables: one that a server may call equal counts as it.
        patterns = {loosely(pattern) for pattern in getattr(role, granted)}
        for table in getattr(role, member):
            if not {loosely(table), f"{loosely(table.partition('.')[0])}.*"} & patterns:
                yield (member, table), f"{granted} does not name this table"

    return check


def _burst(role: Role) -> _Found:
    if role.limits.burst is not None and role.limits.rate_per_second is None:
        yield ("limits", "burst"), "does nothing without rate_per_second"


_CHECKS: tuple[tuple[frozenset[str], Callable[[Role], _Found]], ...] = (
    (frozenset({"default_implementation", "implementations"}), _default_implementation),
    (frozenset({"default_database", "read", "write", "define", "procedures"}), _default_database),
    (frozenset({"write", "kinds"}), _write),
    (frozenset({"define", "kinds"}), _define),
    (frozenset({"procedures", "kinds"}), _procedures),
    (frozenset({"hidden", "read"}), _columns_of("hidden", "read")),
    (frozenset({"read_columns", "read"}), _columns_of("read_columns", "read")),
    (frozenset({"write_columns", "write"}), _columns_of("write_columns", "write")),
    (frozenset({"limits"}), _burst),
)
