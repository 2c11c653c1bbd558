"""Host keys read from what a console has told."""

import base64

import pytest

from deploy.providers.ec2.hostkeys import known_hosts_line, parse
from deploy.providers.interface import ProviderError

BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
END = "-----END SSH HOST KEY KEYS-----"


def key(kind: str, content: bytes = b"k" * 32) -> str:
    name = kind.encode()
    blob = len(name).to_bytes(4, "big") + name + len(content).to_bytes(4, "big") + content
    return f"{kind} {base64.b64encode(blob).decode()}"


ED25519, RSA, ECDSA = key("ssh-ed25519"), key("ssh-rsa", b"r" * 256), key("ecdsa-sha2-nistp256", b"e" * 65)

OUTPUTS = [
    pytest.param("", (), id="nothing yet"),
    pytest.param(f"{BEGIN}\n{ED25519} root@ip\n", (), id="cut off before the end"),
    pytest.param(f"{ED25519} root@ip\n{END}\n", (), id="its begin is gone"),
    pytest.param(f"{BEGIN}\r\n{ED25519} root@ip\r\n{END}\r\n", (ED25519,), id="a console's line ends"),
    pytest.param(f"{BEGIN}\n{RSA} root@ip\n{ED25519}\n{END}\n", (ED25519, RSA), id="ed25519 first"),
    pytest.param(f"{BEGIN}\n{ECDSA}\n{END}\n", (ECDSA,), id="ecdsa"),
    pytest.param(
        f"<14>Nov 23 10:00:00 ec2: {BEGIN}\n<14>Nov 23 10:00:00 ec2: {ED25519} root@ip\n<14>Nov 23 ec2: {END}\n",
        (ED25519,),
        id="through a logger",
    ),
    pytest.param(f"{BEGIN}\n{ED25519}\n{END}\nreboot\n{BEGIN}\n{ED25519}\n{END}\n", (ED25519,), id="told twice"),
    pytest.param(f"{BEGIN}\n{key('ssh-ed25519')[:-30]}\n{END}\n", (), id="too short to be one"),
    pytest.param(f"{BEGIN}\nssh-rsa {ED25519.split()[1]}\n{END}\n", (), id="another kind than it says"),
    pytest.param(f"{BEGIN}\nssh-ed25519 {'A' * 65}\n{END}\n", (), id="no base64"),
]


@pytest.mark.parametrize(("text", "keys"), OUTPUTS)
def test_keys_are_what_stands_between_begin_and_end(text: str, keys: tuple[str, ...]) -> None:
    assert parse(text) == keys


def test_a_console_that_tells_two_different_keys_is_not_believed() -> None:
    other = key("ssh-ed25519", b"x" * 32)
    with pytest.raises(ProviderError, match="different host keys"):
        parse(f"{BEGIN}\n{ED25519}\n{END}\n{BEGIN}\n{other}\n{END}\n")


@pytest.mark.parametrize(
    ("addresses", "begin"),
    [
        (("198.51.100.1", "10.0.0.1"), "198.51.100.1,10.0.0.1 "),
        (("", "10.0.0.1"), "10.0.0.1 "),
        (("10.0.0.1", "10.0.0.1"), "10.0.0.1 "),
    ],
    ids=["both", "private alone", "twice the same"],
)
def test_a_line_has_each_address_that_ssh_may_use(addresses: tuple[str, ...], begin: str) -> None:
    assert known_hosts_line(addresses, ED25519) == f"{begin}{ED25519}\n"
