import pytest
from pymysql.constants import FIELD_TYPE, FLAG

from contract.errors import InvalidParameters
from proxy.values import DECODERS, MAX_EXACT_INTEGER, column, literal

LITERALS = {
    "null": (None, "NULL"),
    "true": (True, "TRUE"),
    "false": (False, "FALSE"),
    "integer": (42, " 42"),
    "negative": (-1, " -1"),
    "beyond 64 bits": (2**64, " 18446744073709551616"),
    "float": (0.1, " 0.1e0"),
    "float with exponent": (1e300, " 1e+300"),
    "text": ("O'Brien", "'O\\'Brien'"),
    "every escape": ("\0\b\n\r\x1a\"'\\", "'\\0\\b\\n\\r\\Z\\\"\\'\\\\'"),
    "beyond the basic plane": ("🎬", "'🎬'"),
    "bytes": ({"$bytes": "AP8="}, "x'00ff'"),
    "no bytes": ({"$bytes": ""}, "x''"),
    "json": ({"$json": {"a": [1, "b'"]}}, '\'{\\"a\\":[1,\\"b\\\'\\"]}\''),
}


@pytest.mark.parametrize(("value", "text"), LITERALS.values(), ids=LITERALS.keys())
def test_a_parameter_becomes_a_literal(value: object, text: str) -> None:
    assert literal(value) == text


UNBINDABLE = {
    "array": [1],
    "object": {"a": 1},
    "tagged and more": {"$bytes": "AA==", "x": 1},
    "not base64": {"$bytes": "%%%"},
    "bytes that are no text": {"$bytes": 1},
    "an integer that DECIMAL can't hold": 10**65,
}


@pytest.mark.parametrize("value", UNBINDABLE.values(), ids=UNBINDABLE.keys())
def test_what_cannot_be_bound_is_refused(value: object) -> None:
    with pytest.raises(InvalidParameters, match="can't be bound"):
        literal(value)


def test_integers_that_not_every_reader_holds_exactly_travel_as_strings() -> None:
    decode = DECODERS[FIELD_TYPE.LONGLONG]
    assert decode(str(MAX_EXACT_INTEGER)) == MAX_EXACT_INTEGER
    assert decode(str(MAX_EXACT_INTEGER + 1)) == str(MAX_EXACT_INTEGER + 1)
    assert decode(str(-MAX_EXACT_INTEGER - 1)) == str(-MAX_EXACT_INTEGER - 1)
    assert DECODERS[FIELD_TYPE.BIT](b"\xff" * 8) == str(2**64 - 1)
    assert DECODERS[FIELD_TYPE.BIT](b"\x05") == 5


TYPES = {
    "TINYINT": (FIELD_TYPE.TINY, 0, 63, 4),
    "BIGINT UNSIGNED": (FIELD_TYPE.LONGLONG, FLAG.UNSIGNED, 63, 20),
    "DECIMAL": (FIELD_TYPE.NEWDECIMAL, FLAG.UNSIGNED, 63, 10),
    "VARCHAR": (FIELD_TYPE.VAR_STRING, 0, 45, 400),
    "VARBINARY": (FIELD_TYPE.VAR_STRING, 0, 63, 100),
    "CHAR": (FIELD_TYPE.STRING, 0, 45, 4),
    "BINARY": (FIELD_TYPE.STRING, 0, 63, 4),
    "ENUM": (FIELD_TYPE.STRING, FLAG.ENUM, 45, 20),
    "SET": (FIELD_TYPE.STRING, FLAG.SET, 45, 20),
    "TINYTEXT": (FIELD_TYPE.BLOB, 0, 45, 1020),
    "TEXT": (FIELD_TYPE.BLOB, 0, 45, 262140),
    "MEDIUMTEXT": (FIELD_TYPE.BLOB, 0, 45, 67108860),
    "LONGTEXT": (FIELD_TYPE.BLOB, 0, 45, 4294967295),
    "TINYBLOB": (FIELD_TYPE.BLOB, 0, 63, 255),
    "BLOB": (FIELD_TYPE.BLOB, 0, 63, 65535),
    "MEDIUMBLOB": (FIELD_TYPE.BLOB, 0, 63, 16777215),
    "LONGBLOB": (FIELD_TYPE.BLOB, 0, 63, 4294967295),
    "JSON": (FIELD_TYPE.JSON, 0, 63, 4294967295),
    "GEOMETRY": (FIELD_TYPE.GEOMETRY, 0, 63, 4294967295),
}


@pytest.mark.parametrize(("name", "field"), TYPES.items(), ids=TYPES.keys())
def test_a_column_has_the_name_of_its_mysql_type(name: str, field: tuple[int, int, int, int]) -> None:
    assert column("c", *field).type == name
