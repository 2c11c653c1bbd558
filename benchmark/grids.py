"""A table, once for Markdown and once for the terminal. Pure."""

from collections.abc import Sequence

import msgspec
from rich.table import Table
from rich.text import Text


class Grid(msgspec.Struct, frozen=True):
    """A heading, names of columns, and rows of as many cells. The first column has words, the others have figures."""

    heading: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: int = 1

    def markdown(self) -> str:
        """The table under its heading."""
        rule = ["---"] * self.words + ["---:"] * (len(self.columns) - self.words)
        return "\n".join([f"### {self.heading}", "", _line(self.columns), _line(rule), *map(_line, self.rows)])

    def terminal(self) -> Table:
        """The table for people at a terminal."""
        shown = Table(title=self.heading)
        for number, column in enumerate(self.columns):
            shown.add_column(column, justify="left" if number < self.words else "right")
        for row in self.rows:
            shown.add_row(*map(Text, row))
        return shown


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
