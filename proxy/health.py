"""What the prober and the requests make of a node: up, suspect or down. Pure: values in, values out."""

from typing import Literal

import msgspec

State = Literal["up", "suspect", "down"]

# A new round trip counts three tenths: a change shows within three probes, a single slow one hardly.
_SMOOTHING = 0.3
# So many failures in a row make a suspect node down.
_FAILURES_TO_DOWN = 3


class Health(msgspec.Struct, frozen=True):
    """A node's health. `ping_ms`: smoothed round trip; None before the first. `detail`: the last failure's reason."""

    state: State = "down"
    engine_state: str = "unknown"
    ping_ms: float | None = None
    failures_in_row: int = 0
    detail: str = "not probed yet"

    def answered(self, ping_ms: float, *, serving: bool, engine_state: str) -> "Health":
        """After a probe that the node answered; `serving` is the engine's word on whether it may be used."""
        known = self.ping_ms if self.state == "up" else None
        smoothed = ping_ms if known is None else known + _SMOOTHING * (ping_ms - known)
        if not serving:
            return Health("down", engine_state, smoothed, 0, f"the engine says {engine_state}")
        return Health("up", engine_state, smoothed, 0, "")

    def suspected(self, detail: str) -> "Health":
        """After a request whose connection failed: a reason to look, not yet one to call the node down."""
        return msgspec.structs.replace(self, state="suspect", detail=detail) if self.state == "up" else self

    def failed(self, detail: str) -> "Health":
        """After a probe that failed at the tunnel or the connection."""
        failures = self.failures_in_row + 1
        down = self.state == "down" or failures >= _FAILURES_TO_DOWN
        return Health("down" if down else "suspect", "unreachable", self.ping_ms, failures, detail)
