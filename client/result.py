"""An answer with Python values."""

from collections.abc import Iterator
from typing import Any, Self

import msgspec

from client.values import reader
from contract.messages import Answer, Column, StatementResult


class Result(msgspec.Struct, frozen=True):
    """What a statement gave; iterating gives its rows.

    `node` answered after `attempts` tries; `elapsed_ms` is the gateway's time, not the client's. `truncated`: there
    were more rows than the policy lets through. `request_id` finds the request in the services' logs. A later request
    with the `consistency_token` of a write sees that write, on whichever node.
    """

    node: str
    implementation: str
    attempts: int
    elapsed_ms: float
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    affected_rows: int
    last_insert_id: int | None
    truncated: bool
    request_id: str
    consistency_token: str | None = None

    @classmethod
    def of_answer(cls, answer: Answer) -> Self:
        """The result that an answer stands for. Raises ValueError or TypeError when a value is not of its type."""
        return cls._of(answer, answer)

    @classmethod
    def all_of_answer(cls, answer: Answer) -> list[Self]:
        """The results of several statements. Raises ValueError or TypeError when a value is not of its type."""
        if answer.results is msgspec.UNSET:
            raise ValueError("an answer to several statements without their results")
        return [cls._of(answer, each) for each in answer.results]

    @classmethod
    def _of(cls, answer: Answer, given: Answer | StatementResult) -> Self:
        readers = [reader(column.type) for column in given.columns]
        return cls(
            node=answer.node,
            implementation=answer.implementation,
            attempts=answer.attempts,
            elapsed_ms=answer.elapsed_ms,
            columns=tuple(given.columns),
            rows=tuple(
                tuple(None if value is None else read(value) for read, value in zip(readers, row, strict=True))
                for row in given.rows
            ),
            affected_rows=given.affected_rows,
            last_insert_id=given.last_insert_id,
            truncated=given.truncated,
            request_id=answer.request_id,
            consistency_token=answer.consistency_token or None,
        )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries by column name; of columns with the same name the last one counts."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]
