"""Hedged reads on a real cluster: a node that stands still holds nobody up (issue 6)."""

import os
import signal
from pathlib import Path

from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import proxy_before, wait_until

READ = "SELECT film_id FROM rental.film WHERE film_id = ?"


def test_a_read_at_a_node_that_stands_still_is_answered_by_another(cluster: LiveCluster, tmp_path: Path) -> None:
    # The node is not found out by the prober before the reads have met it.
    with proxy_before(cluster, tmp_path, hedge_reads=True, probe_interval_ms=60_000) as proxy:
        proxy.wait_for("up", "manager", "data1", "data2", "data3")
        for number in range(1, 61):
            assert proxy.ask(READ, params=[number], implementation="random")["rows"] == [[number]]
        paused = cluster.status()["data1"].pid
        assert paused
        os.kill(paused, signal.SIGSTOP)
        try:
            answers = [proxy.ask(READ, params=[n], implementation="random", timeout_ms=20_000) for n in range(1, 31)]
        finally:
            os.kill(paused, signal.SIGCONT)
        assert [answer["rows"] for answer in answers] == [[[number]] for number in range(1, 31)]
        assert {answer["node"] for answer in answers} <= {"data2", "data3", "manager"}
        wait_until(lambda: all(node.in_flight == 0 for node in proxy.known().nodes), 60)
