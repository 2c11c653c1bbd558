"""A year of business: copies that go out and come back one customer after the other, and what was paid for them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from deploy.sample.rental_dice import Dice
from deploy.sample.rental_shops import CUSTOMERS, STAFF_PER_STORE, STORES
from deploy.sample.rental_table import CLOSING, Row, Table

_START = datetime(2024, 1, 1, 8, 0)
_LATE_FEE_A_DAY = Decimal("0.50")
_DAY = timedelta(days=1)


class Terms(msgspec.Struct, frozen=True):
    """What a film costs: `rate` for `days` days."""

    days: int
    rate: Decimal


class Loan(msgspec.Struct, frozen=True):
    """One copy with one customer; `returned` is None while it is out. `fee` is what being late cost."""

    taken: datetime
    copy: int
    customer: int
    returned: datetime | None
    clerk: int
    rate: Decimal
    fee: Decimal


def tables(dice: Dice, film: Table, inventory: Table) -> list[Table]:
    """The rentals of the copies in `inventory` and the payments for them, in the order of their time."""
    loans = sorted(_loans(dice, film, inventory), key=lambda loan: (loan.taken, loan.copy))
    return [_rentals(loans), _payments(loans)]


def _loans(dice: Dice, film: Table, inventory: Table) -> Iterator[Loan]:
    columns = map(film.column, ("film_id", "rental_duration", "rental_rate"))
    terms = {number: Terms(days, rate) for number, days, rate in zip(*columns, strict=True)}
    copies = map(inventory.column, ("inventory_id", "film_id", "store_id"))
    for copy, film_id, store in zip(*copies, strict=True):
        yield from _loans_of_copy(dice, copy, store, terms[film_id])


def _loans_of_copy(dice: Dice, copy: int, store: int, terms: Terms) -> Iterator[Loan]:
    """A copy is out once at a time; then it rests on the shelf for up to 26 weeks."""
    taken = _START + _minutes(dice, 0, 100)
    while taken < CLOSING:
        returned = taken + _minutes(dice, 1, terms.days + 1)
        late_days = max(0, -((taken + terms.days * _DAY - returned) // _DAY))  # a day begun is a day late
        back = returned <= CLOSING
        yield Loan(
            taken=taken,
            copy=copy,
            customer=dice.below(CUSTOMERS // STORES) * STORES + store,
            returned=returned if back else None,
            clerk=dice.below(STAFF_PER_STORE) * STORES + store,
            rate=terms.rate,
            fee=late_days * _LATE_FEE_A_DAY if back else Decimal(0),
        )
        taken = returned + _minutes(dice, 0, 26 * 7)


def _minutes(dice: Dice, low_days: int, high_days: int) -> timedelta:
    minutes_a_day = _DAY // timedelta(minutes=1)
    return timedelta(minutes=dice.between(low_days * minutes_a_day, high_days * minutes_a_day))


def _rentals(loans: list[Loan]) -> Table:
    columns = ("rental_id", "rental_date", "inventory_id", "customer_id", "return_date", "staff_id", "last_update")
    rows: list[Row] = [
        (number, loan.taken, loan.copy, loan.customer, loan.returned, loan.clerk, loan.returned or loan.taken)
        for number, loan in enumerate(loans, 1)
    ]
    return Table("rental", columns, rows)


def _payments(loans: list[Loan]) -> Table:
    columns = ("payment_id", "customer_id", "staff_id", "rental_id", "amount", "payment_date", "last_update")
    paid = sorted(
        (day, rental, amount, loan)
        for rental, loan in enumerate(loans, 1)
        for day, amount in ((loan.taken, loan.rate), (loan.returned, loan.fee))
        if amount and day is not None
    )
    rows: list[Row] = [
        (number, loan.customer, loan.clerk, rental, amount, day, day)
        for number, (day, rental, amount, loan) in enumerate(paid, 1)
    ]
    return Table("payment", columns, rows)
