"""The border to the driver: its errors become ours, with what is known of the statement's effect."""

import re

import pymysql

from contract.errors import DatabaseRefused, DeadlineExceeded, GatekeeperError, Outcome, Unavailable, UpstreamFailed
from contract.messages import Runnable
from proxy.calls import NotUndone
from proxy.engines import ENGINES, Engine, ErrorClass, error_class
from proxy.ledger import Undecided
from proxy.transaction import Uncommitted

_GONE_BEFORE_SENDING = 2006  # CR_SERVER_GONE_ERROR: the driver raises it when writing to the socket fails
# Errors of the client's side of the protocol (MySQL 9 source, include/errmsg.h): the connection is of no more use.
_CLIENT_ERRORS = range(2000, 3000)
# A DROP of several names the one that it can't drop, and those before it are gone (MariaDB 10.11.19): 1051 and 4092 no
# such table or view, 4091 sequence, 1217 and 1451 a foreign key refers to it.
_DROPPED_IN_PART = frozenset({1051, 1217, 1451, 4091, 4092})

# MySQL names the account, its host and its own in some errors (1142, 1143, 1044): not the caller's affair.
_ACCOUNT = re.compile(r"(?:for |to )?user '[^']*'@'[^']*'")


class NotSent(Exception):
    """Nothing of the statement has reached the server."""

    def again(self, *, keyed: bool) -> bool:  # noqa: ARG002 (as the others)
        """Another node may be tried, for any statement."""
        return True

    def final(self, _effect: Runnable) -> GatekeeperError:
        """What the caller is told when nothing more is tried."""
        return Unavailable(f"no node could be used: {self}", rule="no_healthy_node")


class TemporaryFailure(Exception):
    """The server rolled the statement back, for a reason that passes."""

    def __init__(self, refusal: DatabaseRefused) -> None:
        super().__init__(refusal.detail)
        self._refusal = refusal

    def again(self, *, keyed: bool) -> bool:  # noqa: ARG002 (as the others)
        """It may be run again, for any statement."""
        return True

    def final(self, _effect: Runnable) -> GatekeeperError:
        """What the caller is told when nothing more is tried."""
        return self._refusal


class ConnectionLost(Exception):
    """The connection ended before the answer did. `harmless`: whatever was sent is known to have no effect."""

    def __init__(self, reason: str, *, harmless: bool) -> None:
        super().__init__(reason)
        self.harmless = harmless

    def again(self, *, keyed: bool) -> bool:
        """Not what may have taken effect, unless its key tells whether it has (proxy/ledger.py)."""
        return self.harmless or keyed

    def final(self, _effect: Runnable) -> GatekeeperError:
        """What the caller is told when nothing more is tried."""
        return UpstreamFailed(
            "the node was lost before it answered",
            outcome="rolled_back" if self.harmless else "unknown",
            retryable=self.harmless,
        )


Failure = NotSent | TemporaryFailure | ConnectionLost | Undecided


def translated(engine: Engine | None, error: Exception, effect: Runnable) -> Failure | GatekeeperError:
    """Our error for one that the driver raised while a statement ran.

    NotSent, TemporaryFailure or ConnectionLost, which may be tried again, or a GatekeeperError, which is final.
    """
    errno = error.args[0] if error.args and isinstance(error, pymysql.MySQLError) else None
    harmless = effect == "read" or isinstance(error, Uncommitted)
    if errno == _GONE_BEFORE_SENDING:
        return NotSent("the connection was closed before the statement was sent")
    if not isinstance(errno, int) or errno < 1000 or errno in _CLIENT_ERRORS:
        if "timed out" in str(error):
            return DeadlineExceeded("the statement did not end in time", outcome=_lost_outcome(harmless=harmless))
        return ConnectionLost("the connection was lost", harmless=harmless)
    if error_class(engine or ENGINES["standalone"], errno, str(error.args[-1])) == "lost":
        return ConnectionLost(f"the server ended the connection with error {errno}", harmless=harmless)
    return _refusal(engine or ENGINES["standalone"], error, errno, effect)


def _refusal(engine: Engine, error: Exception, errno: int, effect: Runnable) -> TemporaryFailure | GatekeeperError:
    kind = error_class(engine, errno, str(error.args[-1]))
    outcome = _refused_outcome(kind, error, errno, effect)
    if kind == "timeout":
        return DeadlineExceeded("the statement was ended at its time limit", outcome=outcome, mysql_errno=errno)
    passes = kind == "temporary" and outcome == "rolled_back"
    refusal = DatabaseRefused(
        _ACCOUNT.sub("for this account", str(error.args[-1])),
        outcome=outcome,
        retryable=passes,
        mysql_errno=errno,
        sqlstate=getattr(error, "sqlstate", None),
    )
    return TemporaryFailure(refusal) if passes else refusal


def _refused_outcome(kind: ErrorClass, error: Exception, errno: int, effect: Runnable) -> Outcome:
    """What an error of the server leaves behind: nothing, but for a call that can't be undone, and for some DDL."""
    in_part = effect == "schema" and (kind != "permanent" or errno in _DROPPED_IN_PART)
    return "unknown" if in_part or isinstance(error, NotUndone) else "rolled_back"


def _lost_outcome(*, harmless: bool) -> Outcome:
    return "rolled_back" if harmless else "unknown"
