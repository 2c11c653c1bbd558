"""What is kept of requests that have ended: how it is removed (orchestrator/kept.py); tests/live has the rest."""

import re
from collections.abc import Sequence
from typing import Any

from orchestrator.kept import Kept
from orchestrator.statements import Done


class Tables:
    """Requests that ended long ago, with so many pages of results; the statements that were run on them."""

    def __init__(self, requests: int, pages: int) -> None:
        self.requests, self.pages = requests, pages
        self.most_pages_at_once = 0
        self.order: list[str] = []

    def ask(self, sql: str, params: Sequence[Any]) -> Done:
        if sql.startswith("SELECT"):
            return Done([[f"{number:032x}"] for number in range(self.requests)], 0)
        table = sql.split()[2]
        limit = re.search(r"LIMIT (\d+)\Z", sql)
        if table != "gatekeeper.results":
            self.order.append(table)
            return Done([], len(params))
        gone = min(self.pages, int(limit[1]) if limit else self.pages)
        self.pages -= gone
        self.most_pages_at_once = max(self.most_pages_at_once, gone)
        self.order += [] if self.pages else [table]
        return Done([], gone)


def test_of_very_much_that_is_removed_a_statement_takes_a_few_pages_and_the_requests_go_last() -> None:
    tables = Tables(requests=100, pages=6_800)
    assert Kept(tables.ask, 1 << 30, 1_000).remove(retention_s=1) == 100
    assert (tables.pages, tables.most_pages_at_once) == (0, 50)
    order = [table.removeprefix("gatekeeper.") for table in dict.fromkeys(tables.order)]
    assert order == ["results", "kept", "webhooks", "requests"]
