"""Statements as applications write them with Django's ORM, a few hundred, built by code."""

# mypy: disable-error-code="import-untyped"
# Django ships no types.

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    Variance,
    When,
    Window,
)  # fmt: skip
from django.db.models import functions as fn
from django.db.models.fields.json import KT

from tests.live.orm_django_models import Actor, Customer, Film, FilmActor, Inventory, Language, Payment, Rental, Scratch

Shapes = Iterator[tuple[str, Callable[[], object]]]

MAY = datetime(2025, 5, 1, 12, 30)

NUMBERS: dict[str, Any] = {
    "exact": 3, "gt": 3, "gte": 3, "lt": 90, "lte": 90, "in": [1, 2, 3], "range": (1, 90), "isnull": True,
    "regex": "^1",     "contains": 1, "startswith": 1,
}  # fmt: skip
TEXTS: dict[str, Any] = {
    "exact": "ACE", "iexact": "ace", "contains": "50%_\\", "icontains": "ac", "startswith": "A", "istartswith": "a",
    "endswith": "N", "iendswith": "n", "regex": "^[A-C]", "iregex": "^[a-c]", "in": ["ACE", "O'Brien"], "gt": "M",
    "lt": "M", "range": ("A", "B"), "isnull": False, "length__gt": 10, "lower": "ace", "upper__startswith": "A",
}  # fmt: skip
MOMENTS: dict[str, Any] = {
    "exact": MAY, "gt": MAY, "lte": MAY, "range": (MAY, MAY + timedelta(days=9)), "isnull": True, "year": 2025,
    "year__gt": 2024, "month": 5, "day": 1, "week": 18, "week_day": 2, "iso_week_day": 2, "quarter": 2,
    "iso_year": 2025, "date": date(2025, 5, 1), "date__gt": date(2025, 5, 1), "hour": 12, "minute__gte": 30,
    "second": 0,
    "time__gt": MAY.time(), "in": [MAY, MAY + timedelta(days=1)],
}  # fmt: skip
JSON: dict[str, Any] = {
    "details__studio": "x", "details__studio__icontains": "a", "details__has_key": "studio", "details__isnull": False,
    "details__has_keys": ["studio", "year"], "details__has_any_keys": ["a", "b"], "details__tags__0": "x",
    "details__contains": {"year": 2001}, "details__year__gt": 1990, "details__studio__isnull": True,
    "details__a__b__c": 1, "details__studio__in": ["x", "y"], "details__studio__startswith": "A",
}  # fmt: skip


def filters() -> Shapes:
    fields = (
        (Film, "length", NUMBERS), (Film, "film_id", NUMBERS), (Film, "release_year", NUMBERS),
        (Film, "title", TEXTS), (Film, "description", TEXTS), (Customer, "last_name", TEXTS),
        (Rental, "rental_date", MOMENTS), (Payment, "payment_date", MOMENTS),
    )  # fmt: skip
    for model, field, lookups in fields:
        for lookup, value in lookups.items():
            found = model.objects.filter(**{f"{field}__{lookup}": value})
            yield f"{field} {lookup}", found[:3].all
            if lookup in {"exact", "in", "contains", "icontains", "gt", "isnull", "regex", "year"}:
                yield f"not {field} {lookup}", model.objects.exclude(**{f"{field}__{lookup}": value})[:3].all
    for lookup, value in JSON.items():
        yield lookup, Film.objects.filter(**{lookup: value})[:3].all
    combined = {
        "or": Q(length__lt=60) | Q(rental_rate__gt=4), "and not": Q(length__lt=60) & ~Q(rating="G"),
        "xor": Q(length__lt=60) ^ Q(rating="G"), "nested": ~(Q(length=60) | (Q(rating="G") & ~Q(title="A"))),
        "field": Q(length__gt=F("rental_duration") * 20), "decimal": Q(rental_rate=Decimal("0.90")),
    }  # fmt: skip
    for name, condition in combined.items():
        yield name, Film.objects.filter(condition)[:3].all
    for count in (1, 50, 500, 2000):
        yield f"in {count}", Film.objects.filter(film_id__in=range(count)).count


def joins() -> Shapes:
    rented = Rental.objects.filter(customer=OuterRef("pk"))
    yield "forward", Film.objects.filter(language__name="English")[:3].all
    yield "many to many", Film.objects.filter(actors__last_name="X")[:3].all
    yield "excluded many to many", Film.objects.exclude(actors__last_name="X")[:3].all
    yield "backward", Language.objects.filter(films__length__gt=60).distinct()[:3].all
    yield "chain", Customer.objects.filter(rentals__inventory__film__title__startswith="A").distinct()[:3].all
    yield "select_related", Rental.objects.select_related("customer", "inventory__film__language")[:3].all
    yield "prefetch_related", Film.objects.prefetch_related("actors", "copies")[:3].all
    yield (
        "prefetch with a query",
        Film.objects.prefetch_related(Prefetch("copies", Inventory.objects.filter(store_id=1)))[:3].all,
    )
    yield "only", Film.objects.only("title")[:3].all
    yield "defer", Film.objects.defer("description", "details")[:3].all
    yield "values", Rental.objects.values("customer__last_name", "inventory__film__title")[:3].all
    yield "values_list", Film.objects.values_list("title", flat=True)[:3].all
    yield "exists", Customer.objects.filter(Exists(rented))[:3].all
    yield "not exists", Customer.objects.filter(~Exists(rented))[:3].all
    yield "annotated exists", Customer.objects.annotate(any=Exists(rented))[:3].all
    last = Subquery(rented.order_by("-rental_date").values("rental_date")[:1])
    yield "subquery", Customer.objects.annotate(last=last)[:3].all
    yield "in subquery", Film.objects.filter(film_id__in=Inventory.objects.filter(store_id=1).values("film_id"))[:3].all
    yield (
        "counted subquery",
        Customer.objects.annotate(n=Subquery(rented.order_by().values("customer").annotate(c=Count("*")).values("c")))[
            :3
        ].all,
    )
    yield "composite key", FilmActor.objects.filter(pk=(1, 2)).all
    yield "composite keys", FilmActor.objects.filter(pk__in=[(1, 2), (3, 4)]).all


def columns() -> Shapes:
    expressions: dict[str, Any] = {
        "arithmetic": F("length") * F("rental_duration") + 1, "modulo": F("length") % 7, "power": F("length") ** 2,
        "bits": F("length").bitand(3), "negative": -F("rental_rate"),
        "wrapped": ExpressionWrapper(F("length") / 60.0, output_field=FloatField()),
        "case": Case(When(length__lt=60, then=Value("short")), When(length=90, then=Value("9")), default=Value("x")),
        "case value": Case(When(rating="G", then=1), default=0, output_field=IntegerField()),
        "coalesce": fn.Coalesce("title", Value("none")), "nullif": fn.NullIf("length", 60),
        "greatest": fn.Greatest("length", "rental_duration"), "least": fn.Least("length", "rental_duration"),
        "concat": fn.Concat("title", Value(" ("), "rating", Value(")")), "lower": fn.Lower("title"),
        "upper": fn.Upper("title"), "length": fn.Length("title"), "substr": fn.Substr("title", 1, 3),
        "left": fn.Left("title", 2), "right": fn.Right("title", 2), "trim": fn.Trim("title"),
        "ltrim": fn.LTrim("title"),
        "replace": fn.Replace("title", Value("A"), Value("B")), "reverse": fn.Reverse("title"),
        "repeat": fn.Repeat("rating", 3), "lpad": fn.LPad("title", 20, Value("*")), "rpad": fn.RPad("title", 20),
        "strindex": fn.StrIndex("title", Value("A")), "ord": fn.Ord("title"), "chr": fn.Chr("length"),
        "md5": fn.MD5("title"), "sha256": fn.SHA256("title"), "abs": fn.Abs("length"), "ceil": fn.Ceil("rental_rate"),
        "floor": fn.Floor("rental_rate"), "round": fn.Round("rental_rate", 1), "sqrt": fn.Sqrt("length"),
        "mod": fn.Mod("length", 7), "log": fn.Log(2, "length"), "ln": fn.Ln("length"), "exp": fn.Exp("rental_rate"),
        "sign": fn.Sign("length"), "sin": fn.Sin("length"), "pi": fn.Pi(), "random": fn.Random(), "now": fn.Now(),
        "cast": fn.Cast("rental_rate", IntegerField()), "cast text": fn.Cast("length", CharField(max_length=9)),
        "cast float": fn.Cast("length", FloatField()), "collate": fn.Collate("title", "utf8mb4_bin"),
        "json key": F("details__studio"), "json text": KT("details__studio"),
        "json object": fn.JSONObject(id="film_id", name="title"), "json array": fn.JSONArray("film_id", "title"),
    }  # fmt: skip
    for name, expression in expressions.items():
        yield name, Film.objects.annotate(x=expression).values("x")[:2].all
        yield f"filter {name}", Film.objects.annotate(x=expression).filter(x__isnull=False).order_by("-x", "pk")[:2].all
    for kind in ("year", "quarter", "month", "week", "day", "hour", "minute", "second"):
        field = "payment_date"
        for name, function in {"trunc": fn.Trunc, "extract": fn.Extract}.items():
            grouped = Payment.objects.annotate(x=function(field, kind)).values("x").annotate(n=Count("*"))
            yield f"{name} {kind}", grouped[:2].all
    yield "dates", lambda: list(Payment.objects.dates("payment_date", "month"))
    yield "datetimes", lambda: list(Payment.objects.datetimes("payment_date", "day")[:3])
    yield "trunc date", Payment.objects.annotate(x=fn.TruncDate("payment_date")).values("x")[:2].all
    yield "trunc time", Payment.objects.annotate(x=fn.TruncTime("payment_date")).values("x")[:2].all
    taken = ExpressionWrapper(F("return_date") - F("rental_date"), output_field=IntegerField())
    yield "difference", Rental.objects.annotate(x=taken).values("x")[:2].all
    yield "interval", Rental.objects.filter(return_date__gt=F("rental_date") + timedelta(days=3))[:2].all


AGGREGATES: dict[str, Any] = {
    "sum": Sum, "avg": Avg, "min": Min, "max": Max, "std": StdDev, "var": Variance, "count": Count,
}  # fmt: skip


def aggregates() -> Shapes:
    for name, function in AGGREGATES.items():
        yield f"all {name}", lambda f=function: Payment.objects.aggregate(x=f("amount"))  # type: ignore[misc]
        yield f"filtered {name}", lambda f=function: Payment.objects.aggregate(x=f("amount", filter=Q(amount__gt=5)))  # type: ignore[misc]
        grouped = Payment.objects.values("customer_id").annotate(x=function("amount"))
        yield f"group {name}", grouped.order_by("customer_id")[:3].all
        yield f"having {name}", grouped.filter(x__gt=3).order_by("-x")[:3].all
        yield f"related {name}", Customer.objects.annotate(x=function("payments__amount")).order_by("-x")[:3].all
    yield "count distinct", lambda: Payment.objects.aggregate(x=Count("customer", distinct=True))
    yield "default", lambda: Payment.objects.filter(pk=0).aggregate(x=Sum("amount", default=0))
    yield "several", lambda: Film.objects.aggregate(Min("length"), Max("length"), n=Count("*"))
    yield "of annotations", lambda: Film.objects.annotate(n=Count("actors")).aggregate(Avg("n"))
    yield "count of distinct", Film.objects.values("rating").distinct().count
    yield "count of annotated", Film.objects.annotate(n=Count("actors")).filter(n__gt=3).count
    yield "exists()", Film.objects.filter(length__gt=60).exists
    yield "first", Film.objects.first
    yield "last", Film.objects.order_by("title").last
    yield "latest", lambda: Rental.objects.latest("rental_date")
    yield "in_bulk", lambda: Film.objects.in_bulk([1, 2, 3])
    yield "get", lambda: Film.objects.get(pk=1)


def windows_and_sets() -> Shapes:
    functions = {
        "row_number": fn.RowNumber(), "rank": fn.Rank(), "dense_rank": fn.DenseRank(), "ntile": fn.Ntile(4),
        "lag": fn.Lag("amount"), "lead": fn.Lead("amount", 2), "first": fn.FirstValue("amount"), "sum": Sum("amount"),
        "last": fn.LastValue("amount"), "percent_rank": fn.PercentRank(), "cume_dist": fn.CumeDist(),
        "avg": Avg("amount"),
    }  # fmt: skip
    few = Payment.objects.filter(customer_id__lt=3)
    for name, function in functions.items():
        yield f"window {name}", few.annotate(w=Window(function, order_by="payment_date")).all
        over = Window(function, partition_by="customer_id", order_by=[F("payment_date").desc(), "pk"])
        yield f"partition {name}", few.annotate(w=over).values("w").all
        yield f"filter {name}", few.annotate(w=over).filter(w__gt=1).all
    short, long = Film.objects.filter(length__lt=60), Film.objects.filter(length__gt=170)
    for name in ("union", "intersection", "difference"):
        yield name, getattr(short.values("pk"), name)(long.values("pk")).all
        yield f"{name} ordered", getattr(short.values("title"), name)(long.values("title")).order_by("title")[:3].all
    yield "union all", short.values("pk").union(long.values("pk"), all=True).all
    yield "counted union", short.values("pk").union(long.values("pk")).count


def pages() -> Shapes:
    for start, end in ((0, 1), (0, 20), (20, 40), (900, 1000)):
        yield f"page {start}", Film.objects.order_by("title", "pk")[start:end].all
    yield "to the end", Film.objects.order_by("pk")[990:].all
    for order in (
        "?",
        "-length",
        F("length").desc(nulls_last=True),
        F("length").asc(nulls_first=True),
        fn.Lower("title"),
    ):
        yield f"order {order}", Film.objects.order_by(order)[:3].all
    yield "order by related", Rental.objects.order_by("customer__last_name", "-rental_date")[:3].all
    yield "reverse", Film.objects.order_by("title").reverse()[:3].all
    yield "raw", lambda: list(Actor.objects.raw("SELECT * FROM actor WHERE last_name LIKE %s", ["A%"]))


def writes() -> Shapes:
    row: dict[str, Any] = {"number": 1, "price": Decimal("12.30"), "day": date(2025, 5, 1), "moment": MAY, "flag": True}
    objects = Scratch.objects
    for name, value in {**row, "data": {"a": [1, None, "x'y"]}}.items():
        yield f"create {name}", lambda n=name, v=value: objects.create(name=f"dj {n}", **{n: v})  # type: ignore[misc]
        yield f"update {name}", lambda n=name, v=value: objects.filter(name="dj number").update(**{n: v})  # type: ignore[misc]
    many = [Scratch(name=f"many {i}", number=i) for i in range(300)]
    yield "bulk_create", lambda: objects.bulk_create(many, batch_size=100)
    yield "bulk_create ignoring", lambda: objects.bulk_create([Scratch(name="many 1")], ignore_conflicts=True)
    yield (
        "upsert",
        lambda: objects.bulk_create(
            [Scratch(name="many 1", number=7)], update_conflicts=True, update_fields=["number", "flag"]
        ),
    )
    yield "save", lambda: Scratch(name="saved").save()
    yield "save again", lambda: Scratch(pk=objects.get(name="saved").pk, name="saved", number=2).save(force_update=True)
    yield "save a field", lambda: Scratch(pk=objects.get(name="saved").pk, number=3).save(update_fields=["number"])
    yield "refresh", lambda: objects.get(name="saved").refresh_from_db()
    yield "bulk_update", lambda: objects.bulk_update(list(objects.filter(number__lt=20)), ["price", "flag"])
    changes: dict[str, Any] = {
        "expression": {"number": F("number") + 1}, "null": {"day": None, "flag": None}, "several": row,
        "case": {"number": Case(When(number__gt=5, then=1), default=F("number"))},
        "function": {"name": fn.Concat(F("name"), Value("!"))}, "now": {"moment": fn.Now()},
        "subquery": {"number": Subquery(Actor.objects.order_by("pk").values("pk")[:1])},
    }  # fmt: skip
    for name, values in changes.items():
        yield f"update {name}", lambda v=values: objects.filter(name="dj number").update(**v)  # type: ignore[misc]
    conditions: dict[str, Any] = {
        "key": Q(pk=900_001), "keys": Q(pk__in=[900_001, 900_002]), "or": Q(pk=900_001) | Q(name="nobody"),
        "not": ~Q(name="nobody") & Q(pk__gt=900_000), "json": Q(data__a="nothing"), "day": Q(day__year=1999),
        "subquery": Q(number__in=Actor.objects.filter(last_name="NOBODY").values("pk")), "text": Q(name__contains="%"),
    }  # fmt: skip
    for name, condition in conditions.items():
        yield f"update where {name}", lambda c=condition: objects.filter(c).update(flag=False)  # type: ignore[misc]
        yield f"delete where {name}", lambda c=condition: objects.filter(c).delete()  # type: ignore[misc]
    yield "delete an object", lambda: objects.get(name="saved").delete()


def shapes() -> dict[str, Callable[[], object]]:
    """Every shape, to be called; a query is read to its end."""
    parts = (filters, joins, columns, aggregates, windows_and_sets, pages, writes)
    return {f"{part.__name__}: {name}": _read(shape) for part in parts for name, shape in part()}


def _read(shape: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        found: Any = shape()
        return list(found) if hasattr(found, "iterator") else found

    return run
