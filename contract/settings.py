"""How a service reads its settings: a TOML file, checked in one step into frozen values."""

import os
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

Settings = TypeVar("Settings")


class SettingsError(ValueError):
    """A settings file can't be read or does not fit; the text names the file and the member."""


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths of this service's certificate and key, and of the deployment's authority, in PEM."""

    certificate: str
    key: str
    authority: str


def load(path: Path, kind: type[Settings], *, secret: bool = False) -> Settings:
    """The settings in a TOML file. A `secret` file must be readable by its owner only. Raises SettingsError."""
    try:
        if secret and path.stat().st_mode & 0o077:
            raise SettingsError(f"{path} holds secrets and must be readable by its owner only (chmod 600)")
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"{path}: {error}") from None


def load_named(variable: str, kind: type[Settings]) -> Settings:
    """The settings in the file that an environment variable names. Raises SettingsError."""
    path = os.environ.get(variable)
    if not path:
        raise SettingsError(f"the environment variable {variable} must name the settings file")
    return load(Path(path), kind)


def split_address(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`. Raises SettingsError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit():
        raise SettingsError(f"{listen!r} is not HOST:PORT")
    return host.strip("[]"), int(port)
