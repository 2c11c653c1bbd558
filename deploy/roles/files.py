"""The operator's files of a cluster: keys, certificates, passwords. Made once, 0600, in a directory that is 0700.

Who has this directory has the cluster. Nothing of it is in git; back it up as you would a root password.
"""

import secrets
from pathlib import Path
from typing import Final

import msgspec

from contract.roles import Role
from deploy import certificates
from deploy.certificates import Credentials
from deploy.engines.mariadb import Accounts, accounts_file, missing_accounts, new_accounts
from deploy.providers.sshd import new_key_pair
from deploy.secrets import WORLD_READABLE, private_directory, write_file
from gatekeeper import keys

OPERATOR_KEY_NAME: Final = "operator"


class KeyIsOpen(ValueError):
    """A file with a secret can be read by others."""


class Material(msgspec.Struct, frozen=True):
    """The files, by what they are for. `directory` is the cluster's; `policy_file`: what gatekeepers are to hold."""

    directory: Path
    policy_file: Path

    @property
    def operator_key(self) -> Path:
        """The operator's private SSH key; its public half, one line, lies beside it as `.pub`."""
        return self.directory / "operator.key"

    @property
    def host_keys(self) -> Path:
        """The machines' host keys, as the provider gave them."""
        return self.directory / "known_hosts"

    @property
    def inventory(self) -> Path:
        """The inventory."""
        return self.directory / "cluster_config.csv"

    @property
    def keys_file(self) -> Path:
        """The API keys' hashes; `gk keys --file` changes it, and `fab deploy` brings it to the gatekeepers."""
        return self.directory / "keys.json"

    @property
    def api_key(self) -> Path:
        """The API key that the tasks themselves ask with."""
        return self.directory / "api-key"

    @property
    def certificates(self) -> Path:
        """The authority, its key, and the services' certificates."""
        return self.directory / "certificates"

    @property
    def group_secret(self) -> Path:
        """What the engine's nodes know each other by."""
        return self.directory / "group-secret"

    @property
    def queue_secret(self) -> Path:
        """What all orchestrators sign cursors with."""
        return self.directory / "queue-secret"

    def make(self, role: str) -> list[str]:
        """Makes what is missing; returns its names. `role`: the policy's, for the tasks' API key. Raises KeyIsOpen."""
        private_directory(self.directory)
        self.check_closed()
        made = [path.name for path in (self.operator_key, self._tunnel_key) if _key_pair(path)]
        made += self._make_secrets()
        if not self.api_key.exists():
            if any(key.name == OPERATOR_KEY_NAME for key in keys.listed(self.keys_file)):
                keys.revoke(self.keys_file, OPERATOR_KEY_NAME)
            write_file(self.api_key, f"{keys.add(self.keys_file, OPERATOR_KEY_NAME, role)}\n".encode())
            made.append(self.api_key.name)
        if not self.certificates.exists():
            private_directory(self.certificates)
            made.append(self.certificates.name)
        certificates.create_authority(self.certificates)
        return made

    def _make_secrets(self) -> list[str]:
        made = []
        secret = secrets.token_bytes
        wanted = ((self.group_secret, secret(32)), (self.queue_secret, secret(32)), (self._accounts, _new_accounts()))
        for path, content in wanted:
            if not path.exists():
                write_file(path, content)
                made.append(path.name)
        if accounts := missing_accounts(self._accounts.read_text(encoding="utf-8")):  # of an earlier version
            write_file(self._accounts, accounts_file(accounts).encode())
            made.append(self._accounts.name)
        return made

    def public_key(self, path: Path) -> str:
        """The public half of a key pair, one line."""
        return path.with_suffix(".pub").read_text(encoding="utf-8").strip()

    @property
    def tunnel_public_key(self) -> str:
        """The public key that proxies tunnel with."""
        return self.public_key(self._tunnel_key)

    @property
    def operator_public_key(self) -> str:
        """The operator's public key."""
        return self.public_key(self.operator_key)

    def issue(self, role: Role, name: str) -> Credentials:
        """The service's credentials, renewed when they are missing or end soon."""
        return certificates.issue(self.certificates, role, name)

    def accounts(self) -> Accounts:
        """The database accounts with their passwords."""
        return msgspec.toml.decode(self._accounts.read_bytes(), type=Accounts)

    def replace_accounts(self, accounts: Accounts) -> None:
        """Puts other accounts in the place of those known."""
        write_file(self._accounts, accounts_file(accounts).encode())

    def accounts_file(self) -> bytes:
        """The accounts in the form of the file that a proxy reads."""
        return self._accounts.read_bytes()

    def tunnel_key(self) -> bytes:
        """The private key that proxies tunnel with."""
        return self._tunnel_key.read_bytes()

    def known_hosts(self) -> bytes:
        """The machines' host keys."""
        return self.host_keys.read_bytes()

    def policy(self) -> bytes:
        """The policy."""
        return self.policy_file.read_bytes()

    def keys(self) -> bytes:
        """The API keys' hashes."""
        return self.keys_file.read_bytes()

    @property
    def _tunnel_key(self) -> Path:
        return self.directory / "tunnel.key"

    @property
    def _accounts(self) -> Path:
        return self.directory / "accounts.toml"

    def check_closed(self) -> None:
        """Raises KeyIsOpen for a secret that others can read."""
        keys_and_passwords = (self.operator_key, self._tunnel_key, self._accounts, self.api_key)
        for path in (*keys_and_passwords, self.group_secret, self.queue_secret):
            if path.exists() and path.stat().st_mode & 0o077:
                raise KeyIsOpen(f"{path} can be read by others: close it (chmod 600), or replace it if it was seen")


def _key_pair(path: Path) -> bool:
    if path.exists():
        return False
    pair = new_key_pair()
    write_file(path.with_suffix(".pub"), f"{pair.public}\n".encode(), WORLD_READABLE)
    write_file(path, pair.private.encode())
    return True


def _new_accounts() -> bytes:
    return accounts_file(new_accounts()).encode()
