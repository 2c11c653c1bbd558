"""Reads the parameters of a statement from the command line."""

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from client.values import decoded

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def params(texts: Sequence[str]) -> list[Any] | dict[str, Any] | None:
    """The parameters: VALUE each for `?`, or NAME=VALUE each for `:name`. Raises ValueError when both are given."""
    if not texts:
        return None
    named = [_NAMED.fullmatch(text) for text in texts]
    if not any(named):
        return [value(text) for text in texts]
    pairs = [(match[1], match[2]) for match in named if match]
    if len(pairs) < len(texts) or len(dict(pairs)) < len(pairs):
        raise ValueError(
            "--param takes VALUE for ? or NAME=VALUE, each once, for :name, not both; a text is also '\"a=b\"'"
        )
    return {name: value(text) for name, text in pairs}


def value(text: str) -> Any:
    """The Python value of a text: read as JSON if it is JSON, with {"$bytes": ...} and {"$json": ...}, else itself."""
    try:
        read = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    match read:
        case {"$bytes": str(octets)} if len(read) == 1:
            return decoded(octets)
        case {"$json": document} if len(read) == 1:
            return document
    return read


def _refuse(name: str) -> NoReturn:
    """NaN and Infinity are no JSON (RFC 8259, section 6), whatever Python's reader thinks."""
    raise ValueError(name)
