"""The terminal's real-time clock, and the time that it believes after a ``welcome`` has corrected it.

The clock itself may be wrong by any amount and is never set; the correction is kept beside it, so that a wrong clock never
makes a terminal refuse orders for good (docs/protocol.md, "Time").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Runs through power cuts (it has a cell of its own)."""

    base_ms: float
    """What it shows at ``now`` = 0."""
    offset_ms: int = 0
    """Added to what it shows to get the gateway's time."""

    def raw_ms(self, now: float) -> int:
        """What the clock shows."""
        return max(0, int(self.base_ms + now * 1000))

    def time_ms(self, now: float) -> int:
        """The corrected time."""
        return max(0, self.raw_ms(now) + self.offset_ms)

    def correct(self, now: float, gateway_ms: int) -> bool:
        """Take over the gateway's time; whether the correction changed by more than a second."""
        offset = gateway_ms - self.raw_ms(now)
        moved = abs(offset - self.offset_ms) > 1000
        self.offset_ms = offset
        return moved
