"""An answer of very many values, which is read for seconds, keeps nobody from being served."""

from concurrent.futures import ThreadPoolExecutor

from tests.live.system_fixtures import LiveSystem

# A million values: the server has them at once, and the proxy reads them for as long as it takes.
VALUES = 500
ROWS = 2_000
MANY = f"SELECT {', '.join(str(value) for value in range(VALUES))} FROM film a JOIN film b ON 1 = 1 LIMIT {ROWS}"
ONE = {"query": "SELECT title FROM film WHERE film_id = 1", "database": "rental"}


def test_others_are_answered_while_an_answer_of_very_many_values_is_collected(system: LiveSystem) -> None:
    with ThreadPoolExecutor(max_workers=1) as thread:
        large = thread.submit(system.send, json={"query": MANY, "database": "rental", "timeout_ms": 60_000})
        meanwhile = 0
        while not large.done():
            assert system.send(json=ONE).status_code == 200
            meanwhile += not large.done()
    answer = large.result()
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.json()["rows"]) == ROWS
    # One that starts before and one that ends after prove nothing.
    assert meanwhile > 2


def test_an_answer_of_too_many_values_to_be_held_is_refused_and_a_stream_has_them(system: LiveSystem) -> None:
    """Five times as many: some 300 MB as values, though 15 MB on the wire."""
    query = {"query": MANY.replace(f"LIMIT {ROWS}", f"LIMIT {5 * ROWS}"), "database": "rental", "timeout_ms": 60_000}
    refused = system.send(json=query)
    assert (refused.status_code, refused.json()["rule"]) == (503, "answer_memory")
    streamed = system.send(json=query, headers={"Accept": "text/csv"})
    assert streamed.status_code == 200
    assert streamed.content.count(b"\n") == 5 * ROWS + 1
