"""A private place on this host to run a program in, with fleets and all: its own network, mounts and processes.

There is no way out of its network, and when its first process is killed everything in it ends. What stays is what lies
on the disk, and empty control groups: `Fleet.destroy`, in it or later outside, removes these.
"""

from collections.abc import Sequence
from typing import Final

# Not `exec`: the shell is process 1 there, and takes note of orphans that end. ip(8) would share the mount by itself.
_BEGIN: Final = """
mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && mount --make-shared /run/netns && ip link set lo up && "$@"
"""


def inside(command: Sequence[str]) -> list[str]:
    """The command that runs this command in a private place; it takes root. An image can't be made there."""
    own = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    return ["unshare", *own, "bash", "-c", _BEGIN, "bash", *command]
