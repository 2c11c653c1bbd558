"""What is on the shelves: languages, categories, actors, films, and who plays in which."""

import json
from datetime import datetime
from decimal import Decimal

from deploy.sample import rental_words as words
from deploy.sample.rental_dice import Dice
from deploy.sample.rental_table import Row, Table

FILMS = 1000
ACTORS = 200

_STOCKTAKING = datetime(2023, 12, 15, 5, 30)
_RATES = tuple(map(Decimal, ("0.90", "1.90", "2.90", "4.50")))
_REPLACEMENT_COSTS = tuple(map(Decimal, ("9.50", "14.50", "19.50", "24.50", "29.50")))
_RATINGS = ("G", "PG", "PG-13", "R", "NC-17")
_FEATURES = ("Trailers", "Commentary", "Deleted Scenes", "Interviews")
_FORMATS = ("16 mm", "35 mm", "65 mm", "digital")
_RATIOS = ("1.37:1", "1.66:1", "1.85:1", "2.39:1")
_SUBTITLES = ("de", "en", "es", "fr", "hi", "ja", "pt")


def tables(dice: Dice) -> list[Table]:
    """The tables of the catalogue, those that are referred to first."""
    return [
        _names("language", words.LANGUAGES),
        _names("category", words.CATEGORIES),
        _actors(dice),
        _films(dice),
        _film_actors(dice),
        _film_categories(dice),
    ]


def _names(table: str, names: tuple[str, ...]) -> Table:
    rows: list[Row] = [(number, name, _STOCKTAKING) for number, name in enumerate(names, 1)]
    return Table(table, (f"{table}_id", "name", "last_update"), rows)


def _actors(dice: Dice) -> Table:
    rows: list[Row] = [
        (number, dice.pick(words.FIRST_NAMES), dice.pick(words.LAST_NAMES), _STOCKTAKING)
        for number in range(1, ACTORS + 1)
    ]
    return Table("actor", ("actor_id", "first_name", "last_name", "last_update"), rows)


def _films(dice: Dice) -> Table:
    titles = [f"{first} {second}" for first in words.TITLE_FIRST for second in words.TITLE_SECOND]
    columns = (
        "film_id",
        "title",
        "description",
        "release_year",
        "language_id",
        "original_language_id",
        "rental_duration",
        "rental_rate",
        "length",
        "replacement_cost",
        "rating",
        "special_features",
        "details",
        "last_update",
    )
    rows = [_film(dice, number, title) for number, title in enumerate(dice.sample(titles, FILMS), 1)]
    return Table("film", columns, rows)


def _film(dice: Dice, number: int, title: str) -> Row:
    return (
        number,
        title,
        _description(dice),
        dice.between(1962, 2023),
        1 if dice.chance(85) else dice.between(2, len(words.LANGUAGES)),
        dice.between(2, len(words.LANGUAGES)) if dice.chance(15) else None,
        dice.between(3, 7),
        dice.pick(_RATES),
        dice.between(46, 189),
        dice.pick(_REPLACEMENT_COSTS),
        dice.pick(_RATINGS),
        ",".join(feature for feature in _FEATURES if dice.chance(50)),
        _details(dice) if dice.chance(95) else None,
        _STOCKTAKING,
    )


def _description(dice: Dice) -> str:
    one, other = dice.sample(words.HEROES, 2)
    return (
        f"When {dice.pick(words.EVENTS)}, {one} and {other} have {dice.pick(words.SPANS)} to {dice.pick(words.TASKS)}."
    )


def _details(dice: Dice) -> str:
    details = {
        "studio": dice.pick(words.STUDIOS),
        "shot": {"format": dice.pick(_FORMATS), "ratio": dice.pick(_RATIOS)},
        "subtitles": sorted(dice.sample(_SUBTITLES, dice.between(0, 4))),
        "awards": dice.below(6) if dice.chance(40) else 0,
        "restored": dice.chance(20),
    }
    return json.dumps(details)


def _film_actors(dice: Dice) -> Table:
    actors = range(1, ACTORS + 1)
    rows: list[Row] = [
        (actor, film, _STOCKTAKING)
        for film in range(1, FILMS + 1)
        for actor in sorted(dice.sample(actors, dice.between(2, 9)))
    ]
    return Table("film_actor", ("actor_id", "film_id", "last_update"), rows)


def _film_categories(dice: Dice) -> Table:
    categories = range(1, len(words.CATEGORIES) + 1)
    rows: list[Row] = [
        (film, category, _STOCKTAKING)
        for film in range(1, FILMS + 1)
        for category in sorted(dice.sample(categories, 2 if dice.chance(20) else 1))
    ]
    return Table("film_category", ("film_id", "category_id", "last_update"), rows)
