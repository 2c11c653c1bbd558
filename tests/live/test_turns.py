"""An answer of very many values, which is read for seconds, keeps nobody from being served."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.live.system_fixtures import LiveSystem

# Nearly two million values: the server has them at once, and the proxy reads them for as long as it takes.
VALUES = 500
ROWS = 3_500
MOST_ROWS = 10_000
MANY = f"SELECT {', '.join(str(value) for value in range(VALUES))} FROM film a JOIN film b ON 1 = 1"
ONE = {"query": "SELECT title FROM film WHERE film_id = 1", "database": "rental"}


@pytest.mark.parametrize(
    ("accept", "rows", "least"),
    [("text/csv", MOST_ROWS, 3), ("application/json", ROWS, 1)],
    ids=["streamed", "collected"],
)
def test_others_are_answered_while_an_answer_of_very_many_values_is_collected(
    system: LiveSystem, accept: str, rows: int, least: int
) -> None:
    query = {"query": f"{MANY} LIMIT {rows}", "database": "rental", "timeout_ms": 60_000}
    with ThreadPoolExecutor(max_workers=1) as thread:
        large = thread.submit(system.send, json=query, headers={"Accept": accept})
        meanwhile = 0
        while not large.done():
            assert system.send(json=ONE).status_code == 200
            meanwhile += not large.done()
    assert large.result().status_code == 200, large.result().text[:500]
    # One that begins before the rows come proves nothing.
    assert meanwhile > least


def test_an_answer_of_too_many_values_to_be_held_is_refused_and_a_stream_has_them(system: LiveSystem) -> None:
    """Some 300 MB as values, though 15 MB on the wire."""
    query = {"query": f"{MANY} LIMIT {MOST_ROWS}", "database": "rental", "timeout_ms": 60_000}
    refused = system.send(json=query)
    assert (refused.status_code, refused.json()["rule"]) == (503, "answer_memory")
    streamed = system.send(json=query, headers={"Accept": "text/csv"})
    assert streamed.status_code == 200
    assert streamed.content.count(b"\n") == MOST_ROWS + 1
