"""When two names may be one and the same for a server."""

import unicodedata


def loosely(name: str) -> str:
    """The name without case and accents: whatever a server's collation or file system could call equal."""
    if name.isascii():
        return name.lower()
    plain = "".join([c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)])
    return plain.upper().casefold()
