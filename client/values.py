"""Python values to JSON parameters, and the values of an answer to Python, by column type. docs/api.md has the rules.

Nothing is lost on the way: what Python has no type for (zero dates, dates with a zero month) stays the server's text.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from contract.errors import InvalidParameters

# The gateway reads integers without loss up to DECIMAL's 65 digits (docs/api.md). They go as numbers, also beyond 2^53:
# as a string one would be bound as a string, which arithmetic turns into a DOUBLE.
_INTEGER_LIMIT = 10**65

Params = Sequence[Any] | Mapping[str, Any]

_TIME = re.compile(r"(-?)(\d{1,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)

_INTEGERS = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR", "BIT"})
_BINARY = frozenset({"BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "GEOMETRY", "VECTOR"})


def json_params(params: Params | None) -> list[Any] | dict[str, Any] | None:
    """The JSON form of a statement's parameters. Raises InvalidParameters for a value that has none."""
    if params is None:
        return None
    if isinstance(params, Mapping):
        return {name: json_value(value) for name, value in params.items()}
    if isinstance(params, str | bytes | bytearray):
        raise InvalidParameters("params must be a sequence for ? or a mapping for :name, not one string")
    return [json_value(value) for value in params]


def json_value(value: Any) -> Any:  # noqa: PLR0911 - one return a type
    """The JSON form of one parameter. Raises InvalidParameters, which names the type and never the value."""
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) < _INTEGER_LIMIT:
            return value
        case float() if math.isfinite(value):
            return value
        case Decimal() if value.is_finite():
            return format(value, "f")
        case bytes() | bytearray() | memoryview():
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        case date() | time() | timedelta():
            return _temporal_text(value)
        case dict() | list() | tuple():
            return {"$json": _checked_json(value)}
    raise InvalidParameters(f"a value of type {type(value).__name__}{_limit_of(value)} can't be bound")


def _limit_of(value: Any) -> str:
    if isinstance(value, int):
        return " of more than 65 digits"
    return " that is not finite" if isinstance(value, float | Decimal) else ""


def _temporal_text(value: date | time | timedelta) -> str:
    """As MySQL writes it. A time zone is refused: a DATETIME has none, and dropping it would change the moment."""
    if isinstance(value, timedelta):
        return _duration_text(value)
    if isinstance(value, datetime | time) and value.tzinfo is not None:
        raise InvalidParameters(f"a {type(value).__name__} with a time zone can't be bound: convert it, then drop it")
    return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()


def _duration_text(value: timedelta) -> str:
    seconds, rest = divmod(abs(value), _SECOND)
    micros = f".{rest // _MICROSECOND:06d}" if rest else ""
    sign = "-" if value < timedelta() else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{micros}"


def _checked_json(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParameters(f"a {type(value).__name__} can't be bound as JSON: {error}") from None
    return value


def is_binary(column_type: str) -> bool:
    """Whether the values of a column of this type are octets, which travel as base64."""
    return column_type in _BINARY


def reader(column_type: str) -> Callable[[Any], Any]:
    """What turns the JSON values of a column of this type (never null) into Python's; raises ValueError if it can't."""
    if column_type.removesuffix(" UNSIGNED") in _INTEGERS:
        return int
    return decoded if is_binary(column_type) else _READERS.get(column_type, _unchanged)


def decoded(text: str) -> bytes:
    """The octets of a base64 text. Raises ValueError for what is not base64."""
    return base64.b64decode(text, validate=True)


def _unchanged(value: Any) -> Any:
    return value


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise ValueError("not a decimal") from None


def _date(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


def _datetime(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _duration(text: str) -> timedelta | str:
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    sign, hours, minutes, seconds, fraction = match.groups()
    micros = int((fraction or "0").ljust(6, "0"))
    value = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds), microseconds=micros)
    return -value if sign else value


_READERS: dict[str, Callable[[Any], Any]] = {
    "DECIMAL": _decimal,
    "FLOAT": float,
    "DOUBLE": float,
    "DATE": _date,
    "DATETIME": _datetime,
    "TIMESTAMP": _datetime,
    "TIME": _duration,
}
