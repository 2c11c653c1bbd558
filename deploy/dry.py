"""Machines in a dry run: what is asked of them is sent, what would change them is not.

So the steps of deploy/ tell what they would do by the code that does it, with the differences as they are now.
"""

from typing import BinaryIO

from deploy.host import COMMAND_TIMEOUT_S, Done, Host


class Dry(Host):
    """A machine that is looked at, by scripts for which all of its files are read-only. Changes end here, unsent."""

    is_dry = True

    def __init__(self, host: Host) -> None:
        super().__init__(host.machine, host.access)
        self._host = host

    def look(
        self,
        script: str,
        *,
        new: str = "",
        timeout_s: float = COMMAND_TIMEOUT_S,
        given: bytes | BinaryIO = b"",
        read_only: bool = True,  # noqa: ARG002 - it is always so
    ) -> str:
        """What the machine says. Raises HostError."""
        return self._host.look(script, new=new, timeout_s=timeout_s, given=given, read_only=True)

    def attempt(
        self,
        script: str,  # noqa: ARG002 (the interface)
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,  # noqa: ARG002 (the interface)
        given: bytes | BinaryIO = b"",  # noqa: ARG002 (the interface)
    ) -> Done:
        """Nothing, as if it had gone well."""
        return Done("", "", 0)

    def close(self) -> None:
        """Ends the connection."""
        self._host.close()


class New(Dry):
    """A machine that is not there yet: it answers as one that has just been made, and all its steps are told."""

    def look(
        self,
        script: str,  # noqa: ARG002 (the interface)
        *,
        new: str = "",
        timeout_s: float = COMMAND_TIMEOUT_S,  # noqa: ARG002 (the interface)
        given: bytes | BinaryIO = b"",  # noqa: ARG002 (the interface)
        read_only: bool = True,  # noqa: ARG002 (the interface)
    ) -> str:
        """What such a machine would say."""
        return new
