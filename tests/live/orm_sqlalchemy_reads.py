"""SELECTs as applications write them with SQLAlchemy, a few hundred, built by code."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import (
    Integer,
    String,
    and_,
    case,
    cast,
    collate,
    distinct,
    except_,
    exists,
    extract,
    false,
    func,
    intersect,
    literal,
    not_,
    null,
    or_,
    select,
    text,
    true,
    tuple_,
    union,
    union_all,
)  # fmt: skip
from sqlalchemy.orm import (
    InstrumentedAttribute,
    Session,
    aliased,
    contains_eager,
    defer,
    joinedload,
    load_only,
    selectinload,
    subqueryload,
)  # fmt: skip

from tests.live.orm_sqlalchemy import Actor, Category, Customer, Film, Inventory, Language, Payment, Rental

Statement = Any
Shapes = Iterator[tuple[str, Statement]]

MAY = datetime(2025, 5, 1, 12, 30)

VALUES: dict[InstrumentedAttribute[Any], tuple[Any, Any]] = {
    Film.film_id: (3, 40),
    Film.length: (60, 90),
    Film.rental_rate: (Decimal("0.90"), Decimal("4.50")),
    Film.title: ("ACE", "LION"),
    Film.description: ("A", "Z"),
    Film.rating: ("G", "PG-13"),
    Film.release_year: (2001, 2006),
    Customer.create_date: (MAY, MAY + timedelta(days=30)),
    Customer.birth_date: (date(1980, 1, 1), date(1990, 12, 31)),
    Payment.amount: (Decimal(1), Decimal("9.99")),
    Rental.rental_date: (MAY, MAY + timedelta(days=1)),
}

COMPARISONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "=": lambda c, a, _: c == a,
    "<>": lambda c, a, _: c != a,
    "<": lambda c, _, b: c < b,
    "<=": lambda c, _, b: c <= b,
    ">": lambda c, a, _: c > a,
    ">=": lambda c, a, _: c >= a,
    "between": lambda c, a, b: c.between(a, b),
    "not between": lambda c, a, b: ~c.between(a, b),
    "in": lambda c, a, b: c.in_([a, b]),
    "not in": lambda c, a, b: c.not_in([a, b]),
    "in nothing": lambda c, *_: c.in_([]),
    "is null": lambda c, *_: c.is_(None),
    "is not null": lambda c, *_: c.is_not(None),
    "or": lambda c, a, b: or_(c == a, c == b, c.is_(null())),
    "not": lambda c, a, b: not_(and_(c >= a, c <= b)),
    "distinct from": lambda c, a, _: c.is_distinct_from(a),
    "coalesce": lambda c, a, b: func.coalesce(c, a) == b,
    "nullif": lambda c, a, b: func.nullif(c, a) == b,
}

TEXTS: dict[str, Callable[[Any], Any]] = {
    "like": lambda c: c.like("A%"),
    "not like": lambda c: c.not_like("%X%"),
    "like escape": lambda c: c.like("100/%", escape="/"),
    "ilike": lambda c: c.ilike("%ace%"),
    "not ilike": lambda c: c.not_ilike("%ace%"),
    "startswith": lambda c: c.startswith("A"),
    "startswith autoescape": lambda c: c.startswith("A_%", autoescape=True),
    "endswith": lambda c: c.endswith("N"),
    "contains": lambda c: c.contains("IO"),
    "contains autoescape": lambda c: c.contains("50%", autoescape=True),
    "icontains": lambda c: c.icontains("io"),
    "regexp": lambda c: c.regexp_match("^[A-C]"),
    "lower": lambda c: func.lower(c) == "ace",
    "upper": lambda c: func.upper(c) == "ACE",
    "length": lambda c: func.char_length(c) > 10,
    "concat": lambda c: c + "!" == "ACE!",
    "concat function": lambda c: func.concat(c, " ", c) == "A A",
    "substring": lambda c: func.substring(c, 1, 3) == "ACE",
    "left": lambda c: func.left(c, 2) == "AC",
    "trim": lambda c: func.trim(c) == "ACE",
    "replace": lambda c: func.replace(c, "A", "B") == "BCE",
    "locate": lambda c: func.locate("A", c) > 0,
    "lpad": lambda c: func.lpad(c, 20, "*") > "",
    "collate": lambda c: collate(c, "utf8mb4_bin") == "ACE",
    "cast": lambda c: cast(c, String(10)) == "ACE",
    "regexp_replace": lambda c: c.regexp_replace("A", "B") == "BCE",
    "quotes": lambda c: c == 'O\'Brien \\ "x" -- # /* */ ? :name %s',
    "hex": lambda c: func.hex(c) > "",
    "md5": lambda c: func.md5(c) > "",
}


def _extracted(part: str) -> Callable[[Any], Any]:
    return lambda c: extract(part, c) > 1


MOMENTS: dict[str, Callable[[Any], Any]] = {
    **{part: _extracted(part) for part in ("year", "month", "day", "hour", "minute", "second", "quarter", "week")},
    "date": lambda c: func.date(c) == date(2025, 5, 1),
    "year()": lambda c: func.year(c) == 2025,
    "date_format": lambda c: func.date_format(c, "%Y-%m") == "2025-05",
    "datediff": lambda c: func.datediff(func.now(), c) > 3,
    "timestampdiff": lambda c: func.timestampdiff(text("DAY"), c, func.now()) > 3,
    "date_add": lambda c: func.date_add(c, text("INTERVAL 1 DAY")) < MAY,
    "current_timestamp": lambda c: c <= func.current_timestamp(),
    "curdate": lambda c: c < func.curdate(),
    "utc_timestamp": lambda c: c < func.utc_timestamp(),
    "last_day": lambda c: func.last_day(c) > MAY,
    "unix_timestamp": lambda c: func.unix_timestamp(c) > 0,
    "dayofweek": lambda c: func.dayofweek(c) == 1,
    "str_to_date": lambda c: c > func.str_to_date("2025-01-01", "%Y-%m-%d"),
}


def filters() -> Shapes:
    for attribute, (low, high) in VALUES.items():
        for name, condition in COMPARISONS.items():
            yield f"{attribute} {name}", select(attribute).where(condition(attribute, low, high)).limit(3)
    for name, test in TEXTS.items():
        for attribute in (Film.title, Customer.last_name, Actor.first_name):
            yield f"{attribute} {name}", select(attribute.class_).where(test(attribute)).limit(3)
    for name, test in MOMENTS.items():
        for moment in (Rental.rental_date, Payment.payment_date):
            yield f"{moment} {name}", select(moment).where(test(moment)).limit(3)


def expressions() -> Shapes:
    price, days = Film.rental_rate, Film.rental_duration
    columns: dict[str, Any] = {
        "arithmetic": (price + 1) * 2 - price / 3,
        "floor division": Film.length // 7,
        "modulo": Film.length % 7,
        "negative": -Film.length,
        "round": func.round(price * days, 1),
        "floor and ceil": func.floor(price) + func.ceiling(price),
        "abs": func.abs(price - 3),
        "power": func.power(price, 2),
        "greatest": func.greatest(price, 2, days),
        "if": func.if_(price > 2, "dear", "cheap"),
        "case": case((price > 4, "dear"), (price > 2, "fair"), else_="cheap"),
        "case value": case({"G": 1, "PG": 2}, value=Film.rating, else_=0),
        "cast": cast(price, Integer),
        "cast text": cast(Film.length, String(8)),
        "label": (price * days).label("total price"),
        "literal": literal("x", literal_execute=True),
        "boolean": and_(price > 1, true()),
        "never": or_(price > 1, false()),
        "bits": Film.length.bitwise_and(3),
        "bits or": Film.length.bitwise_or(3),
        "shift": Film.length.bitwise_lshift(1),
        "json text": Film.details["studio"].as_string(),
        "json number": Film.details["year"].as_integer(),
        "json float": Film.details["score"].as_float(),
        "json path": Film.details["tags", 0].as_string(),
        "json raw": Film.details["studio"],
        "json length": func.json_length(Film.details),
        "json contains": func.json_contains(Film.details, '"x"', "$.tags"),
        "json extract": func.json_extract(Film.details, "$.studio"),
        "json object": func.json_object("id", Film.film_id, "title", Film.title),
    }
    for name, expression in columns.items():
        yield f"column {name}", select(Film.film_id, expression).limit(2)
        yield f"order {name}", select(Film.film_id).order_by(expression.desc(), Film.film_id).limit(2)
    for count in (1, 2, 50, 500, 2000):
        yield f"in {count}", select(func.count()).select_from(Film).where(Film.film_id.in_(range(count)))
    yield "tuple in", select(Film.title).where(tuple_(Film.film_id, Film.rating).in_([(1, "G"), (2, "PG")]))
    yield "literal values", select(literal(1), literal("a'b"), literal(1.5), literal(None), literal(MAY))
    yield "no table", select(func.now(), func.current_date())


def joins() -> Shapes:
    other, film = aliased(Film), aliased(Film, name="f")
    count = func.count
    yield "inner", select(Film.title, Language.name).join(Film.language).limit(3)
    yield "outer", select(Film.title, Inventory.store_id).outerjoin(Film.inventory).limit(3)
    yield "full entity pair", select(Film, Language).join(Language, Film.language_id == Language.language_id).limit(3)
    yield "many to many", select(Film.title).join(Film.actors).where(Actor.last_name == "X").limit(3)
    yield "self", select(Film.title, other.title).join(other, Film.length == other.length).limit(3)
    yield "self less", select(film.title).where(film.film_id < 5).join(other, film.film_id < other.film_id).limit(3)
    yield "cross", select(Language.name, Category.name).join(Category, true()).limit(3)
    yield "comma", select(Language.name, Category.name).where(Language.language_id == Category.category_id)
    chain = select(Customer.last_name, Film.title).join(Customer.rentals).join(Rental.inventory).join(Inventory.film)
    yield "chain", chain.limit(3)
    yield "chain grouped", chain.with_only_columns(Film.title, count()).group_by(Film.title).limit(3)
    yield "any", select(Film.title).where(Film.actors.any(Actor.last_name == "X"))
    yield "not any", select(Film.title).where(~Film.actors.any()).limit(3)
    yield "has", select(Rental.rental_id).where(Rental.customer.has(active=True)).limit(3)
    yield "relationship contains", select(Language.name).where(Language.films.any(Film.film_id == 3))
    part = select(Rental.customer_id, count().label("n")).group_by(Rental.customer_id).subquery()
    yield "join subquery", select(Customer.last_name, part.c.n).join(part, Customer.customer_id == part.c.customer_id)
    latest = select(func.max(Rental.rental_date)).where(Rental.customer_id == Customer.customer_id)
    yield "scalar subquery", select(Customer.last_name, latest.correlate(Customer).scalar_subquery()).limit(3)
    yield "exists", select(Customer.last_name).where(exists().where(Payment.customer_id == Customer.customer_id))
    rented = select(Rental).where(Rental.customer_id == Customer.customer_id)
    yield "not exists", select(Customer).where(~rented.exists())
    stocked = select(Inventory.film_id).where(Inventory.store_id == 1)
    yield "in subquery", select(Film.title).where(Film.film_id.in_(stocked))
    yield "not in subquery", select(Film.title).where(Film.film_id.not_in(select(Inventory.film_id))).limit(3)
    yield "= subquery", select(Film.title).where(Film.length == select(func.max(Film.length)).scalar_subquery())
    yield "select from subquery", select(select(Film.title, Film.length).where(Film.length > 60).subquery()).limit(3)


def aggregates() -> Shapes:
    functions: dict[str, Any] = {
        "count": func.count(),
        "count column": func.count(Payment.rental_id),
        "count distinct": func.count(distinct(Payment.customer_id)),
        "sum": func.sum(Payment.amount),
        "avg": func.avg(Payment.amount),
        "min": func.min(Payment.amount),
        "max": func.max(Payment.payment_date),
        "stddev": func.stddev_pop(Payment.amount),
        "variance": func.var_samp(Payment.amount),
        "group_concat": func.group_concat(distinct(Payment.amount)),
        "sum case": func.sum(case((Payment.amount > 5, 1), else_=0)),
        "coalesced": func.coalesce(func.sum(Payment.amount), 0),
        "aggregate_strings": func.aggregate_strings(cast(Payment.amount, String(9)), ","),
    }
    for name, value in functions.items():
        yield f"all {name}", select(value).where(Payment.customer_id < 5)
        grouped = select(Payment.customer_id, value.label("v")).where(Payment.customer_id < 9)
        grouped = grouped.group_by(Payment.customer_id)
        yield f"group {name}", grouped
        yield f"having {name}", grouped.having(value.is_not(None)).order_by(text("v DESC"))
    by_month = func.date_format(Payment.payment_date, "%Y-%m").label("month")
    yield "by month", select(by_month, func.sum(Payment.amount)).group_by(by_month).order_by(by_month)
    yield "two keys", select(Film.rating, Film.length, func.count()).group_by(Film.rating, Film.length).limit(3)
    yield "having count", select(Film.rating).group_by(Film.rating).having(func.count() > 3)
    yield "rollup", select(Film.rating, func.count()).group_by(text("rating WITH ROLLUP"))
    yield "distinct", select(Film.rating).distinct()
    yield "distinct order", select(Film.rating, Film.length).distinct().order_by(Film.length.desc()).limit(3)
    yield "count of a subquery", select(func.count()).select_from(select(Film.rating).distinct().subquery())


def windows() -> Shapes:
    order, part = Payment.payment_date, Payment.customer_id
    functions = {
        "row_number": func.row_number(), "rank": func.rank(), "dense_rank": func.dense_rank(), "ntile": func.ntile(4),
        "percent_rank": func.percent_rank(), "cume_dist": func.cume_dist(), "lag": func.lag(Payment.amount),
        "lead": func.lead(Payment.amount, 2), "first_value": func.first_value(Payment.amount),
        "last_value": func.last_value(Payment.amount), "sum": func.sum(Payment.amount), "count": func.count(),
    }  # fmt: skip
    for name, function in functions.items():
        yield f"window {name}", select(part, function.over(order_by=order)).where(part < 3)
        over = function.over(partition_by=part, order_by=[order.desc(), Payment.payment_id])
        yield f"partition {name}", select(part, over.label("w")).where(part < 3)
    running = func.sum(Payment.amount).over(partition_by=part, order_by=order, rows=(None, 0))
    moving = func.avg(Payment.amount).over(order_by=order, rows=(-2, 2))
    ranged = func.sum(Payment.amount).over(order_by=Payment.payment_id, range_=(None, None))
    for name, frame in {"running": running, "moving": moving, "range": ranged}.items():
        yield f"frame {name}", select(part, frame).where(part < 3)
    best = select(part, func.row_number().over(partition_by=part, order_by=order).label("n")).subquery()
    yield "top of each", select(best).where(best.c.n <= 2, best.c.customer_id < 5)


def sets_and_ctes() -> Shapes:
    short, long = select(Film.film_id).where(Film.length < 60), select(Film.film_id).where(Film.length > 170)
    for name, combine in {"union": union, "union all": union_all, "except": except_, "intersect": intersect}.items():
        yield name, combine(short, long)
        yield f"{name} ordered", combine(short, long).order_by("film_id").limit(5).offset(1)
        yield f"from {name}", select(func.count()).select_from(combine(short, long).subquery())
    yield "union of three", union_all(short, long, select(Actor.actor_id))
    yield "union limited", union_all(short.limit(2).subquery().select(), long.limit(2).subquery().select())
    dear = select(Film.film_id, Film.title).where(Film.rental_rate > 4).cte("dear")
    yield "cte", select(dear).limit(3)
    yield "cte joined", select(dear.c.title, Inventory.store_id).join(Inventory, Inventory.film_id == dear.c.film_id)
    twice = select(dear.c.film_id).where(dear.c.film_id < 50).cte("cheap")
    yield "two ctes", select(func.count()).select_from(dear.join(twice, dear.c.film_id == twice.c.film_id))
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 10))
    yield "recursive cte", select(numbers.c.n)


def pages() -> Shapes:
    for limit, offset in ((1, 0), (10, 0), (10, 20), (100, 900)):
        yield f"page {limit} {offset}", select(Film).order_by(Film.title, Film.film_id).limit(limit).offset(offset)
    yield "offset alone", select(Film.film_id).order_by(Film.film_id).offset(990)
    yield "keyset", select(Film).where(tuple_(Film.title, Film.film_id) > ("M", 0)).order_by(Film.title).limit(3)
    for order in (Film.length.asc(), Film.length.desc(), func.rand(), Film.length.is_(None), func.lower(Film.title)):
        yield f"order {order}", select(Film.film_id).order_by(order).limit(3)
    yield "nulls last", select(Film.film_id).order_by(Film.length.is_(None), Film.length).limit(3)


def loads() -> Shapes:
    films = select(Film).order_by(Film.film_id).limit(3)
    options = {
        "joined": joinedload(Film.language), "selectin": selectinload(Film.actors),
        "subquery": subqueryload(Film.categories), "nested": selectinload(Film.inventory).joinedload(Inventory.rentals),
        "load only": load_only(Film.title), "defer": defer(Film.description),
    }  # fmt: skip
    for name, option in options.items():
        yield f"load {name}", films.options(option)
    yield "load contains eager", select(Film).join(Film.language).options(contains_eager(Film.language)).limit(3)


def shapes() -> dict[str, Callable[[Session], None]]:
    """Every read, to be run in a session."""
    parts = (filters, expressions, joins, aggregates, windows, sets_and_ctes, pages, loads)
    return {f"{part.__name__}: {name}": partial(_run, shape) for part in parts for name, shape in part()}


def _run(statement: Statement, session: Session) -> None:
    session.execute(statement).all()
    session.expunge_all()
