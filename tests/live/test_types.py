"""Every column type goes out and comes back as docs/api.md says, through gatekeeper, proxy and tunnel."""

import base64
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client import Client
from contract.implementations import IMPLEMENTATIONS
from tests.live.system_fixtures import LiveSystem

# A column's definition, and the values that are sent as parameters and must come back the same.
POINT = b"\0\0\0\0" + b"\x01\x01\0\0\0" + b"\0\0\0\0\0\0\xf0?" + b"\0\0\0\0\0\0\0@"


def octets(value: bytes) -> dict[str, str]:
    return {"$bytes": base64.b64encode(value).decode()}


EXACT: dict[str, tuple[str, str, list[Any]]] = {
    "tinyint": ("TINYINT", "TINYINT", [-128, 0, 127]),
    "tinyint unsigned": ("TINYINT UNSIGNED", "TINYINT UNSIGNED", [0, 255]),
    "boolean": ("BOOLEAN", "TINYINT", [0, 1]),
    "smallint": ("SMALLINT", "SMALLINT", [-32768, 32767]),
    "mediumint": ("MEDIUMINT", "MEDIUMINT", [-8388608, 8388607]),
    "int": ("INT", "INT", [-(2**31), 2**31 - 1]),
    "int unsigned": ("INT UNSIGNED", "INT UNSIGNED", [2**32 - 1]),
    "bigint": ("BIGINT", "BIGINT", [2**53 - 1, -(2**53) + 1, str(2**53), str(-(2**63)), str(2**63 - 1)]),
    "bigint unsigned": ("BIGINT UNSIGNED", "BIGINT UNSIGNED", [0, str(2**64 - 1)]),
    "decimal": ("DECIMAL(65,30)", "DECIMAL", ["0." + "0" * 29 + "1", "-" + "9" * 35 + "." + "9" * 30]),
    "float": ("FLOAT", "FLOAT", [0.0, 1.5, -0.25, 123456.0]),
    "double": ("DOUBLE", "DOUBLE", [0.0, 0.1, -1e308, 5e-300, math.pi]),
    "year": ("YEAR", "YEAR", [1901, 2155]),
    "date": ("DATE", "DATE", ["1000-01-01", "9999-12-31", "0000-00-00"]),
    "time": ("TIME(6)", "TIME", ["-838:59:59.000000", "838:59:59.000000", "00:00:00.000001"]),
    "datetime": ("DATETIME(6)", "DATETIME", ["1000-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999"]),
    "timestamp": ("TIMESTAMP(6) NULL", "TIMESTAMP", ["1970-01-01 00:00:01.000000", "2038-01-19 03:14:07.999999"]),
    "char": ("CHAR(10)", "CHAR", ["", "é€🎬"]),
    "varchar": ("VARCHAR(100)", "VARCHAR", ["", " a ", "a\0b'\"\\\n\r\x1a%_", "🎬"]),
    "tinytext": ("TINYTEXT", "TINYTEXT", ["x" * 255]),
    "text": ("TEXT", "TEXT", ["", "x" * 65535]),
    "mediumtext": ("MEDIUMTEXT", "MEDIUMTEXT", ["ü" * 70_000]),
    "longtext": ("LONGTEXT", "LONGTEXT", ["🎬" * 70_000]),
    "enum": ("ENUM('a','b','')", "ENUM", ["a", ""]),
    "set": ("SET('a','b')", "SET", ["", "a,b"]),
    "json": ("JSON", "LONGTEXT", ['{"a": [1, null, "é"]}', "null"]),
}
BINARY: dict[str, tuple[str, str, list[bytes]]] = {
    "binary": ("BINARY(4)", "BINARY", [b"\0\xff'\\", b"    "]),
    "varbinary": ("VARBINARY(300)", "VARBINARY", [b"", bytes(range(256))]),
    "tinyblob": ("TINYBLOB", "TINYBLOB", [b"", b"\xff" * 255]),
    "blob": ("BLOB", "BLOB", [bytes(range(256)) * 255]),
    "mediumblob": ("MEDIUMBLOB", "MEDIUMBLOB", [bytes(range(256)) * 300]),
    "longblob": ("LONGBLOB", "LONGBLOB", [b"\0" * 100_000]),
    "geometry": ("GEOMETRY", "GEOMETRY", [POINT]),
}
DEFINITIONS = {name: definition for name, (definition, _, _) in (EXACT | BINARY).items()} | {"bit": "BIT(64)"}


def table(name: str) -> str:
    return f"rental.types_{name.replace(' ', '_')}"


@pytest.fixture(scope="module")
def tables(system: LiveSystem) -> Iterator[LiveSystem]:
    """A table for each type, made by the administrator, as the gatekeeper lets nobody make one."""
    with system.admin() as connection, connection.cursor() as cursor:
        for name, definition in DEFINITIONS.items():
            cursor.execute(f"CREATE TABLE {table(name)} (id INT PRIMARY KEY, v {definition})")
    yield system
    with system.admin() as connection, connection.cursor() as cursor:
        for name in DEFINITIONS:
            cursor.execute(f"DROP TABLE {table(name)}")


@pytest.fixture(scope="module")
def client(tables: LiveSystem) -> Iterator[Client]:
    with tables.client() as client:
        yield client


def sent_and_returned(system: LiveSystem, name: str, parameters: list[Any]) -> tuple[str, list[Any]]:
    """The column's type and the values, of rows that were inserted with these parameters."""
    for number, parameter in enumerate([None, *parameters]):
        insert = f"REPLACE INTO {table(name)} VALUES (?, ?)"
        answer = system.send(json={"query": insert, "params": [number, parameter]})
        assert answer.status_code == 200, answer.text
    select = {"query": f"SELECT v FROM {table(name)} ORDER BY id", "implementation": "direct"}
    answer = system.send(json=select).json()
    return answer["columns"][0]["type"], [row[0] for row in answer["rows"]]


@pytest.mark.parametrize("name", EXACT)
def test_a_value_comes_back_as_it_was_sent(tables: LiveSystem, name: str) -> None:
    _, kind, values = EXACT[name]
    assert sent_and_returned(tables, name, values) == (kind, [None, *values])


@pytest.mark.parametrize("name", BINARY)
def test_octets_travel_as_base64(tables: LiveSystem, name: str) -> None:
    _, kind, values = BINARY[name]
    encoded = [base64.b64encode(value).decode() for value in values]
    assert sent_and_returned(tables, name, [octets(value) for value in values]) == (kind, [None, *encoded])


def test_bits_are_sent_as_a_number_and_come_back_as_one_that_every_reader_holds(tables: LiveSystem) -> None:
    assert sent_and_returned(tables, "bit", [0, 5, 2**64 - 1]) == ("BIT", [None, 0, 5, str(2**64 - 1)])


def test_a_json_parameter_is_bound_as_json_text(tables: LiveSystem) -> None:
    _, values = sent_and_returned(tables, "json", [{"$json": {"a": [1, "é'\\"]}}])
    assert values[1] == '{"a":[1,"é\'\\\\"]}'


PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(codec="utf-8"), max_size=200)


@PROPERTY
@given(
    text=TEXT,
    octets=st.binary(max_size=200),
    integer=st.integers(-(2**63), 2**64 - 1),
    double=st.floats(allow_nan=False, allow_infinity=False),
    decimal=st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**20), max_value=10**20),
)
def test_any_parameter_is_the_value_that_the_server_sees(client: Client, **values: Any) -> None:
    query = "SELECT :text, :octets, :integer, :double, CAST(:decimal AS DECIMAL(40,10))"
    assert list(client.query(query, values).rows[0]) == list(values.values())


@PROPERTY
@given(moment=st.datetimes(), length=st.timedeltas())
def test_any_time_goes_to_a_column_and_back(client: Client, moment: Any, length: Any) -> None:
    length %= type(length)(hours=838)
    client.query(f"REPLACE INTO {table('time')} VALUES (1, ?)", [length])
    client.query(f"REPLACE INTO {table('datetime')} VALUES (1, ?)", [moment])
    query = "SELECT t.v, d.v FROM {} t JOIN {} d ON d.id = t.id WHERE t.id = 1"
    row = client.query(query.format(table("time"), table("datetime")), implementation="direct").rows[0]
    assert list(row) == [length, moment]


def test_ten_thousand_answers_are_the_same_through_the_gateway_and_straight_from_the_database(
    system: LiveSystem,
) -> None:
    with ThreadPoolExecutor(4) as pool, system.client() as client:
        compared = pool.map(partial(_compared, system, client), range(4), [2_500] * 4)
        assert sum(compared) == 10_000


def _compared(system: LiveSystem, client: Client, part: int, count: int) -> int:
    """How many answers were compared, spread over implementations, tables and rows."""
    with system.admin() as connection, connection.cursor() as cursor:
        for number in range(part * count, (part + 1) * count):
            name, key, last = (("film", "film_id", 1000), ("customer", "customer_id", 500))[number % 2]
            query = f"SELECT * FROM rental.{name} WHERE {key} = "
            identity = number * 7919 % last + 1
            cursor.execute(f"{query}{identity}")
            straight = cursor.fetchall()
            through = client.query(f"{query}?", [identity], implementation=IMPLEMENTATIONS[number % 3])
            assert len(straight) == 1
            assert [_plain(value) for value in through.rows[0]] == [_plain(value) for value in straight[0]], query
    return count


def _plain(value: object) -> object:
    """A value without what the two drivers' types differ in."""
    return set(value.split(",")) if isinstance(value, str) and "," in value else value
