"""The border to the driver: what each of its errors means."""

import pymysql
import pytest

from contract.errors import DatabaseRefused, DeadlineExceeded
from proxy.engines import ENGINES
from proxy.failures import ConnectionLost, Effect, NotSent, TemporaryFailure, translated

GALERA = ENGINES["galera"]

KINDS: dict[str, tuple[Exception, type[Exception]]] = {
    "gone before sending": (pymysql.OperationalError(2006, "gone"), NotSent),
    "lost while reading": (pymysql.OperationalError(2013, "lost"), ConnectionLost),
    "closed": (pymysql.InterfaceError(0, ""), ConnectionLost),
    "reset": (ConnectionResetError(), ConnectionLost),
    "silent": (pymysql.OperationalError(2013, "Lost connection during query (timed out)"), DeadlineExceeded),
    "time limit": (pymysql.OperationalError(1969, "max_statement_time exceeded"), DeadlineExceeded),
    "deadlock": (pymysql.OperationalError(1213, "Deadlock"), TemporaryFailure),
    "not ready": (pymysql.OperationalError(1047, "WSREP has not yet prepared node"), TemporaryFailure),
    "shutdown": (pymysql.OperationalError(1053, "shutdown in progress"), ConnectionLost),
    "error during commit": (pymysql.OperationalError(1180, "Got error 6 during COMMIT"), ConnectionLost),
    "missing table": (pymysql.ProgrammingError(1146, "no such table"), DatabaseRefused),
    "duplicate key": (pymysql.IntegrityError(1062, "Duplicate entry"), DatabaseRefused),
}


@pytest.mark.parametrize(("error", "kind"), KINDS.values(), ids=KINDS.keys())
def test_each_error_of_the_driver_has_one_meaning(error: Exception, kind: type[Exception]) -> None:
    assert type(translated(GALERA, error, "write")) is kind


@pytest.mark.parametrize(("effect", "again", "outcome"), [("read", True, "rolled_back"), ("write", False, "unknown")])
def test_only_a_read_is_tried_again_after_a_lost_connection(effect: Effect, again: bool, outcome: str) -> None:
    lost = ConnectionLost("lost")
    assert lost.again(effect) is again
    assert lost.final(effect).outcome == outcome
    assert lost.final(effect).retryable is again


@pytest.mark.parametrize("effect", ["read", "write"])
def test_what_was_not_sent_may_always_be_tried_again(effect: Effect) -> None:
    assert NotSent("x").again(effect)
    assert NotSent("x").final(effect).outcome == "not_executed"


def test_a_write_whose_time_ran_out_at_the_socket_has_an_unknown_outcome_and_at_the_server_none() -> None:
    silent = translated(GALERA, pymysql.OperationalError(2013, "(timed out)"), "write")
    limited = translated(GALERA, pymysql.OperationalError(1969, "limit"), "write")
    assert isinstance(silent, DeadlineExceeded)
    assert isinstance(limited, DeadlineExceeded)
    assert (silent.outcome, limited.outcome) == ("unknown", "rolled_back")


def test_an_exhausted_temporary_failure_is_the_databases_own_error_and_retryable() -> None:
    failure = translated(GALERA, pymysql.OperationalError(1213, "Deadlock found", sqlstate="40001"), "write")
    assert isinstance(failure, TemporaryFailure)
    final = failure.final("write")
    assert (final.status, final.mysql_errno, final.sqlstate, final.retryable) == (422, 1213, "40001", True)


def test_the_databases_text_does_not_tell_the_account_or_its_host() -> None:
    text = "SELECT command denied to user 'gk_reader'@'127.0.0.1' for table `mysql`.`user`"
    refusal = translated(GALERA, pymysql.OperationalError(1142, text), "read")
    assert isinstance(refusal, DatabaseRefused)
    assert "gk_reader" not in refusal.detail
    assert "127.0.0.1" not in refusal.detail


def test_a_galera_node_serves_only_when_it_is_synced_in_the_primary_component() -> None:
    good = {"wsrep_ready": "ON", "wsrep_cluster_status": "Primary", "wsrep_local_state_comment": "Synced"}
    assert GALERA.judge(good) == (True, "Synced")
    serving, state = GALERA.judge({**good, "wsrep_cluster_status": "non-Primary"})
    assert (serving, state) == (False, "wsrep_cluster_status=non-Primary")
    assert GALERA.judge({})[0] is False
