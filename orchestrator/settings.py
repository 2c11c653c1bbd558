"""What an orchestrator is told: orchestrator.toml (docs/operations.md describes each member)."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from contract.settings import SettingsError, Tls
from orchestrator.outside import Outside, networks
from orchestrator.sending import Sender

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

    `webhook_networks`: inside, that webhooks may be sent to all the same. `webhook_authority`: the path of the
    certificates (PEM) that receivers are held to in the place of the system's. `webhook_slots`: sent at once.
    `webhook_timeout_ms`: of one. `webhook_attempts`: until it is given up. `webhook_pause_ms`: after the first attempt;
    after each other one four times as long, up to an hour.
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
    webhook_networks: tuple[str, ...] = ()
    webhook_authority: str | None = None
    webhook_slots: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16
    webhook_timeout_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)] = 5_000
    webhook_attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 8
    webhook_pause_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)] = 5_000
    connect_timeout_ms: Milliseconds = 1_000
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    tls: Tls | None = None


def outside_of(settings: Settings) -> Outside:
    """Where webhooks may be sent to. Raises SettingsError."""
    try:
        return Outside(networks(settings.webhook_networks))
    except ValueError as error:
        raise SettingsError(f"webhook_networks: {error}") from None


def sender_of(settings: Settings, outside: Outside) -> Sender:
    """What sends them. Raises SettingsError."""
    try:
        return Sender(outside, settings.webhook_timeout_ms / 1000, settings.webhook_authority)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"webhook_authority: {settings.webhook_authority} can't be read: {error}") from None


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
