"""The border to the driver: what each of its errors means."""

import pymysql
import pytest

from contract.errors import DatabaseRefused, DeadlineExceeded, GatekeeperError
from contract.messages import Runnable
from proxy.calls import NotUndone
from proxy.engines import ENGINES
from proxy.failures import ConnectionLost, NotSent, TemporaryFailure, translated
from proxy.transaction import Uncommitted

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


@pytest.mark.parametrize(("effect", "harmless"), [("read", True), ("write", False), ("call", False), ("schema", False)])
def test_after_a_lost_connection_only_a_read_or_what_has_a_key_is_tried_again(effect: Runnable, harmless: bool) -> None:
    lost = translated(GALERA, pymysql.OperationalError(2013, "lost"), effect)
    assert isinstance(lost, ConnectionLost)
    assert lost.again(keyed=False) is harmless
    assert lost.again(keyed=True)
    assert lost.final(effect).outcome == ("rolled_back" if harmless else "unknown")
    assert lost.final(effect).retryable is harmless


@pytest.mark.parametrize("error", [pymysql.OperationalError(2013, "lost"), pymysql.OperationalError(1053, "shutdown")])
def test_a_transaction_that_is_lost_before_its_commit_has_no_effect_and_may_be_tried_again(
    error: pymysql.Error,
) -> None:
    lost = translated(GALERA, Uncommitted(*error.args), "write")
    assert isinstance(lost, ConnectionLost)
    assert lost.again(keyed=False)
    assert lost.final("write").outcome == "rolled_back"


def test_a_transaction_whose_time_ran_out_before_its_commit_has_no_effect() -> None:
    late = translated(GALERA, Uncommitted(2013, "Lost connection (timed out)"), "write")
    assert isinstance(late, DeadlineExceeded)
    assert late.outcome == "rolled_back"


# error, effect: what is known of its effect, and whether the proxy may try it again
CALLS_AND_SCHEMA: dict[str, tuple[pymysql.Error, Runnable, str, bool]] = {
    "a call, undone": (pymysql.OperationalError(1205, "lock wait"), "call", "rolled_back", True),
    "a call, not undone": (NotUndone(1205, "lock wait"), "call", "unknown", False),
    "a call's limit": (pymysql.OperationalError(1969, "limit"), "call", "rolled_back", False),
    "a call's limit, not undone": (NotUndone(1969, "limit"), "call", "unknown", False),
    "a call's error, not undone": (NotUndone(1062, "Duplicate entry"), "call", "unknown", False),
    "DDL that did not get its turn": (pymysql.OperationalError(1213, "Deadlock"), "schema", "unknown", False),
    "DDL's limit": (pymysql.OperationalError(1969, "limit"), "schema", "unknown", False),
    "a DROP in part": (pymysql.OperationalError(1051, "Unknown table"), "schema", "unknown", False),
    "DDL without effect": (pymysql.OperationalError(1050, "exists"), "schema", "rolled_back", False),
}


@pytest.mark.parametrize(("error", "effect", "outcome", "again"), CALLS_AND_SCHEMA.values(), ids=CALLS_AND_SCHEMA)
def test_a_call_or_ddl_is_said_to_be_rolled_back_only_where_it_is(
    error: pymysql.Error, effect: Runnable, outcome: str, again: bool
) -> None:
    failure = translated(GALERA, error, effect)
    assert isinstance(failure, TemporaryFailure) is again
    final = failure if isinstance(failure, GatekeeperError) else failure.final(effect)
    assert (final.outcome, final.retryable) == (outcome, again)


@pytest.mark.parametrize("effect", ["read", "write", "call", "schema"])
def test_what_was_not_sent_may_always_be_tried_again(effect: Runnable) -> None:
    assert NotSent("x").again(keyed=False)
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
