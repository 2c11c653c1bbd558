"""Files that appear whole or not at all, and secrets that only their owner may read, from their first byte on."""

import os
import tempfile
from pathlib import Path

OWNER_ONLY = 0o600
WORLD_READABLE = 0o644


def write_file(path: Path, content: bytes, mode: int = OWNER_ONLY) -> None:
    """Puts the content in the file's place in one step, with exactly this mode, whatever the umask.

    The new file has the owner's rights only until it is complete (mkstemp makes it 0600). Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def private_directory(path: Path) -> Path:
    """The directory, made if need be, closed to everybody but its owner."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path
