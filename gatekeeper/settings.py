"""What a gatekeeper is told: gatekeeper.toml (docs/operations.md describes each member)."""

from typing import Annotated, Literal

import msgspec

from contract.settings import Tls


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gatekeeper's settings. `listen` is HOST:PORT, `proxies` and `orchestrators` are URLs.

    `policy` and `keys` are paths; `keys` must be readable by its owner only. `trusted_proxy` is the address of the
    nginx before it: of its X-Forwarded-For the last entry is believed. `tls` is what it shows to proxies and
    orchestrators, not to clients: TLS at the edge is nginx's. `connections_per_proxy` bounds what each worker sends to
    each of them at once. `audit` is the audit log's path, none for no audit log; a file of it has about
    `audit_file_bytes` at most. `records` is the path of what is recorded of roles that have `record`, none for nothing;
    `records_file_bytes` bounds it.
    """

    name: str
    listen: str
    proxies: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    policy: str
    keys: str
    runtime_directory: str
    metrics_listen: str | None = None
    orchestrators: tuple[str, ...] = ()
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    connect_timeout_ms: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    connections_per_proxy: Annotated[int, msgspec.Meta(ge=1)] = 128
    audit: str | None = None
    audit_file_bytes: Annotated[int, msgspec.Meta(ge=1 << 16)] = 64 << 20
    trusted_proxy: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f.:]+\Z")] | None = None
    records: str | None = None
    records_file_bytes: Annotated[int, msgspec.Meta(ge=1 << 16)] = 16 << 20
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    tls: Tls | None = None
