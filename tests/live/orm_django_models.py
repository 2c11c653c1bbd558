"""The tables of `rental` that the shapes use, as Django models; orm_django must be imported first."""

# mypy: disable-error-code="import-untyped,misc"
# Django ships no types, so that its classes are Any.

from typing import Any

from django.db import models
from django.db.models import functions

from tests.live import orm_django as _configured  # noqa: F401 - models need Django's settings

for _field in (models.CharField, models.TextField):
    for _transform in (functions.Length, functions.Lower, functions.Upper):
        _field.register_lookup(_transform)


class Language(models.Model):
    language_id: Any = models.AutoField(primary_key=True)
    name: Any = models.CharField(max_length=20)

    class Meta:
        db_table = "language"


class Category(models.Model):
    category_id: Any = models.AutoField(primary_key=True)
    name: Any = models.CharField(max_length=25)

    class Meta:
        db_table = "category"


class Actor(models.Model):
    actor_id: Any = models.AutoField(primary_key=True)
    first_name: Any = models.CharField(max_length=45)
    last_name: Any = models.CharField(max_length=45)

    class Meta:
        db_table = "actor"


class Film(models.Model):
    film_id: Any = models.AutoField(primary_key=True)
    title: Any = models.CharField(max_length=128)
    description: Any = models.TextField(null=True)
    release_year: Any = models.IntegerField(null=True)
    language: Any = models.ForeignKey(Language, models.PROTECT, related_name="films")
    rental_duration: Any = models.IntegerField()
    rental_rate: Any = models.DecimalField(max_digits=4, decimal_places=2)
    length: Any = models.IntegerField(null=True)
    replacement_cost: Any = models.DecimalField(max_digits=5, decimal_places=2)
    rating: Any = models.CharField(max_length=5)
    details: Any = models.JSONField(null=True)
    actors: Any = models.ManyToManyField(Actor, through="FilmActor", related_name="films")

    class Meta:
        db_table = "film"


class FilmActor(models.Model):
    pk: Any = models.CompositePrimaryKey("actor_id", "film_id")
    actor: Any = models.ForeignKey(Actor, models.PROTECT)
    film: Any = models.ForeignKey(Film, models.PROTECT)

    class Meta:
        db_table = "film_actor"


class Inventory(models.Model):
    inventory_id: Any = models.AutoField(primary_key=True)
    film: Any = models.ForeignKey(Film, models.PROTECT, related_name="copies")
    store_id: Any = models.IntegerField()

    class Meta:
        db_table = "inventory"


class Customer(models.Model):
    customer_id: Any = models.AutoField(primary_key=True)
    store_id: Any = models.IntegerField()
    first_name: Any = models.CharField(max_length=45)
    last_name: Any = models.CharField(max_length=45)
    email: Any = models.CharField(max_length=80, null=True)
    birth_date: Any = models.DateField(null=True)
    active: Any = models.BooleanField()
    create_date: Any = models.DateTimeField()

    class Meta:
        db_table = "customer"


class Rental(models.Model):
    rental_id: Any = models.AutoField(primary_key=True)
    rental_date: Any = models.DateTimeField()
    inventory: Any = models.ForeignKey(Inventory, models.PROTECT, related_name="rentals")
    customer: Any = models.ForeignKey(Customer, models.PROTECT, related_name="rentals")
    return_date: Any = models.DateTimeField(null=True)
    staff_id: Any = models.IntegerField()

    class Meta:
        db_table = "rental"


class Payment(models.Model):
    payment_id: Any = models.AutoField(primary_key=True)
    customer: Any = models.ForeignKey(Customer, models.PROTECT, related_name="payments")
    rental: Any = models.ForeignKey(Rental, models.PROTECT, null=True)
    amount: Any = models.DecimalField(max_digits=5, decimal_places=2)
    payment_date: Any = models.DateTimeField()

    class Meta:
        db_table = "payment"


class Scratch(models.Model):
    """A table that the test makes: what is written stays out of the sample."""

    name: Any = models.CharField(max_length=60, unique=True)
    number: Any = models.IntegerField(null=True)
    price: Any = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    day: Any = models.DateField(null=True)
    moment: Any = models.DateTimeField(null=True)
    flag: Any = models.BooleanField(null=True)
    data: Any = models.JSONField(null=True)

    class Meta:
        db_table = "orm_scratch"
