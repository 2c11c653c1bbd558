"""INSERT, UPDATE and DELETE as applications write them with SQLAlchemy, on the scratch table."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import Integer, case, cast, delete, exists, func, insert, literal, select, text, update
from sqlalchemy.dialects.mysql import insert as upsert
from sqlalchemy.dialects.mysql import limit
from sqlalchemy.orm import Session

from tests.live.orm_sqlalchemy import Actor, Scratch

Shapes = Iterator[tuple[str, Any]]

ROW: dict[str, Any] = {
    "name": "first",
    "number": 1,
    "price": Decimal("12.30"),
    "day": date(2025, 5, 1),
    "moment": datetime(2025, 5, 1, 12, 30, 1, 5),
    "flag": True,
    "data": {"a": [1, None, "x'y"], "b": {"c": 1.5}},
}


def inserts() -> Shapes:
    yield "all columns", insert(Scratch).values(**ROW)
    for name, value in ROW.items():
        yield f"with {name}", insert(Scratch).values(**{name: value, "name": f"only {name}"})
    yield "null", insert(Scratch).values(name="null", number=None)
    yield "expression", insert(Scratch).values(name=func.concat("e", "x"), number=literal(2) * 3)
    yield (
        "scalar subquery",
        insert(Scratch).values(name="sub", number=select(func.max(Actor.actor_id)).scalar_subquery()),
    )
    for count in (2, 10, 300):
        rows = [{"name": f"bulk {count} {i}", "number": i} for i in range(count)]
        yield f"{count} at once", insert(Scratch).values(rows)
    chosen = select(func.concat("from ", Actor.actor_id), Actor.actor_id).where(Actor.actor_id < 6)
    yield "from select", insert(Scratch).from_select(["name", "number"], chosen)
    yield "ignore", insert(Scratch).prefix_with("IGNORE").values(name="first")
    into = upsert(Scratch)
    for name, values in {"one": [ROW], "some": [{"name": f"u{i}", "number": i} for i in range(5)]}.items():
        statement = into.values(values)
        yield f"upsert {name}", statement.on_duplicate_key_update(number=statement.inserted.number)
        yield f"upsert {name} by expression", statement.on_duplicate_key_update(number=Scratch.number + 1)
        yield (
            f"upsert {name} by both",
            statement.on_duplicate_key_update(
                number=func.coalesce(statement.inserted.number, 0) + func.coalesce(Scratch.number, 0), flag=False
            ),
        )


def conditions() -> dict[str, Any]:
    return {
        "key": Scratch.id == 3,
        "several": (Scratch.number > 3) & (Scratch.name.like("bulk%")) | Scratch.day.is_(None),
        "in": Scratch.id.in_([900_001, 900_002, 900_003]),
        "subquery": Scratch.number.in_(select(Actor.actor_id).where(Actor.last_name == "NOBODY")),
        "exists": exists().where(Actor.actor_id == Scratch.number, Actor.last_name == "NOBODY"),
        "date": func.year(Scratch.day) < 1999,
        "json": Scratch.data["a"].as_string() == "nothing",
        "between": Scratch.price.between(900, 901),
        "not": ~Scratch.name.in_(["x"]) & (Scratch.id > 900_000),
    }


def updates() -> Shapes:
    for name, condition in conditions().items():
        yield f"value where {name}", update(Scratch).where(condition).values(number=5)
    values: dict[str, Any] = {
        **{name: {name: value} for name, value in ROW.items() if name != "name"},
        "increment": {"number": Scratch.number + 1},
        "null": {"day": None, "flag": None},
        "all": {**ROW, "name": Scratch.name},
        "case": {"number": case((Scratch.number > 5, 1), else_=Scratch.number)},
        "function": {"name": func.upper(Scratch.name), "moment": func.now()},
        "cast": {"number": cast(Scratch.price, Integer)},
        "subquery": {"number": select(func.max(Actor.actor_id)).scalar_subquery()},
        "json set": {"data": func.json_set(Scratch.data, "$.b", 2)},
        "from another column": {"price": Scratch.number * Decimal("1.1")},
    }
    for name, changes in values.items():
        yield f"set {name}", update(Scratch).where(Scratch.id == 1).values(**changes)
    joined = update(Scratch).where(Scratch.number == Actor.actor_id, Actor.actor_id == 3)
    yield "multi table", joined.values(name=func.concat(Actor.first_name, Scratch.id))
    limited = update(Scratch).where(Scratch.number > 900).values(flag=False).ext(limit(2))
    yield "limited", limited


def deletes() -> Shapes:
    for name, condition in conditions().items():
        yield f"where {name}", delete(Scratch).where(condition)
    yield "multi table", delete(Scratch).where(Scratch.number == Actor.actor_id, Actor.last_name == "NOBODY")
    yield "limited", delete(Scratch).where(Scratch.id > 900_000).ext(limit(2))


def shapes() -> dict[str, Callable[[Session], None]]:
    """Every write, to be run in a session."""
    parts = (inserts, updates, deletes)
    built = {f"{part.__name__}: {name}": partial(_run, shape) for part in parts for name, shape in part()}
    return {**built, **_units_of_work()}


def _run(statement: Any, session: Session) -> None:
    session.execute(statement, execution_options={"synchronize_session": False})
    session.commit()


def _units_of_work() -> dict[str, Callable[[Session], None]]:
    """What a session flushes by itself."""
    return {"add": _add, "add many": _add_many, "change": _change, "remove": _remove, "get": _get, "merge": _merge}


def _add(session: Session) -> None:
    session.add(Scratch(**{**ROW, "name": "unit"}))
    session.commit()


def _add_many(session: Session) -> None:
    session.add_all([Scratch(name=f"units {i}", number=i) for i in range(40)])
    session.commit()


def _change(session: Session) -> None:
    for found in session.scalars(select(Scratch).where(Scratch.name.like("units%")).limit(5)):
        found.number = (found.number or 0) + 7
        found.data = {"changed": True}
    session.commit()


def _remove(session: Session) -> None:
    for found in session.scalars(select(Scratch).where(Scratch.name.like("units%")).limit(5)):
        session.delete(found)
    session.commit()


def _get(session: Session) -> None:
    session.get(Scratch, 1)
    session.execute(text("SELECT COUNT(*) FROM orm_scratch WHERE number = :n"), {"n": 1}).scalar_one()


def _merge(session: Session) -> None:
    session.merge(Scratch(id=2, name="merged", number=3))
    session.commit()
