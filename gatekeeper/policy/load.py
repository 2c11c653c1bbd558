"""From a TOML file to a checked policy, or to an error that names every mistake with its line."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from contract.messages import MAX_TIMEOUT_MS
from contract.transactions import MOST_OPEN
from gatekeeper.policy.contradictions import contradictions
from gatekeeper.policy.lines import Place, lines
from gatekeeper.policy.model import Kind, Policy, PolicyError, Role, RoleName
from gatekeeper.rates import MOST_BURST, MOST_CONCURRENT

_TABLES = 'a list of tables, each "schema.table" or "schema.*"'
_COLUMNS = 'a table of lists of columns by table, such as "schema.table" = ["column"]'
_IMPLEMENTATIONS = "direct_hit, random_hit, customized_hit"
# What stands in each member, for people.
ALLOWED: Final = {
    "kinds": f"a list of {', '.join(get_args(Kind))}",
    "read": _TABLES,
    "write": _TABLES,
    "define": _TABLES,
    "hidden": _COLUMNS,
    "read_columns": _COLUMNS,
    "write_columns": _COLUMNS,
    "functions": "a list of functions' names in lower case",
    "procedures": 'a list of procedures, each "schema.procedure"',
    "where_required": "true or false",
    "report_only": "true or false",
    "record": "true or false",
    "default_database": "a schema's name",
    "implementations": f"a list of {_IMPLEMENTATIONS}",
    "default_implementation": f"one of {_IMPLEMENTATIONS}",
    "max_rows": "an integer from 1",
    "max_timeout_ms": f"an integer from 1 to {MAX_TIMEOUT_MS}",
    "max_result_bytes": "an integer from 1",
    "max_affected_rows": "an integer from 0",
    "webhooks": 'a list of what addresses begin with, each "https://host/" with a path that ends in / or none',
    "max_transactions": f"an integer from 0 to {MOST_OPEN}",
    "limits": f"a table of rate_per_second (a number from 0.001), burst (an integer from 1 to {MOST_BURST}) and "
    f"max_concurrent (an integer from 1 to {MOST_CONCURRENT})",
    "expires": "a date and time with its offset, such as 2027-01-31T18:00:00+01:00,",
}

# One of these fits under every name that a table within a role may have.
_SOUND: Final[tuple[object, ...]] = ([], 1)
_MOST_SHOWN = 60  # characters of a wrong value
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TOML_LINE = re.compile(r"\(at line (\d+), ")

# A mistake: where it is, and what is said of it.
Mistake = tuple[Place, str]


def load(path: Path) -> Policy:
    """The policy in the file. Raises PolicyError, also for a file that can't be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path} can't be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str = "policy") -> Policy:
    """The policy in the TOML text. Raises PolicyError with all mistakes, a line `NAME:LINE: mistake` each."""
    try:
        document = tomllib.loads(text)
        mistakes = list(_mistakes(document))
        lines_of = lines(text) if mistakes else {}
    except (ValueError, RecursionError) as error:  # besides TOMLDecodeError: integers of thousands of digits
        raise PolicyError(f"{name}:{_line_of(error, text)}: not TOML: {error}") from None
    if mistakes:
        found = [(_line(lines_of, place), f"{_dotted(place)}: {said}") for place, said in mistakes]
        raise PolicyError("\n".join(f"{name}:{line}: {said}" for line, said in sorted(found, key=itemgetter(0))))
    return msgspec.convert(document, Policy)


def _line_of(error: Exception, text: str) -> int:
    """The line that tomllib names, or the last one."""
    found = _TOML_LINE.search(str(error))
    return int(found.group(1)) if found else text.rstrip().count("\n") + 1


def _line(lines_of: Mapping[Place, int], place: Place) -> int:
    """The line of the place, or of the nearest thing around it that is there."""
    return next((line for length in range(len(place), 0, -1) if (line := lines_of.get(place[:length]))), 1)


def _dotted(place: Place) -> str:
    """The member's name as TOML writes it; elements of arrays have none."""
    names = [part for part in place if isinstance(part, str)]
    return ".".join(part if _BARE.fullmatch(part) else msgspec.json.encode(part).decode() for part in names)


def _mistakes(document: dict[str, Any]) -> Iterator[Mistake]:
    yield from (((name,), "unknown member; known are roles") for name in document if name != "roles")
    roles = document.get("roles")
    if not isinstance(roles, dict) or not roles:
        yield ("roles",), "at least one is needed, each a table [roles.NAME]"
        return
    for name, members in roles.items():
        if not _fits(name, RoleName):
            yield ("roles", name), "a role's name has 1 to 64 letters, digits, _ and -"
        if isinstance(members, dict):
            yield from ((("roles", name, *place), said) for place, said in _role_mistakes(members))
        else:
            yield ("roles", name), "a table was expected"


def _role_mistakes(members: dict[str, Any]) -> Iterator[Mistake]:
    fields = {field.name: field for field in msgspec.structs.fields(Role)}
    yield from (((name,), f"unknown member; known are {', '.join(fields)}") for name in members if name not in fields)
    unsound: set[str] = set()
    for name, field in fields.items():
        mistakes = list(_member_mistakes(name, field, members))
        unsound.update({name} if mistakes else ())
        yield from mistakes
    sound = {name: value for name, value in members.items() if name in fields.keys() - unsound}
    yield from contradictions(msgspec.convert({"kinds": [], **sound}, Role), unsound)


def _member_mistakes(name: str, field: msgspec.structs.FieldInfo, members: dict[str, Any]) -> Iterator[Mistake]:
    if name in members:
        for place, value in _misfits(members[name], lambda part: _fits(part, field.type)):
            yield (name, *place), f"{ALLOWED[name]} was expected, not {_shown(value)}"
    elif field.required:
        yield (name,), f"missing; {ALLOWED[name]} is expected"


def _misfits(value: object, fits: Callable[[object], bool]) -> Iterator[tuple[Place, object]]:
    """The smallest parts of the value that do not fit, with the way to them; nothing where all of it fits."""
    if fits(value):
        return
    smaller: list[tuple[Place, object]] = []
    if isinstance(value, list) and fits([]):
        for number, part in enumerate(value):
            smaller += [((number, *way), wrong) for way, wrong in _misfits(part, lambda part: fits([part]))]
    elif isinstance(value, dict) and fits({}):
        for name, part in value.items():
            smaller += [((name, *way), wrong) for way, wrong in _misfits_of(name, part, fits)]
    yield from smaller or [((), value)]


def _misfits_of(name: str, part: object, fits: Callable[[object], bool]) -> Iterator[tuple[Place, object]]:
    """Of a table's member: its name, where nothing fits under it, else the smallest parts of its value."""
    if any(fits({name: sound}) for sound in _SOUND):
        yield from _misfits(part, lambda part: fits({name: part}))
    else:
        yield (), name


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "so large a number"
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
