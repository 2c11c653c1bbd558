"""Rates and times from counters, and what they are when a proxy begins anew or is silent."""

from hypothesis import given
from hypothesis import strategies as st

from contract.console import QUEUE_TRAFFIC, Answered, NodeView, StatsAnswer
from contract.implementations import IMPLEMENTATIONS
from contract.messages import NodesAnswer, NodeStatus
from orchestrator.console import traffic
from orchestrator.console.traffic import OVER_S, Sample, Samples, change, quantile_ms

BOUNDS = (1.0, 10.0, 100.0)


def node(name: str = "data1", state: str = "up", failures: int = 0, ping_ms: float | None = 1.0) -> NodeStatus:
    return NodeStatus(name, "data", state, "Synced", ping_ms, 0, 0, failures, 0)  # type: ignore[arg-type]


def stats(
    *answered: tuple[str, str, int], proxy: str = "proxy1", nodes: list[NodeStatus] | None = None, errors: int = 0
) -> StatsAnswer:
    """What a proxy says that has answered so many within 1 ms."""
    about = NodesAnswer(proxy, "galera", "openssh", None, [node()] if nodes is None else nodes)
    counts = [Answered(implementation, at, (count, 0, 0, 0)) for implementation, at, count in answered]
    return StatsAnswer(about, BOUNDS, counts, {"unavailable": errors})


def views(samples: Samples, now: float) -> dict[str, NodeView]:
    return {each.name: each for each in traffic.nodes(samples.last(), samples.changes(now), now)}


def test_a_rate_is_what_was_added_by_the_seconds_in_between() -> None:
    found = change([Sample(10, stats(("random_hit", "data1", 5))), Sample(14, stats(("random_hit", "data1", 25)))])
    assert found is not None
    (first, second, *_) = traffic.implementations([found])
    assert (first.name, first.per_s, first.p50_ms) == ("direct_hit", 0.0, None)
    assert (second.name, second.per_s) == ("random_hit", 5.0)
    assert second.p50_ms == 0.5
    assert second.p99_ms == 0.99


def test_every_implementation_is_named_though_nobody_asked_for_it() -> None:
    assert [each.name for each in traffic.implementations([])] == [*IMPLEMENTATIONS, QUEUE_TRAFFIC]


def test_a_first_answer_gives_no_rate() -> None:
    assert change([Sample(1, stats(("random_hit", "data1", 5)))]) is None


def test_a_proxy_that_began_anew_has_no_rate_below_nothing() -> None:
    before, after = stats(("random_hit", "data1", 500)), stats(("random_hit", "data1", 3))
    assert change([Sample(1, before), Sample(3, after)]) is None
    found = change([Sample(1, before), Sample(3, after), Sample(5, stats(("random_hit", "data1", 13)))])
    assert found is not None
    assert found.answered == {("random_hit", "data1"): [10, 0, 0, 0]}
    assert found.seconds == 2


def test_failures_of_a_node_that_came_back_are_counted_from_its_beginning() -> None:
    before, after = stats(nodes=[node(failures=9)]), stats(nodes=[node(failures=2)])
    found = change([Sample(1, before), Sample(2, after)])
    assert found is not None
    assert found.failures == {"data1": 2}


def test_the_share_is_of_clients_requests_at_all_proxies() -> None:
    samples = Samples()
    nodes = [node("data1"), node("data2")]
    for at, count in ((0.0, 0), (4.0, 30)):
        one = stats(("random_hit", "data1", count), (QUEUE_TRAFFIC, "data2", 9 * count), nodes=nodes)
        other = stats(("random_hit", "data2", count * 3), proxy="proxy2", nodes=nodes)
        samples.add(at, [one, other])
    shown = views(samples, 4.0)
    assert (shown["data1"].share, shown["data2"].share) == (0.25, 0.75)
    assert (shown["data1"].per_s, shown["data2"].per_s) == (7.5, 22.5)


def test_a_node_that_proxies_see_differently_is_disputed() -> None:
    samples = Samples()
    samples.add(0.0, [stats(), stats(proxy="proxy2", nodes=[node(state="down", ping_ms=None)])])
    shown = views(samples, 0.0)["data1"]
    assert shown.state == "disputed"
    assert {each.proxy: each.status.state for each in shown.seen} == {"proxy1": "up", "proxy2": "down"}
    assert (shown.per_s, shown.share) == (None, None)


def test_a_proxy_that_is_silent_does_not_count_while_another_speaks_and_is_shown_with_its_age() -> None:
    samples = Samples()
    samples.add(0.0, [stats(nodes=[node(state="down")]), stats(proxy="proxy2")])
    samples.add(OVER_S + 1, [stats(proxy="proxy2")])
    now = OVER_S + 1
    assert views(samples, now)["data1"].state == "up"
    ages = {each.name: each.age_ms for each in traffic.proxies(samples.last(), {}, now)}
    assert ages == {"proxy1": 1000 * now, "proxy2": 0}


def test_when_all_are_silent_the_last_words_are_shown_with_their_age() -> None:
    samples = Samples()
    samples.add(0.0, [stats()])
    shown = views(samples, 100.0)["data1"]
    assert (shown.state, shown.age_ms, shown.per_s) == ("up", 100_000, None)


def test_errors_are_shown_by_their_code() -> None:
    samples = Samples()
    samples.add(0.0, [stats()])
    samples.add(2.0, [stats(errors=4)])
    (shown,) = traffic.proxies(samples.last(), samples.changes(2.0), 2.0)
    assert shown.errors_per_s == {"unavailable": 2.0}


def test_what_is_kept_of_proxies_is_bounded() -> None:
    samples = Samples()
    for at in range(200):
        samples.add(at / 100, [stats(proxy=f"p{number}") for number in range(100)])
    assert len(samples.last()) == 64
    samples.add(1000.0, [])
    assert samples.last() == {}


def test_past_the_last_bound_only_the_bound_is_known() -> None:
    assert quantile_ms(BOUNDS, (0, 0, 0, 4), 0.5) == 100.0
    assert quantile_ms(BOUNDS, (0, 0, 0, 0), 0.5) is None


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_that_has_it(counts: list[int], q: float) -> None:
    found = quantile_ms(BOUNDS, counts, q)
    if not sum(counts):
        assert found is None
        return
    assert found is not None
    below = sum(count for bound, count in zip(BOUNDS, counts, strict=False) if bound < found)
    assert below <= q * sum(counts) + 1e-6
