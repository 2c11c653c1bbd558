"""The sample's rows are the same everywhere and fit together; that a server takes them is for the live tests."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deploy.sample import rental, rental_schema
from deploy.sample.rental_dice import Dice
from deploy.sample.rental_table import CLOSING, Table

# table, its column, and the column that it refers to, as the DDL says.
_FOREIGN_KEY = re.compile(r"FOREIGN KEY \((\w+)\) REFERENCES (\w+) \((\w+)\)")
FOREIGN_KEYS = [
    (table, *match.groups()) for table, ddl in rental_schema.TABLES.items() for match in _FOREIGN_KEY.finditer(ddl)
]


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {table.name: table for table in rental.rows()}


def _fingerprint() -> str:
    return hashlib.sha256(repr([(table.name, table.rows) for table in rental.rows()]).encode()).hexdigest()


def test_the_rows_do_not_depend_on_the_process_its_hash_seed_or_its_time_zone() -> None:
    code = "from tests.unit.test_rental import _fingerprint; print(_fingerprint())"
    made = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert made.stdout.strip() == _fingerprint()


def test_there_are_about_fifty_thousand_rows_in_the_tables_of_the_schema(tables: dict[str, Table]) -> None:
    assert list(tables) == list(rental_schema.TABLES)
    assert 49_000 < sum(len(table.rows) for table in tables.values()) < 51_000


def test_every_film_from_1_to_1000_has_a_title_of_its_own_in_two_words(tables: dict[str, Table]) -> None:
    assert tables["film"].column("film_id") == list(range(1, 1001))
    titles = tables["film"].column("title")
    assert len(set(titles)) == 1000
    assert all(re.fullmatch(r"[A-Z]+ [A-Z]+", title) for title in titles)


def test_every_row_fills_every_column_that_is_named(tables: dict[str, Table]) -> None:
    for table in tables.values():
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.name
        assert all(
            re.search(rf"^  {column} ", rental_schema.TABLES[table.name], re.MULTILINE) for column in table.columns
        )


def test_there_are_21_foreign_keys_to_check() -> None:
    assert len(FOREIGN_KEYS) == 21


@pytest.mark.parametrize(
    ("child", "column", "parent", "key"), FOREIGN_KEYS, ids=[f"{c}.{k}" for c, k, *_ in FOREIGN_KEYS]
)
def test_a_foreign_key_leads_to_a_row_of_a_table_that_stands_before(
    tables: dict[str, Table], child: str, column: str, parent: str, key: str
) -> None:
    assert list(tables).index(parent) < list(tables).index(child)
    referring = {value for value in tables[child].column(column) if value is not None}
    assert referring
    assert referring <= set(tables[parent].column(key))


def _primary_key(table: Table) -> Iterator[tuple[Any, ...]]:
    ddl = rental_schema.TABLES[table.name]
    several = re.search(r"PRIMARY KEY \((.+?)\)", ddl)
    names = several[1].split(", ") if several else [table.columns[0]]
    return zip(*map(table.column, names), strict=True)


def test_no_primary_key_is_there_twice(tables: dict[str, Table]) -> None:
    for table in tables.values():
        keys = list(_primary_key(table))
        assert len(set(keys)) == len(keys), table.name


def test_a_copy_is_with_one_customer_at_a_time(tables: dict[str, Table]) -> None:
    back: dict[int, datetime] = {}
    columns = map(tables["rental"].column, ("inventory_id", "rental_date", "return_date"))
    for copy, taken, returned in zip(*columns, strict=True):
        assert back.get(copy, taken) <= taken
        back[copy] = returned or datetime.max


def test_a_copy_is_rented_out_by_its_own_store(tables: dict[str, Table]) -> None:
    stores = {
        name: dict(zip(tables[name].column(f"{name}_id"), tables[name].column("store_id"), strict=True))
        for name in ("inventory", "staff", "customer")
    }
    columns = map(tables["rental"].column, ("inventory_id", "staff_id", "customer_id"))
    for copy, clerk, customer in zip(*columns, strict=True):
        assert stores["inventory"][copy] == stores["staff"][clerk] == stores["customer"][customer]


def test_what_was_paid_is_the_rate_and_half_a_unit_for_each_day_late(tables: dict[str, Table]) -> None:
    film = tables["film"]
    terms = {
        row[0]: (row[film.columns.index("rental_duration")], row[film.columns.index("rental_rate")])
        for row in film.rows
    }
    film_of = dict(zip(*map(tables["inventory"].column, ("inventory_id", "film_id")), strict=True))
    due: dict[int, Decimal] = {}
    for number, taken, copy, _, returned, *_rest in tables["rental"].rows:
        days, rate = terms[film_of[copy]]
        late = max(0, -((taken - (returned or taken)).total_seconds() // 86400) - days)
        due[number] = rate + Decimal("0.50") * int(late)
    paid: dict[int, Decimal] = dict.fromkeys(due, Decimal(0))
    for number, amount in zip(*map(tables["payment"].column, ("rental_id", "amount")), strict=True):
        paid[number] += amount
    assert paid == due


def test_nothing_happens_after_the_closing_of_the_books(tables: dict[str, Table]) -> None:
    moments = [value for table in tables.values() for row in table.rows for value in row if isinstance(value, datetime)]
    assert max(moments) <= CLOSING


def test_some_copies_are_still_out(tables: dict[str, Table]) -> None:
    assert 50 < tables["rental"].column("return_date").count(None) < 500


def test_details_are_json_or_null(tables: dict[str, Table]) -> None:
    details = tables["film"].column("details")
    assert None in details
    assert all("studio" in json.loads(text) for text in details if text is not None)


def test_a_picture_is_a_png_of_8_by_8_points_with_right_checksums(tables: dict[str, Table]) -> None:
    pictures = tables["staff"].column("picture")
    assert len(set(pictures)) == len(pictures)
    for picture in pictures:
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        chunks = list(_chunks(picture[8:]))
        assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
        assert chunks[0][1][:8] == b"\0\0\0\x08\0\0\0\x08"
        assert len(zlib.decompress(chunks[1][1])) == 8 * 2  # a filter byte and a byte of points each line


def _chunks(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    while octets:
        length = int.from_bytes(octets[:4], "big")
        kind, data, check = octets[4:8], octets[8 : 8 + length], octets[8 + length : 12 + length]
        assert zlib.crc32(kind + data).to_bytes(4, "big") == check
        yield kind, data
        octets = octets[12 + length :]


def test_the_ddl_suits_ndb_when_full_text_is_left_out() -> None:
    ddl = "\n".join(rental.statements(full_text=False))
    assert not re.search(r"FULLTEXT|CASCADE|ENGINE|TRIGGER|PROCEDURE", ddl)
    assert any("FULLTEXT" in statement for statement in rental.statements())


def test_views_run_with_the_rights_of_who_asks_and_show_no_password() -> None:
    for view in rental_schema.VIEWS:
        assert "SQL SECURITY INVOKER" in view
        assert "password" not in view


def test_the_cache_key_is_stable_and_is_a_digest() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", rental.cache_key())
    assert rental.cache_key() == rental.cache_key()


def test_dice_stay_in_their_bounds_and_reach_both() -> None:
    dice = Dice(1)
    assert {dice.between(3, 5) for _ in range(200)} == {3, 4, 5}


def test_a_sample_has_no_item_twice() -> None:
    assert sorted(Dice(1).sample(range(50), 50)) == list(range(50))


def test_the_same_seed_gives_the_same_dice() -> None:
    one, other = Dice(5), Dice(5)
    assert [one.below(1000) for _ in range(50)] == [other.below(1000) for _ in range(50)]
