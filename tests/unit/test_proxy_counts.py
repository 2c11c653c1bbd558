"""What a proxy has counted, as it tells orchestrators: the counters of its metrics, read and not counted again."""

from collections.abc import Mapping

from proxy import metrics


def counted(node: str) -> Mapping[str, list[int]]:
    return {each.implementation: list(each.counts) for each in metrics.answered_so_far() if each.node == node}


def test_an_answer_is_in_the_bucket_of_its_time() -> None:
    for elapsed_ms in (0.4, 3.0, 3.0, 60_000.0):
        metrics.answered("random_hit", "counted1", elapsed_ms, 1)
    metrics.answered("direct_hit", "counted1", 1.0, 1)
    found = counted("counted1")
    bounds = metrics.bounds_ms()
    assert set(found) == {"random_hit", "direct_hit"}
    at = {bound: count for bound, count in zip([*bounds, float("inf")], found["random_hit"], strict=True) if count}
    assert at == {0.5: 1, 5.0: 2, float("inf"): 1}
    assert sum(found["direct_hit"]) == found["direct_hit"][bounds.index(1.0)] == 1


def test_errors_are_counted_by_their_code() -> None:
    before = metrics.errors_so_far().get("counted_code", 0)
    metrics.failed("counted_code")
    metrics.failed("counted_code")
    assert metrics.errors_so_far()["counted_code"] - before == 2
