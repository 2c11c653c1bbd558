"""EC2's API as this provider reaches it, and all it needs of the world besides. Errors are translated here.

Credentials are found by boto3's own chain (environment, files, SSO, an instance's role) and never looked at.
"""

import contextlib
import functools
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import boto3.session
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from deploy.providers.ec2 import errors
from deploy.providers.interface import ProviderError

if TYPE_CHECKING:  # the types of boto3's clients are there for the checker alone
    from types_boto3_ec2 import EC2Client
    from types_boto3_ssm import SSMClient

_CONNECT_TIMEOUT_S: Final = 10
_READ_TIMEOUT_S: Final = 60
_BANNER_TIMEOUT_S: Final = 5.0


def answers(address: str, port: int) -> bool:
    """Whether an SSH server says its name there, within 5 s."""
    try:
        with socket.create_connection((address, port), timeout=_BANNER_TIMEOUT_S) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


class World(msgspec.Struct, frozen=True):
    """What a test replaces. `endpoint`: another one than AWS's; `attempts`: of a call that AWS throttles or loses."""

    session: Callable[[], boto3.session.Session] = boto3.session.Session
    endpoint: str | None = None
    attempts: int = 5
    answers: Callable[[str, int], bool] = answers
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic

    def wait(self, check: Callable[[], bool], *, timeout_s: float, every_s: float, late: Callable[[], str]) -> None:
        """Wait until the check is true. Raises ProviderError with what `late` says, and how long it was waited for."""
        deadline = self.now() + timeout_s
        while not check():
            if self.now() >= deadline:
                raise ProviderError(f"{late()} (waited {timeout_s:g} s)")
            self.sleep(every_s)


class Api:
    """The clients, made when they are first needed. `region`: none for that of boto3's configuration."""

    def __init__(self, region: str | None, world: World) -> None:
        self.world = world
        self._region = region

    @functools.cached_property
    def ec2(self) -> "EC2Client":
        """EC2's client."""
        return self._session.client(
            "ec2", region_name=self._region, endpoint_url=self.world.endpoint, config=self._config
        )

    @functools.cached_property
    def ssm(self) -> "SSMClient":
        """The client for AWS's public parameters."""
        return self._session.client(
            "ssm", region_name=self._region, endpoint_url=self.world.endpoint, config=self._config
        )

    @property
    def region(self) -> str:
        """The region's name."""
        return self.ec2.meta.region_name

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """The border at which AWS's errors become the provider's."""
        try:
            yield
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            region = self._region or (self.__dict__["ec2"].meta.region_name if "ec2" in self.__dict__ else None)
            raise ProviderError(errors.sentence(error, region)) from None

    @functools.cached_property
    def _session(self) -> boto3.session.Session:
        return self.world.session()

    @property
    def _config(self) -> Config:
        return Config(
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": self.world.attempts},
        )
