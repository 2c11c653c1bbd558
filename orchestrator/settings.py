"""What an orchestrator is told: orchestrator.toml (docs/operations.md describes each member)."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from contract.settings import SettingsError, Tls

Milliseconds = Annotated[int, msgspec.Meta(ge=1)]

_LEAST_SECRET_BYTES: Final = 32


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An orchestrator's settings. `listen` is HOST:PORT, `proxies` are URLs.

    `secret` is the path of a file that all orchestrators share, readable by its owner only: what cursors are signed
    with. `slots`: requests that it runs at once. `lease_ms`: how long a request whose orchestrator has vanished waits
    for another one. `poll_ms`: how often it looks for requests when nobody says that there are some. `retention_s`: how
    long a request is kept after its end. `most_queued`, `most_queued_per_owner`: requests that have not ended, of all
    orchestrators together. `max_kept_bytes_per_owner`, `most_kept_per_owner`: of what has ended, large results and
    requests; beyond, the oldest are removed before their time. `most_ahead_s`: how far away `run_at` may be.
    `max_result_bytes`: of one result, as the server sends it. `ledger_keeps_s`: what proxies have as
    `idempotency_keep_s`: a request that was begun longer ago is not run again, since nobody could tell whether it took
    effect. `tls` may be left out on a loopback address only.
    """

    name: str
    listen: str
    proxies: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    secret: str
    runtime_directory: str
    metrics_listen: str | None = None
    slots: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    lease_ms: Annotated[int, msgspec.Meta(ge=1_000, le=600_000)] = 15_000
    poll_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 500
    retention_s: Annotated[int, msgspec.Meta(ge=1)] = 86_400
    most_queued: Annotated[int, msgspec.Meta(ge=1)] = 50_000
    most_queued_per_owner: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    max_kept_bytes_per_owner: Annotated[int, msgspec.Meta(ge=1 << 20)] = 1 << 30
    most_kept_per_owner: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    most_ahead_s: Annotated[int, msgspec.Meta(ge=0)] = 7 * 86_400
    max_result_bytes: Annotated[int, msgspec.Meta(ge=1024, le=16 << 20)] = 4 << 20
    ledger_keeps_s: Annotated[int, msgspec.Meta(ge=7_200)] = 86_400
    connect_timeout_ms: Milliseconds = 1_000
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    tls: Tls | None = None


def secret_of(settings: Settings) -> bytes:
    """What the secret's file holds. Raises SettingsError."""
    path = Path(settings.secret)
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"{path} holds a secret and must be readable by its owner only (chmod 600)")
        secret = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    if len(secret) < _LEAST_SECRET_BYTES:
        raise SettingsError(f"{path} must have {_LEAST_SECRET_BYTES} bytes at least")
    return secret
