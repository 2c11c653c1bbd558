"""The policy's form: frozen values, as they stand in the TOML file. docs/policy.md describes every member."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from contract.errors import Forbidden
from contract.messages import MAX_TIMEOUT_MS, SchemaName
from contract.transactions import MOST_OPEN
from contract.webhooks import WebhookPrefix
from gatekeeper.rates import UNLIMITED, Limits

Kind = Literal[
    "select",
    "insert",
    "replace",
    "update",
    "delete",
    "table",
    "values",
    "explain",
    "describe",
    "show",
    "call",
    "create_table",
    "alter_table",
    "drop_table",
    "truncate",
    "rename_table",
    "create_index",
    "drop_index",
]
CHANGING: Final = frozenset({"insert", "replace", "update", "delete"})
Implementation = Literal["direct_hit", "random_hit", "customized_hit"]

# Letters, digits, _, $ and - in any script; a table's name may have inner spaces. `*` stands for every table.
TablePattern = Annotated[str, msgspec.Meta(pattern=r"^[\w$-]{1,64}\.(\*|[\w$-]([\w$ -]{0,62}[\w$-])?)\Z")]
TableName = Annotated[str, msgspec.Meta(pattern=r"^[\w$-]{1,64}\.[\w$-]([\w$ -]{0,62}[\w$-])?\Z")]
FunctionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z_][a-z0-9_]*\Z")]
ColumnName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
RoleName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
_MOST = 2**63 - 1  # JSON's readers take integers of 64 bits


class PolicyError(ValueError):
    """The policy makes no sense; every mistake is named, with its member and what is allowed there."""


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the keys of one role may do. Whatever a member does not grant is refused.

    `max_rows`, `max_result_bytes`: what is beyond is cut off. `max_timeout_ms`: milliseconds, for the whole request.
    `max_affected_rows`: a write that changes more is rolled back and refused. The proxy holds these four.
    `webhooks`: what the addresses of webhooks begin with, each with its host and a slash at its end.
    `max_transactions`: of several requests, that a key may hold open at each proxy.
    `report_only`: what the policy would refuse is only reported, and runs; `record`: what is asked is recorded.
    """

    kinds: frozenset[Kind]
    read: tuple[TablePattern, ...] = ()
    write: tuple[TablePattern, ...] = ()
    define: tuple[TablePattern, ...] = ()
    hidden: dict[TableName, tuple[ColumnName, ...]] = {}
    read_columns: dict[TableName, tuple[ColumnName, ...]] = {}
    write_columns: dict[TableName, tuple[ColumnName, ...]] = {}
    functions: frozenset[FunctionName] = frozenset()
    procedures: frozenset[TableName] = frozenset()
    where_required: bool = True
    report_only: bool = False
    record: bool = False
    default_database: SchemaName | None = None
    implementations: frozenset[Implementation] = frozenset({"direct_hit", "random_hit", "customized_hit"})
    default_implementation: Implementation = "customized_hit"
    max_rows: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] = 10_000
    max_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=MAX_TIMEOUT_MS)] = 30_000
    max_result_bytes: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] | None = None
    max_affected_rows: Annotated[int, msgspec.Meta(ge=0, le=_MOST)] | None = None
    webhooks: tuple[WebhookPrefix, ...] = ()
    max_transactions: Annotated[int, msgspec.Meta(ge=0, le=MOST_OPEN)] = 0
    limits: Limits = UNLIMITED
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def may_write(self) -> bool:
        """Whether any statement of the role may change rows."""
        return self.report_only or not self.kinds.isdisjoint(CHANGING)

    def schemas(self) -> frozenset[str]:
        """The schemas that the role's patterns and procedures name."""
        return frozenset(name.partition(".")[0] for name in (*self.read, *self.write, *self.define, *self.procedures))


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All roles, by name."""

    roles: dict[RoleName, Role]

    def role(self, name: str) -> Role:
        """The role of this name. Raises Forbidden (rule role) for one that the policy does not have."""
        try:
            return self.roles[name]
        except KeyError:
            raise Forbidden("the key's role is not in the policy", rule="role") from None
