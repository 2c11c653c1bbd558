"""The Python client of the gatekeeper and the command `gk`. docs/client.md shows their use."""

from client.dbapi import connect
from client.gateway import Client
from client.result import Result

__all__ = ["Client", "Result", "connect"]
