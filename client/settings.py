"""Where the command finds the gatekeeper's address and the key: an option, the environment, or a local cluster."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

URL_VARIABLE = "GATEKEEPER_URL"
KEY_VARIABLE = "GATEKEEPER_KEY"
STORE_VARIABLE = "GATEKEEPER_KEYS_FILE"
URL_FILE = Path("var/gatekeeper-url")
KEY_FILE = Path("var/demo-key")
STORE_FILE = Path("var/keys.json")
POLICY_VARIABLE = "GATEKEEPER_POLICY_FILE"
POLICY_FILE = Path("deploy/sample/policy.toml")  # the local cluster's


class SettingsError(ValueError):
    """The address or the key is missing or can't be read; says where it was looked for."""


class Access(msgspec.Struct, frozen=True):
    """Where to ask, and with which key; the key is left out of the representation."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Access(url={self.url!r}, key=...)"


def access(url: str | None, key_file: Path | None, environment: Mapping[str, str], directory: Path) -> Access:
    """The address and the key: what was given, else from `environment`, else from files found above `directory`.

    Raises SettingsError.
    """
    return Access(
        url=url or environment.get(URL_VARIABLE) or _found(URL_FILE, directory, f"--url or {URL_VARIABLE}"),
        key=_key(key_file, environment, directory),
    )


def key_store(environment: Mapping[str, str], directory: Path) -> Path:
    """The file in which the gatekeeper of this host keeps its keys. Raises SettingsError when none is found."""
    named = environment.get(STORE_VARIABLE)
    return Path(named) if named else _place(STORE_FILE, directory, f"--file or {STORE_VARIABLE}")


def policy_file(environment: Mapping[str, str], directory: Path) -> Path:
    """The policy of the gatekeeper of this host. Raises SettingsError when none is found."""
    named = environment.get(POLICY_VARIABLE)
    return Path(named) if named else _place(POLICY_FILE, directory, f"--policy or {POLICY_VARIABLE}")


def _key(key_file: Path | None, environment: Mapping[str, str], directory: Path) -> str:
    if key_file is not None:
        return _content(key_file)
    return environment.get(KEY_VARIABLE) or _found(KEY_FILE, directory, f"--key-file or {KEY_VARIABLE}")


def _found(name: Path, directory: Path, instead: str) -> str:
    return _content(_place(name, directory, instead))


def _place(name: Path, directory: Path, instead: str) -> Path:
    for place in (directory, *directory.parents):
        if (place / name).is_file():
            return place / name
    raise SettingsError(f"{name} is neither here nor above: is the cluster up? Else give {instead}")


def _content(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} can't be read: it is not UTF-8 text") from None
    if not content:
        raise SettingsError(f"{path} is empty")
    return content
