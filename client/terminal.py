"""How the command `gk` writes to the terminal, or to the pipe or file that stands for it."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.output import visible

# Tables in a pipe or a file are as wide as their content; at a terminal rich asks for its width.
_UNLIMITED_WIDTH = 100_000


def say(text: str) -> None:
    """Writes an answer's line."""
    sys.stdout.write(f"{visible(text)}\n")


def note(text: str) -> None:
    """Writes what is no part of the answer, to standard error."""
    sys.stderr.write(f"gk: {visible(text)}\n")


def print_table(table: Table) -> None:
    """Writes a table as wide as the terminal, or as its content."""
    Console(width=None if sys.stdout.isatty() else _UNLIMITED_WIDTH).print(table)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes rows of text as a table."""
    shown = Table(*columns)
    for row in rows:
        shown.add_row(*(Text(visible(value)) for value in row))
    print_table(shown)
