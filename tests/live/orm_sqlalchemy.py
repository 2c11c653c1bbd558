"""The rental schema as SQLAlchemy sees it, and an engine that speaks to the gateway through the DB-API."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any, cast

from sqlalchemy import JSON, Column, Connection, Engine, Enum, ForeignKey, Numeric, String, Table, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.pool import StaticPool

from client import dbapi


class _Gateway(MySQLDialect):
    """What both flavours share: no questions at connect, for the policy answers none about the server."""

    driver = "gateway"
    supports_statement_cache = True
    supports_sane_rowcount = False  # the gateway counts rows that were changed, not those that were found

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        return dbapi

    def initialize(self, connection: Connection) -> None:
        self._casing = 0
        self.default_schema_name = "rental"
        self._dispatch_for_vendor(self._initialize_mysql, self._initialize_mariadb, connection)

    def _detect_charset(self, connection: Connection) -> str:  # noqa: ARG002 - the base class calls it so
        return "utf8mb4"

    def _extract_error_code(self, exception: BaseException) -> int | None:
        return getattr(exception, "mysql_errno", None)


class GatewayMySQL(_Gateway):
    """As an application speaks to MySQL 9."""

    supports_statement_cache = True
    server_version_info = (9, 4, 0)


class GatewayMariaDB(MariaDBDialect, _Gateway):
    """As an application speaks to MariaDB."""

    supports_statement_cache = True
    server_version_info = (10, 11, 6)


registry.register("mysql.gateway", __name__, "GatewayMySQL")
registry.register("mariadb.gateway", __name__, "GatewayMariaDB")


def engine(flavour: str, connect: Callable[[], dbapi.Connection]) -> Engine:
    """An engine of flavour `mysql` or `mariadb`."""

    def creator() -> DBAPIConnection:
        return cast("DBAPIConnection", connect())  # its protocol wants more of a cursor than PEP 249 has

    return create_engine(f"{flavour}+gateway://", creator=creator, poolclass=StaticPool)


class Base(DeclarativeBase):
    """The tables of `rental` that the shapes use."""


class Language(Base):
    __tablename__ = "language"
    language_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    films: Mapped[list["Film"]] = relationship(back_populates="language", foreign_keys="Film.language_id")


class Category(Base):
    __tablename__ = "category"
    category_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(25))


film_actor = Table(
    "film_actor",
    Base.metadata,
    Column("actor_id", ForeignKey("actor.actor_id"), primary_key=True),
    Column("film_id", ForeignKey("film.film_id"), primary_key=True),
)
film_category = Table(
    "film_category",
    Base.metadata,
    Column("film_id", ForeignKey("film.film_id"), primary_key=True),
    Column("category_id", ForeignKey("category.category_id"), primary_key=True),
)


class Actor(Base):
    __tablename__ = "actor"
    actor_id: Mapped[int] = mapped_column(primary_key=True)
    first_name: Mapped[str] = mapped_column(String(45))
    last_name: Mapped[str] = mapped_column(String(45))
    films: Mapped[list["Film"]] = relationship(secondary=film_actor, back_populates="actors")


class Film(Base):
    __tablename__ = "film"
    film_id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(128))
    description: Mapped[str | None]
    release_year: Mapped[int | None]
    language_id: Mapped[int] = mapped_column(ForeignKey("language.language_id"))
    rental_duration: Mapped[int]
    rental_rate: Mapped[Decimal] = mapped_column(Numeric(4, 2))
    length: Mapped[int | None]
    replacement_cost: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    rating: Mapped[str] = mapped_column(Enum("G", "PG", "PG-13", "R", "NC-17"))
    details: Mapped[Any] = mapped_column(JSON)
    language: Mapped[Language] = relationship(back_populates="films", foreign_keys=[language_id])
    actors: Mapped[list[Actor]] = relationship(secondary=film_actor, back_populates="films")
    categories: Mapped[list[Category]] = relationship(secondary=film_category)
    inventory: Mapped[list["Inventory"]] = relationship(back_populates="film")


class Inventory(Base):
    __tablename__ = "inventory"
    inventory_id: Mapped[int] = mapped_column(primary_key=True)
    film_id: Mapped[int] = mapped_column(ForeignKey("film.film_id"))
    store_id: Mapped[int]
    film: Mapped[Film] = relationship(back_populates="inventory")
    rentals: Mapped[list["Rental"]] = relationship(back_populates="inventory")


class Customer(Base):
    __tablename__ = "customer"
    customer_id: Mapped[int] = mapped_column(primary_key=True)
    store_id: Mapped[int]
    first_name: Mapped[str] = mapped_column(String(45))
    last_name: Mapped[str] = mapped_column(String(45))
    email: Mapped[str | None] = mapped_column(String(80))
    birth_date: Mapped[date | None]
    active: Mapped[bool]
    create_date: Mapped[datetime]
    rentals: Mapped[list["Rental"]] = relationship(back_populates="customer")
    payments: Mapped[list["Payment"]] = relationship(back_populates="customer")


class Rental(Base):
    __tablename__ = "rental"
    rental_id: Mapped[int] = mapped_column(primary_key=True)
    rental_date: Mapped[datetime]
    inventory_id: Mapped[int] = mapped_column(ForeignKey("inventory.inventory_id"))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.customer_id"))
    return_date: Mapped[datetime | None]
    staff_id: Mapped[int]
    inventory: Mapped[Inventory] = relationship(back_populates="rentals")
    customer: Mapped[Customer] = relationship(back_populates="rentals")


class Payment(Base):
    __tablename__ = "payment"
    payment_id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.customer_id"))
    staff_id: Mapped[int]
    rental_id: Mapped[int | None] = mapped_column(ForeignKey("rental.rental_id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    payment_date: Mapped[datetime]
    customer: Mapped[Customer] = relationship(back_populates="payments")


class Scratch(Base):
    """A table that the test makes: what is written stays out of the sample."""

    __tablename__ = "orm_scratch"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    number: Mapped[int | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    day: Mapped[date | None]
    moment: Mapped[datetime | None]
    flag: Mapped[bool | None]
    data: Mapped[Any] = mapped_column(JSON, nullable=True)
