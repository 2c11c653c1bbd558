"""What a task says and how it ends: the first failure in one sentence, and an exit code that tells its kind.

Exit codes: 0 done, or nothing to do; 1 wrong usage (Fabric's own, too); 2 failed; 130 interrupted.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from invoke.exceptions import Exit

from contract.errors import GatekeeperError
from deploy.backup import BackupError
from deploy.certificates import CertificateError
from deploy.cluster import ClusterError
from deploy.clusters import UnknownCluster
from deploy.engines import UnknownEngine
from deploy.engines.ndb import NotEnoughMemory
from deploy.host import HostError
from deploy.local import UnusableName
from deploy.nginx import EdgeError
from deploy.ports import NoPort
from deploy.processes import CommandFailed, tail
from deploy.providers.addresses import NoAddresses
from deploy.providers.ec2.cost import UnknownRegion
from deploy.providers.interface import ProviderError
from deploy.providers.loopback import CannotRun
from deploy.providers.servers import ServerDied
from deploy.providers.state import Busy, NoCluster, UnknownNode
from deploy.roles.files import KeyIsOpen
from deploy.roles.tarball import WrongChecksum
from deploy.services import ServiceError
from deploy.upkeep import NoRelease, NotWhole
from gatekeeper.keys import KeyStoreError

USAGE = 1
FAILED = 2
INTERRUPTED = 130

_LOG_LINES = 40

_USAGE_ERRORS = (ClusterError, UnknownCluster, UnknownEngine, UnknownNode, UnknownRegion, UnusableName)
_FAILURES = (
    BackupError,
    Busy,
    CannotRun,
    CertificateError,
    CommandFailed,
    EdgeError,
    GatekeeperError,
    HostError,
    KeyIsOpen,
    KeyStoreError,
    NoAddresses,
    NoCluster,
    NoPort,
    NoRelease,
    NotEnoughMemory,
    NotWhole,
    OSError,
    ProviderError,
    ServerDied,
    WrongChecksum,
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def reported(task: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The task, whose expected errors end the program with a sentence instead of a stack trace."""

    @functools.wraps(task)
    def reporting(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return task(*args, **kwargs)
        except _USAGE_ERRORS as error:
            raise Exit(str(error), code=USAGE) from None
        except ServiceError as error:
            raise Exit(_with_log(error), code=FAILED) from None
        except _FAILURES as error:
            raise Exit(f"failed: {error}", code=FAILED) from None
        except KeyboardInterrupt:
            raise Exit("interrupted", code=INTERRUPTED) from None

    return reporting


def _with_log(error: ServiceError) -> str:
    text = tail(error.log, _LOG_LINES) if error.log else ""
    return f"failed: {error}; {error.log} ends with\n{text}" if text else f"failed: {error}"
