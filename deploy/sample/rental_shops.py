"""The chain: where its stores are, who works and who rents there, and which copies stand in each."""

import hashlib
import struct
import zlib
from datetime import date, datetime, time, timedelta

from deploy.sample import rental_words as words
from deploy.sample.rental_dice import Dice
from deploy.sample.rental_films import FILMS
from deploy.sample.rental_table import Row, Table

CITIES = 400
STORES = 4
STAFF_PER_STORE = 3
CUSTOMERS = 800
COPIES = 4100

_OPENING = datetime(2023, 12, 28, 8, 0)


def tables(dice: Dice) -> list[Table]:
    """The tables of the stores, those that are referred to first; every address belongs to one store or person."""
    return [
        _countries(),
        _cities(dice),
        _addresses(dice),
        _stores(dice),
        _staff(dice),
        _customers(dice),
        _inventory(dice),
    ]


def _countries() -> Table:
    rows: list[Row] = [(number, name, _OPENING) for number, name in enumerate(words.COUNTRIES, 1)]
    return Table("country", ("country_id", "country", "last_update"), rows)


def _cities(dice: Dice) -> Table:
    names = [first + second for first in words.CITY_FIRST for second in words.CITY_SECOND]
    rows: list[Row] = [
        (number, name, dice.between(1, len(words.COUNTRIES)), _OPENING)
        for number, name in enumerate(dice.sample(names, CITIES), 1)
    ]
    return Table("city", ("city_id", "city", "country_id", "last_update"), rows)


def _addresses(dice: Dice) -> Table:
    columns = ("address_id", "address", "address2", "district", "city_id", "postal_code", "phone", "last_update")
    count = STORES + STORES * STAFF_PER_STORE + CUSTOMERS
    return Table("address", columns, [_address(dice, number) for number in range(1, count + 1)])


def _address(dice: Dice, number: int) -> Row:
    return (
        number,
        f"{dice.between(1, 240)} {dice.pick(words.STREETS)} {dice.pick(words.STREET_KINDS)}",
        f"Flat {dice.between(1, 40)}" if dice.chance(25) else None,
        dice.pick(words.DISTRICTS),
        dice.between(1, CITIES),
        f"{dice.below(100_000):05d}" if dice.chance(90) else None,
        f"555-{dice.below(10_000):04d}-{dice.below(1000):03d}",
        _OPENING,
    )


def _stores(dice: Dice) -> Table:
    rows: list[Row] = [
        (number, number, time(dice.between(8, 10)), time(dice.between(20, 22), 30), _OPENING)
        for number in range(1, STORES + 1)
    ]
    return Table("store", ("store_id", "address_id", "opens", "closes", "last_update"), rows)


def _staff(dice: Dice) -> Table:
    columns = (
        "staff_id",
        "first_name",
        "last_name",
        "address_id",
        "picture",
        "email",
        "store_id",
        "is_manager",
        "active",
        "username",
        "password",
        "last_update",
    )
    return Table("staff", columns, [_employee(dice, number) for number in range(1, STORES * STAFF_PER_STORE + 1)])


def _employee(dice: Dice, number: int) -> Row:
    first, last = dice.pick(words.FIRST_NAMES), dice.pick(words.LAST_NAMES)
    username = f"clerk{number:02d}"
    rank, store = divmod(number - 1, STORES)
    return (
        number,
        first,
        last,
        STORES + number,
        picture(dice),
        f"{username}@rental.example",
        store + 1,
        int(rank == 0),
        1,
        username,
        hashlib.sha256(f"{username}:{dice.below(1 << 40)}".encode()).hexdigest(),
        _OPENING,
    )


def picture(dice: Dice) -> bytes:
    """A face of 8 by 8 points, black and white and symmetric, as PNG (W3C PNG, section 5; 1 bit a point, greyscale).

    Stored, not compressed, so that the bytes do not depend on the version of zlib.
    """
    halves = [dice.below(16) for _ in range(8)]
    lines = b"".join(bytes((0, half << 4 | int(f"{half:04b}"[::-1], 2))) for half in halves)
    header = struct.pack(">IIBBBBB", 8, 8, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, level=0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _customers(dice: Dice) -> Table:
    columns = (
        "customer_id",
        "store_id",
        "first_name",
        "last_name",
        "email",
        "birth_date",
        "address_id",
        "active",
        "create_date",
        "last_update",
    )
    return Table("customer", columns, [_customer(dice, number) for number in range(1, CUSTOMERS + 1)])


def _customer(dice: Dice, number: int) -> Row:
    return (
        number,
        (number - 1) % STORES + 1,
        dice.pick(words.FIRST_NAMES),
        dice.pick(words.LAST_NAMES),
        f"customer{number:03d}@mail.example",
        date(1940, 1, 1) + timedelta(days=dice.below(66 * 365)) if dice.chance(80) else None,
        STORES + STORES * STAFF_PER_STORE + number,
        int(dice.chance(97)),
        _OPENING - timedelta(minutes=dice.below(3 * 365 * 24 * 60)),
        _OPENING,
    )


def _inventory(dice: Dice) -> Table:
    rows: list[Row] = [
        (number, _copied_film(dice, number), dice.between(1, STORES), _OPENING) for number in range(1, COPIES + 1)
    ]
    return Table("inventory", ("inventory_id", "film_id", "store_id", "last_update"), rows)


def _copied_film(dice: Dice, copy: int) -> int:
    """The film of a copy: first one of each film, then by chance, so that none is missing and some are common."""
    return copy if copy <= FILMS else dice.between(1, FILMS)
