"""The client as a module of PEP 249 (Python Database API 2.0). docs/client.md shows its use.

Every statement is a request and a transaction of its own, so a connection is always in autocommit.
See: https://peps.python.org/pep-0249/
"""

import re
import uuid
import warnings
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self, get_args

from client.dbapi_errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - the name that PEP 249 asks for
    translated,
)
from client.dbapi_types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from client.gateway import Client
from client.paramstyles import from_format
from client.result import Result
from client.values import Params
from contract.errors import GatekeeperError
from contract.messages import DEFAULT_TIMEOUT_MS

__all__ = [
    "BINARY", "DATETIME", "NUMBER", "ROWID", "STRING", "Binary", "Connection", "Cursor", "DataError", "DatabaseError",
    "Date", "DateFromTicks", "Error", "IntegrityError", "InterfaceError", "InternalError", "NotSupportedError",
    "OperationalError", "ProgrammingError", "Time", "TimeFromTicks", "Timestamp", "TimestampFromTicks", "Warning",
    "apilevel", "connect", "paramstyle", "threadsafety",
]  # fmt: skip

apilevel: Final = "2.0"
threadsafety: Final = 2  # threads may share the module and connections, not cursors
paramstyle: Final = "qmark"  # `:name` works too; connect() takes "format" for ORMs that write %s

# What has a key of its own; another beginning, a comment perhaps, has none and is sent once, as ever.
_WRITE: Final = re.compile(r"\s*(?:INSERT|REPLACE|UPDATE|DELETE)\b", re.IGNORECASE)

ParamStyle = Literal["qmark", "format"]
Row = tuple[Any, ...]
Description = tuple[str, str, None, None, None, None, None]


def connect(
    url: str,
    key: str,
    *,
    database: str | None = None,
    implementation: str | None = None,
    timeout_ms: int = DEFAULT_TIMEOUT_MS,
    ca: str | None = None,
    paramstyle: ParamStyle = "qmark",
    repeat_writes: bool = False,
) -> "Connection":
    """A connection to a gatekeeper; nothing is sent yet. The members are those of client.Client and its `query`.

    `paramstyle`: "format" takes `%s` and `%(name)s` for `?` and `:name`, and `%%` for `%`, in statements that are given
    parameters. `repeat_writes`: each INSERT, REPLACE, UPDATE and DELETE has an idempotency key of its own, and is sent
    again when its answer is lost; it takes effect once. Raises InterfaceError for a URL, key, CA file or style that
    can't be used.
    """
    if paramstyle not in get_args(ParamStyle):
        raise InterfaceError(f"paramstyle must be one of {', '.join(get_args(ParamStyle))}")
    try:
        client = Client(url, key, timeout_ms=timeout_ms, ca=ca)
    except ValueError as error:
        raise InterfaceError(str(error)) from None
    return Connection(
        client,
        database=database,
        implementation=implementation,
        paramstyle=paramstyle,
        repeat_writes=repeat_writes,
    )


class Connection:
    """A gatekeeper as a connection; may be shared by threads, and is a context manager that closes it."""

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(
        self,
        client: Client,
        *,
        database: str | None,
        implementation: str | None,
        paramstyle: ParamStyle,
        repeat_writes: bool = False,
    ) -> None:
        self._client: Client | None = client
        self._database = database
        self._implementation = implementation
        self._paramstyle = paramstyle
        self._repeat_writes = repeat_writes
        self._changed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def autocommit(self) -> bool:
        """Always True; set to False, it raises NotSupportedError."""
        return True

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if not value:
            raise NotSupportedError("every statement is a transaction of its own: autocommit can't be turned off")

    def cursor(self) -> "Cursor":
        """A new cursor."""
        self._open_client()
        return Cursor(self)

    def commit(self) -> None:
        """Nothing is left to do: what was executed is committed."""
        self._open_client()
        self._changed = False

    def rollback(self) -> None:
        """Nothing, unless rows were changed since the last commit(): then NotSupportedError, once, for they stay."""
        self._open_client()
        changed, self._changed = self._changed, False
        if changed:
            raise NotSupportedError("rows were changed, each statement was committed at once: nothing was rolled back")

    def close(self) -> None:
        """Close the pooled connections; cursors can't execute any more."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def run(self, operation: str, params: Params | None) -> Result:
        """Run one statement for a cursor. Raises the errors of PEP 249."""
        client = self._open_client()
        try:
            sql = operation if params is None or self._paramstyle == "qmark" else from_format(operation)
            key = uuid.uuid4().hex if self._repeat_writes and _WRITE.match(sql) else None
            result = client.query(
                sql,
                params or None,
                database=self._database,
                implementation=self._implementation,
                idempotency_key=key,
            )
        except GatekeeperError as error:
            raise translated(error) from error
        except ValueError as error:
            raise ProgrammingError(str(error)) from None
        self._changed = self._changed or result.affected_rows > 0
        return result

    def _open_client(self) -> Client:
        if self._client is None:
            raise InterfaceError("the connection is closed")
        return self._client


class Cursor:
    """Executes statements and gives their rows, all of which are in memory; iterating gives those not yet fetched.

    `rowcount`: rows of the answer, or rows that were changed; -1 before. `lastrowid`: the first AUTO_INCREMENT value
    that the last statement made, else None. `truncated`: the gateway cut rows off.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self._closed = False
        self._forget()

    def _forget(self) -> None:
        self.description: tuple[Description, ...] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.truncated = False
        self._rows: Sequence[Row] | None = None
        self._next = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Row]:
        return iter(self.fetchone, None)

    def execute(self, operation: str, parameters: Params | None = None) -> Self:
        """Run one statement: a sequence for `?`, a mapping for `:name`. Returns the cursor."""
        self._require_open()
        self._forget()
        self._show(self.connection.run(operation, parameters))
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[Params]) -> Self:
        """Run one statement for each element, a request each; those before one that fails stay. No rows are kept."""
        self._require_open()
        self._forget()
        changed = 0
        for parameters in seq_of_parameters:
            result = self.connection.run(operation, parameters)
            changed += result.affected_rows
            self.lastrowid = result.last_insert_id
        self.rowcount = changed
        return self

    def _show(self, result: Result) -> None:
        self.lastrowid = result.last_insert_id
        self.truncated = result.truncated
        self.rowcount = len(result.rows) if result.columns else result.affected_rows
        if result.columns:
            self.description = tuple((column.name, column.type, *(None,) * 5) for column in result.columns)
            self._rows = result.rows
        if result.truncated:
            warnings.warn(f"only the first {len(result.rows)} rows came: the rest was cut off", Warning, stacklevel=3)

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> tuple[Row, ...]:
        """The next `size` rows (`arraysize` if not given), or as many as there are."""
        return self._taken(self.arraysize if size is None else size)

    def fetchall(self) -> tuple[Row, ...]:
        """The rows that were not fetched yet."""
        return self._taken(None)

    def _taken(self, count: int | None) -> tuple[Row, ...]:
        """As a tuple, like other MySQL drivers: Django reads on until it gets an empty one, and takes [] for rows."""
        self._require_open()
        if self._rows is None:
            raise ProgrammingError("there are no rows to fetch: the last statement gave none, or none was executed")
        end = len(self._rows) if count is None else min(self._next + count, len(self._rows))
        start, self._next = self._next, end
        return tuple(self._rows[start:end])

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Nothing: PEP 249 asks for the method, and lets it do nothing."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Nothing, as above."""

    def close(self) -> None:
        """Forget the rows; the cursor can't be used any more."""
        self._closed = True
        self._forget()

    def _require_open(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed")
