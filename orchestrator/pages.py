"""A result in pages, each small enough to go through a proxy as a text within JSON."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from contract.later import Result
from contract.messages import Column, StatementResult

# Of a page's rows as JSON. As a text within JSON they may double, and a proxy takes less than 1 MiB.
PAGE_BYTES: Final = 256 << 10
# Of one row. A result ends before a larger one, and says that it is truncated.
MOST_ROW_BYTES: Final = 384 << 10
# Of the columns' names. What has more is kept without columns and rows: its effect must not be forgotten for them.
MOST_COLUMNS_BYTES: Final = 96 << 10

Results = list[StatementResult] | msgspec.UnsetType


class Answered(msgspec.Struct, frozen=True):
    """What a proxy answered, as far as it is kept; its rows as they came."""

    node: str
    columns: list[Column]
    rows: list[msgspec.Raw]
    affected_rows: int
    last_insert_id: int | None
    truncated: bool
    results: Results = msgspec.UNSET


class Kept(msgspec.Struct, frozen=True):
    """What is kept with a request: its result with the first page's rows, and how many pages there are."""

    pages: int
    result: Result


def split(answer: bytes) -> tuple[bytes, list[bytes]]:
    """A proxy's answer as what is kept with the request (Kept), and the rows of the pages from the second on."""
    found = msgspec.json.decode(answer, type=Answered)
    columns = found.columns if len(msgspec.json.encode(found.columns)) <= MOST_COLUMNS_BYTES else []
    rows = list(_until_too_large(found.rows)) if columns else []
    pages = list(_pages(rows)) or [[]]
    results, is_cut_off = _bounded(found.results)
    truncated = found.truncated or len(rows) < len(found.rows) or len(columns) < len(found.columns) or is_cut_off
    counted = (found.affected_rows, found.last_insert_id, truncated, results)
    first = Kept(len(pages), Result(found.node, columns, pages[0], *counted))
    return msgspec.json.encode(first), [msgspec.json.encode(page) for page in pages[1:]]


def _bounded(results: Results) -> tuple[Results, bool]:
    """What the statements of a transaction gave, without rows and columns where that is too much; and whether."""
    if isinstance(results, msgspec.UnsetType) or len(msgspec.json.encode(results)) <= MOST_ROW_BYTES:
        return results, False
    return [
        msgspec.structs.replace(each, columns=[], rows=[], truncated=bool(each.columns) or each.truncated)
        for each in results
    ], True


def _until_too_large(rows: Iterable[msgspec.Raw]) -> Iterator[msgspec.Raw]:
    for row in rows:
        if len(memoryview(row)) > MOST_ROW_BYTES:
            return
        yield row


def _pages(rows: Iterable[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    page: list[msgspec.Raw] = []
    size = 0
    for row in rows:
        length = len(memoryview(row)) + 1
        if page and size + length > PAGE_BYTES:
            yield page
            page, size = [], 0
        page.append(row)
        size += length
    if page:
        yield page
