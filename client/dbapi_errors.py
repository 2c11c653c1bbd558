"""The exceptions of PEP 249, and which of them an error of the gateway becomes.

    Exception
    ├── Warning                  also a Python warning: an answer whose rows were cut off
    └── Error
        ├── InterfaceError       wrong use of this module: a closed cursor, a URL that is none
        └── DatabaseError
            ├── DataError        a value that does not fit (SQLSTATE class 22)
            ├── OperationalError the gateway, a node or the deadline; the rate; the key
            ├── IntegrityError   a key, a reference, NOT NULL, CHECK (SQLSTATE class 23)
            ├── InternalError    a fault of the gateway itself
            ├── ProgrammingError the statement or its parameters; a refusal by the policy
            └── NotSupportedError

See: https://peps.python.org/pep-0249/#exceptions
"""

import builtins
from typing import Final

from contract import errors


class Warning(builtins.Warning):  # noqa: A001 - the name that PEP 249 asks for
    """Something that the caller should know, and no error: rows were cut off."""


class Error(Exception):
    """The root. `args` is (errno, text) where a database spoke, as with other MySQL drivers, else (text,).

    The members are those of the gateway's problem: `outcome` (`not_executed`, `rolled_back`, `unknown`), `retryable`,
    `rule` of a refusal, `mysql_errno` and `sqlstate` of a database. `__cause__` is the error of contract.errors.
    """

    mysql_errno: int | None = None
    sqlstate: str | None = None
    outcome: errors.Outcome = "not_executed"
    retryable: bool = False
    rule: str | None = None
    request_id: str | None = None


class InterfaceError(Error):
    """The module was used wrongly."""


class DatabaseError(Error):
    """What concerns the database or the way to it."""


class DataError(DatabaseError):
    """A value is out of range, too long, or not of the column's type."""


class OperationalError(DatabaseError):
    """Nothing that the program did: no node, a lost connection, the deadline, a deadlock, the rate, the key."""


class IntegrityError(DatabaseError):
    """A key, a reference, a NOT NULL or a CHECK would be violated."""


class InternalError(DatabaseError):
    """A fault of the gateway; its log has it under `request_id`."""


class ProgrammingError(DatabaseError):
    """The statement is wrong, or its parameters do not fit, or the policy refuses it (`rule`)."""


class NotSupportedError(DatabaseError):
    """Asked for what is not there: transactions over several requests."""


# The first two characters of an SQLSTATE are its class (SQL standard; MySQL 9 manual, B.1).
_BY_SQLSTATE_CLASS: Final[dict[str, type[DatabaseError]]] = {
    "0A": NotSupportedError,
    "21": ProgrammingError,
    "22": DataError,
    "23": IntegrityError,
    "42": ProgrammingError,
}

# Errors whose SQLSTATE is a general one (HY000, 42000, 01000) and says less than their number. MySQL 9 error reference.
_BY_ERRNO: Final[dict[int, type[DatabaseError]]] = {
    1048: IntegrityError,  # ER_BAD_NULL_ERROR
    1215: IntegrityError,  # ER_CANNOT_ADD_FOREIGN
    1364: IntegrityError,  # ER_NO_DEFAULT_FOR_FIELD
    3819: IntegrityError,  # ER_CHECK_CONSTRAINT_VIOLATED of MySQL
    4025: IntegrityError,  # ER_CONSTRAINT_FAILED of MariaDB
    1265: DataError,  # WARN_DATA_TRUNCATED
    1366: DataError,  # ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
    1235: NotSupportedError,  # ER_NOT_SUPPORTED_YET
}

_BY_ERROR: Final[tuple[tuple[type[errors.GatekeeperError], type[DatabaseError]], ...]] = (
    (errors.BadRequest, ProgrammingError),
    (errors.Forbidden, ProgrammingError),
    (errors.StatementUnparsable, ProgrammingError),
    (errors.TooLarge, ProgrammingError),
)


def translated(error: errors.GatekeeperError) -> DatabaseError:
    """The exception of PEP 249 that an error of the gateway becomes; to be raised from it."""
    number = error.mysql_errno
    found = _kind(error)(error.detail) if number is None else _kind(error)(number, error.detail)
    found.mysql_errno, found.sqlstate = number, error.sqlstate
    found.outcome, found.retryable = error.outcome, error.retryable
    found.rule, found.request_id = error.rule, error.request_id
    return found


def _kind(error: errors.GatekeeperError) -> type[DatabaseError]:
    if error.mysql_errno is not None:
        by_class = _BY_SQLSTATE_CLASS.get((error.sqlstate or "")[:2], OperationalError)
        return _BY_ERRNO.get(error.mysql_errno, by_class)
    if error.status == errors.InternalError.status:
        return InternalError
    return next((kind for cause, kind in _BY_ERROR if isinstance(error, cause)), OperationalError)
