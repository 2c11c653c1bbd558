"""Values on their way to JSON and back, without a server."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.values import is_binary, json_params, json_value, reader
from contract.errors import InvalidParameters

OUT = [
    ("null", None, None),
    ("true", True, True),
    ("integer", 42, 42),
    ("integer beyond a double's", 2**53 + 1, 9007199254740993),
    ("integer of 65 digits", 10**65 - 1, 10**65 - 1),
    ("float", 1.5, 1.5),
    ("text", "Łucja\0", "Łucja\0"),
    ("decimal keeps its zeros", Decimal("10.50"), "10.50"),
    ("decimal without exponent", Decimal("1E+3"), "1000"),
    ("bytes", b"\x00\xff", {"$bytes": "AP8="}),
    ("bytearray", bytearray(b"a"), {"$bytes": "YQ=="}),
    ("date", date(2020, 1, 2), "2020-01-02"),
    ("datetime", datetime(2020, 1, 2, 3, 4, 5), "2020-01-02 03:04:05"),
    ("datetime with microseconds", datetime(2020, 1, 2, 3, 4, 5, 6), "2020-01-02 03:04:05.000006"),
    ("time", time(3, 4, 5), "03:04:05"),
    ("duration", timedelta(hours=838, minutes=59, seconds=59), "838:59:59"),
    ("negative duration", -timedelta(milliseconds=1500), "-00:00:01.500000"),
    ("dictionary", {"a": [1, None]}, {"$json": {"a": [1, None]}}),
    ("dictionary that looks like bytes", {"$bytes": "YQ=="}, {"$json": {"$bytes": "YQ=="}}),
    ("list", [1], {"$json": [1]}),
]


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in OUT], ids=[case[0] for case in OUT])
def test_a_parameter_becomes_json(value: Any, expected: Any) -> None:
    assert json_value(value) == expected
    assert type(json_value(value)) is type(expected)


UNBINDABLE = [
    ("integer of 66 digits", -(10**65), "more than 65 digits"),
    ("integer that Python does not print", 10**5000, "more than 65 digits"),
    ("not a number", float("nan"), "float that is not finite"),
    ("infinity", float("-inf"), "float that is not finite"),
    ("decimal infinity", Decimal("Infinity"), "Decimal that is not finite"),
    ("signalling", Decimal("sNaN"), "Decimal that is not finite"),
    ("zoned datetime", datetime(2020, 1, 1, tzinfo=UTC), "time zone"),
    ("zoned time", time(1, tzinfo=UTC), "time zone"),
    ("set", {1}, "type set"),
    ("object", object(), "type object"),
    ("complex", 1j, "type complex"),
    ("json of a set", {"a": {1}}, "as JSON"),
    ("json of not a number", [float("nan")], "as JSON"),
]


@pytest.mark.parametrize(("value", "reason"), [case[1:] for case in UNBINDABLE], ids=[case[0] for case in UNBINDABLE])
def test_a_value_that_can_not_be_bound_is_refused_before_anything_is_sent(value: Any, reason: str) -> None:
    with pytest.raises(InvalidParameters, match=reason) as caught:
        json_value(value)
    assert caught.value.outcome == "not_executed"


def test_one_string_is_no_list_of_parameters() -> None:
    with pytest.raises(InvalidParameters, match="not one string"):
        json_params("abc")


def test_parameters_by_name_stay_by_name() -> None:
    assert json_params({"id": 1, "at": date(2020, 1, 2)}) == {"id": 1, "at": "2020-01-02"}


def test_parameters_by_position_may_be_a_tuple() -> None:
    assert json_params((1, None)) == [1, None]


IN = [
    ("INT", 42, 42),
    ("BIGINT", "-9223372036854775808", -(2**63)),
    ("BIGINT UNSIGNED", "18446744073709551615", 2**64 - 1),
    ("BIT", "18446744073709551615", 2**64 - 1),
    ("YEAR", 1999, 1999),
    ("DOUBLE", 1, 1.0),
    ("DECIMAL", "10.50", Decimal("10.50")),
    ("DATE", "2020-01-02", date(2020, 1, 2)),
    ("DATE", "0000-00-00", "0000-00-00"),
    ("DATE", "2020-00-10", "2020-00-10"),
    ("DATETIME", "2020-01-02 03:04:05.000006", datetime(2020, 1, 2, 3, 4, 5, 6)),
    ("DATETIME", "2020-01-02 03:04:05.5", datetime(2020, 1, 2, 3, 4, 5, 500_000)),
    ("TIMESTAMP", "0000-00-00 00:00:00", "0000-00-00 00:00:00"),
    ("TIME", "-838:59:59", -timedelta(hours=838, minutes=59, seconds=59)),
    ("TIME", "00:00:00.25", timedelta(milliseconds=250)),
    ("VARCHAR", "2020-01-02", "2020-01-02"),
    ("ENUM", "PG-13", "PG-13"),
    ("JSON", '{"a": 1}', '{"a": 1}'),
    ("BLOB", "AP8=", b"\x00\xff"),
    ("VECTOR", "AACAPw==", b"\x00\x00\x80\x3f"),
    ("A TYPE OF TOMORROW", "x", "x"),
]


@pytest.mark.parametrize(("column_type", "value", "expected"), IN, ids=[f"{case[0]} {case[1]}" for case in IN])
def test_a_value_of_an_answer_becomes_python(column_type: str, value: Any, expected: Any) -> None:
    assert reader(column_type)(value) == expected
    assert type(reader(column_type)(value)) is type(expected)


@pytest.mark.parametrize(
    ("column_type", "value"), [("DECIMAL", "ten"), ("INT", "ten"), ("BLOB", "*"), ("DOUBLE", "x")], ids=str
)
def test_a_value_that_is_not_of_its_type_is_noticed(column_type: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        reader(column_type)(value)


ROUND_TRIPS = [
    ("BIGINT", st.integers(-(2**63), 2**63 - 1)),
    ("BIGINT UNSIGNED", st.integers(0, 2**64 - 1)),
    ("DOUBLE", st.floats(allow_nan=False, allow_infinity=False)),
    ("DECIMAL", st.decimals(allow_nan=False, allow_infinity=False, places=30)),
    ("DATE", st.dates()),
    ("DATETIME", st.datetimes()),
    (
        "TIME",
        st.timedeltas(-timedelta(hours=838, minutes=59, seconds=59), timedelta(hours=838, minutes=59, seconds=59)),
    ),
    ("VARCHAR", st.text()),
]


@pytest.mark.parametrize(("column_type", "values"), ROUND_TRIPS, ids=[case[0] for case in ROUND_TRIPS])
@given(data=st.data())
def test_a_value_comes_back_from_its_json_as_it_went(
    column_type: str, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    assert reader(column_type)(json.loads(json.dumps(json_value(value)))) == value


@given(octets=st.binary())
def test_octets_come_back_as_they_went(octets: bytes) -> None:
    assert is_binary("BLOB")
    assert reader("BLOB")(json_value(octets)["$bytes"]) == octets
