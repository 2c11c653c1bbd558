"""How values travel: JSON to SQL literals, and the server's text to JSON. docs/api.md has the table of types."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec
from pymysql.constants import FIELD_TYPE, FLAG

from contract.errors import InvalidParameters
from contract.messages import Column

# RFC 7493 (I-JSON), section 2.2: integers beyond this are not exact for every reader, so they travel as strings.
MAX_EXACT_INTEGER = 2**53 - 1
# DECIMAL's most digits (MySQL 9 manual, 13.1.3): a longer integer literal would become a DOUBLE, with loss.
MAX_INTEGER_DIGITS = 65

# What the manual's "String Literals" section lists as escape sequences that can't stand for themselves.
_ESCAPES = str.maketrans(
    {"\0": "\\0", "'": "\\'", '"': '\\"', "\b": "\\b", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z", "\\": "\\\\"}
)

_BINARY_CHARSET = 63


def literal(value: Any) -> str:
    """The SQL literal of a parameter. Raises InvalidParameters for what can't be bound.

    A negative number is preceded by a space, so that it can't make a comment of a minus sign before it.
    """
    match value:
        case None | bool():
            return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
        case int():
            return _integer(value)
        case float():
            text = repr(value)
            return f" {text}" if "e" in text else f" {text}e0"
        case str():
            return f"'{value.translate(_ESCAPES)}'"
        case _:
            return _tagged(value)


def _tagged(value: Any) -> str:
    match value:
        case {"$bytes": str(text)} if len(value) == 1:
            return f"x'{_decoded(text).hex()}'"
        case {"$json": document} if len(value) == 1:
            return literal(msgspec.json.encode(document).decode())
    raise InvalidParameters(
        "a parameter can't be bound: null, true, false, a number, a string,"
        ' {"$bytes": "<base64>"} or {"$json": ...} was expected'
    )


def _integer(value: int) -> str:
    text = str(value)
    if len(text.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise InvalidParameters(f"a parameter can't be bound: an integer of more than {MAX_INTEGER_DIGITS} digits")
    return f" {text}"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameters('a parameter can\'t be bound: "$bytes" is not base64') from None


def _exact_integer(text: str) -> int | str:
    number = int(text)
    return number if -MAX_EXACT_INTEGER <= number <= MAX_EXACT_INTEGER else text


def _bit(octets: bytes) -> int | str:
    number = int.from_bytes(octets, "big")
    return number if number <= MAX_EXACT_INTEGER else str(number)


# The driver calls these with the server's text (BIT: octets). A type that is not here travels as that text; octets
# (a column of the binary character set) become base64 when the answer is encoded.
DECODERS: dict[int | type[Any], Callable[[Any], Any]] = {
    **dict.fromkeys((FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.YEAR), int),
    FIELD_TYPE.LONGLONG: _exact_integer,
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float),
    FIELD_TYPE.BIT: _bit,
}

_NAMES = {
    FIELD_TYPE.TINY: "TINYINT",
    FIELD_TYPE.SHORT: "SMALLINT",
    FIELD_TYPE.INT24: "MEDIUMINT",
    FIELD_TYPE.LONG: "INT",
    FIELD_TYPE.LONGLONG: "BIGINT",
    FIELD_TYPE.DECIMAL: "DECIMAL",
    FIELD_TYPE.NEWDECIMAL: "DECIMAL",
    FIELD_TYPE.FLOAT: "FLOAT",
    FIELD_TYPE.DOUBLE: "DOUBLE",
    FIELD_TYPE.YEAR: "YEAR",
    FIELD_TYPE.BIT: "BIT",
    FIELD_TYPE.DATE: "DATE",
    FIELD_TYPE.NEWDATE: "DATE",
    FIELD_TYPE.TIME: "TIME",
    FIELD_TYPE.DATETIME: "DATETIME",
    FIELD_TYPE.TIMESTAMP: "TIMESTAMP",
    FIELD_TYPE.JSON: "JSON",
    FIELD_TYPE.GEOMETRY: "GEOMETRY",
    FIELD_TYPE.ENUM: "ENUM",
    FIELD_TYPE.SET: "SET",
    FIELD_TYPE.NULL: "NULL",
    242: "VECTOR",  # enum_field_types::MYSQL_TYPE_VECTOR (MySQL 9 field_types.h); the driver has no name for it
}
_INTEGERS = frozenset({FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG})
_STRINGS = {
    FIELD_TYPE.VARCHAR: ("VARCHAR", "VARBINARY"),
    FIELD_TYPE.VAR_STRING: ("VARCHAR", "VARBINARY"),
    FIELD_TYPE.STRING: ("CHAR", "BINARY"),
}
# The sizes of the BLOB types are told apart by the longest value in bytes; TEXT in utf8mb4 has four times that.
_BLOB_SIZES = ((0xFF, "TINY"), (0xFFFF, ""), (0xFFFFFF, "MEDIUM"), (0xFFFFFFFF, "LONG"))


def column(name: str, type_code: int, flags: int, charset: int, length: int) -> Column:
    """The column of an answer for a field's definition in the protocol. `length`: the longest value in bytes."""
    return Column(name, _type_name(type_code, flags, charset == _BINARY_CHARSET, length))


def _type_name(type_code: int, flags: int, binary: bool, length: int) -> str:
    if flags & FLAG.ENUM:
        return "ENUM"
    if flags & FLAG.SET:
        return "SET"
    if type_code in _INTEGERS:
        return _NAMES[type_code] + (" UNSIGNED" if flags & FLAG.UNSIGNED else "")
    if type_code in _STRINGS:
        return _STRINGS[type_code][binary]
    if type_code in _NAMES:
        return _NAMES[type_code]
    longest = length if binary else length // 4
    prefix = next((prefix for limit, prefix in _BLOB_SIZES if longest <= limit), "LONG")
    return prefix + ("BLOB" if binary else "TEXT")
