"""What the benchmark asks, and what it takes for the right answer."""

import json
import re
from decimal import Decimal

import msgspec
import pytest

from benchmark import exchanges, shapes
from benchmark.exchanges import Exchange
from benchmark.shapes import INSERT, JOIN, KEY_MARK, POINT, RANGE, Asked, Keys, Question

FILM = (42, 'THE "DUSTY" ORCHARD', Decimal("0.90"))
OTHER = (43, "ÉCLAIR", Decimal("3.00"))
POINTS = Asked(POINT, (Question((42,), (FILM,)),))
RANGES = Asked(RANGE, (Question((42, 43), (FILM, OTHER)),))
JOINS = Asked(JOIN, (Question((42,), ((7, "ANNE", "LEE"), (9, "JOE", "RAY"))),))
INSERTS = Asked(
    INSERT,
    (
        Question(
            (shapes.KEY, "kept"),
        ),
    ),
)
EVERY = [POINTS, RANGES, JOINS, INSERTS]
EACH_SHAPE = pytest.mark.parametrize("asked", EVERY, ids=[asked.shape.name for asked in EVERY])


def body_of(exchange: Exchange) -> dict[str, object]:
    found: dict[str, object] = json.loads(exchange.request.partition(b"\r\n\r\n")[2])
    return found


def test_ranges_have_a_hundred_rows_each_and_reach_the_last_film() -> None:
    films = tuple((number, f"FILM {number}", Decimal(1)) for number in range(1, 1001))
    asked = shapes.ranges_of(films)
    assert {len(question.rows) for question in asked.questions} == {100}
    assert asked.questions[0].params == (1, 100)
    assert int(asked.questions[-1].params[1]) >= 990


def test_a_film_with_more_actors_than_every_target_gives_is_not_asked_for() -> None:
    joined = (*((1, number, "A", "B") for number in range(21)), (2, 5, "A", "B"), (2, 6, "C", "D"))
    assert shapes.joins_of(joined).questions == (Question((2,), ((5, "A", "B"), (6, "C", "D"))),)


def test_keys_are_new_each_time_and_another_clients_are_others() -> None:
    first, second = Keys(0), Keys(65)
    keys = [keys.take() for keys in (first, second) for _ in range(1000)]
    assert len(set(keys)) == 2000
    assert {len(str(key)) for key in keys} == {len(KEY_MARK)}
    assert max(keys) < shapes.KEY


@EACH_SHAPE
def test_the_gateway_is_asked_with_parameters_and_must_give_the_rows(asked: Asked) -> None:
    (exchange,) = exchanges.gateway(asked, "127.0.0.1:8080", "gk_secret", "direct_hit")
    (question,) = asked.questions
    body = body_of(exchange)
    assert body["query"] == asked.shape.statement
    assert (body["params"], body["implementation"]) == (list(question.params), "direct_hit")
    assert b"Authorization: Bearer gk_secret\r\n" in exchange.request
    affected = 0 if question.rows else 1
    assert exchange.expected in msgspec.json.encode({"rows": question.rows, "affected_rows": affected})
    assert exchange.expected not in msgspec.json.encode({"rows": [[43, "another"]], "affected_rows": 2})


@EACH_SHAPE
def test_a_proxy_is_told_the_effect(asked: Asked) -> None:
    (exchange,) = exchanges.proxy(asked, "127.0.0.1:8081", "direct_hit")
    assert body_of(exchange)["effect"] == ("write" if asked is INSERTS else "read")


def test_only_an_insert_has_a_mark_for_a_key_and_the_new_key_keeps_the_length() -> None:
    for asked in EVERY:
        for exchange in (
            *exchanges.gateway(asked, "a:1", "gk", "direct_hit"),
            *exchanges.dbhub(asked, "a:1"),
            *exchanges.xmysql(asked, "a:1"),
            *exchanges.per_request(asked, "a:1"),
        ):
            assert (KEY_MARK in exchange.request) == (asked is INSERTS)
            assert len(Keys(3).put_into(exchange.request)) == len(exchange.request)
            assert KEY_MARK not in Keys(3).put_into(exchange.request)


def test_xmysql_is_asked_for_the_same_columns_of_the_same_films_and_gives_rates_as_numbers() -> None:
    (point,) = exchanges.xmysql(POINTS, "127.0.0.1:3000")
    assert point.request.startswith(b"GET /api/film?_where=(film_id,eq,42)&_fields=film_id,title,rental_rate HTTP/1.1")
    row = {"film_id": 42, "title": FILM[1], "rental_rate": 0.9}
    assert point.expected in msgspec.json.encode([row])
    (ranged,) = exchanges.xmysql(RANGES, "127.0.0.1:3000")
    assert b"_where=(film_id,bw,42,43)&" in ranged.request
    assert b"&_sort=film_id&_size=100 " in ranged.request
    other = {"film_id": 43, "title": OTHER[1], "rental_rate": 3}
    assert ranged.expected == msgspec.json.encode([row, other])


def test_xmysql_joins_by_its_own_path_and_a_row_may_stand_anywhere() -> None:
    (exchange,) = exchanges.xmysql(JOINS, "127.0.0.1:3000")
    assert exchange.request.startswith(
        b"GET /api/xjoin?_join=fa.film_actor,_j,a.actor&_on1=(fa.actor_id,eq,a.actor_id)&"
    )
    row = {"a_actor_id": 7, "a_first_name": "ANNE", "a_last_name": "LEE"}
    assert exchange.expected in msgspec.json.encode([{"a_actor_id": 1}, row])


def test_dbhub_is_asked_for_the_same_statement_and_its_answer_is_looked_for_in_the_text_within() -> None:
    (exchange,) = exchanges.dbhub(RANGES, "127.0.0.1:3001")
    assert "WHERE film_id BETWEEN 42 AND 43 ORDER BY film_id" in exchange.request.decode()
    rows = [dict(zip(RANGE.columns, (*row[:2], str(row[2])), strict=True)) for row in (FILM, OTHER)]
    data = {"success": True, "data": {"statements": [{"sql": "SELECT", "rows": rows, "count": 2}]}}
    text = json.dumps(data, indent=2, ensure_ascii=False)
    answer = {"result": {"content": [{"type": "text", "text": text}]}}
    assert exchange.expected in json.dumps(answer, ensure_ascii=False).encode()


def test_what_takes_no_parameters_gets_them_in_the_text() -> None:
    text = exchanges.text_of(INSERT, INSERTS.questions[0])
    assert re.search(r"VALUES \(900000000000000, 'kept'\)$", text)
