"""The provider `fleet`: systemd machines on this host, which behave as a cloud's small instances. Needs root."""

from deploy.providers.fleet.fleet import Fleet, Settings

__all__ = ["Fleet", "Settings"]
