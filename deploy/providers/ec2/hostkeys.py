"""Host keys from a machine's console, where cloud-init writes them when it has made them.

So they come by AWS's API, with its authentication, and never from the connection that they are to guard. See
https://docs.cloud-init.io/en/latest/reference/modules.html#keys-to-console.
"""

import base64
import binascii
import re
from typing import Final

from botocore.exceptions import ClientError

from deploy.providers.ec2 import errors
from deploy.providers.ec2.api import Api
from deploy.providers.interface import ProviderError

_BEGIN: Final = "-----BEGIN SSH HOST KEY KEYS-----"
_END: Final = "-----END SSH HOST KEY KEYS-----"
_KEY: Final = re.compile(r"\b(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]{40,}={0,2})")
# Types before Nitro have no latest output, only what they said at boot, some minutes late.
_NOT_LATEST: Final = "UnsupportedOperation"


def read(api: Api, instance: str) -> tuple[str, ...]:
    """The machine's host keys, as far as its console has told them. Raises ProviderError for contradictions."""
    return parse(_console(api, instance))


def parse(text: str) -> tuple[str, ...]:
    """The host keys that stand in a console's output, "KIND KEY" each, ed25519 first; none before they are complete.

    Lines may begin with a time, or whatever a logger puts there. Raises ProviderError where a machine has told
    different keys: somebody else may have written to its console.
    """
    blocks = {_keys(part.partition(_END)[0]) for part in text.split(_BEGIN)[1:] if _END in part} - {()}
    if len(blocks) > 1:
        raise ProviderError("the console tells different host keys; look at it before you trust the machine")
    return blocks.pop() if blocks else ()


def known_hosts_line(addresses: tuple[str, ...], key: str) -> str:
    """The line of sshd(8)'s known_hosts format, for each address that SSH may use."""
    return f"{','.join(dict.fromkeys(filter(None, addresses)))} {key}\n"


def _keys(block: str) -> tuple[str, ...]:
    found = {f"{kind} {blob}" for kind, blob in _KEY.findall(block) if _is_whole(kind, blob)}
    return tuple(sorted(found, key=lambda key: (not key.startswith("ssh-ed25519"), key)))


def _is_whole(kind: str, blob: str) -> bool:
    """Whether it is a key of that kind: it begins with the kind's length and name (RFC 4253, 6.6)."""
    try:
        return base64.b64decode(blob, validate=True).startswith(len(kind).to_bytes(4, "big") + kind.encode())
    except binascii.Error:
        return False


def _console(api: Api, instance: str) -> str:
    try:
        return api.ec2.get_console_output(InstanceId=instance, Latest=True).get("Output") or ""
    except ClientError as error:
        if errors.code(error) != _NOT_LATEST:
            raise
    return api.ec2.get_console_output(InstanceId=instance).get("Output") or ""
