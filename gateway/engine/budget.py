"""A byte budget: a token bucket that may be overdrawn by one batch and says how long to wait until it is even again."""

from __future__ import annotations


class ByteBudget:
    """``rate_bps`` bytes per second on average, with bursts of up to ``burst_bytes``; a rate of 0 means no limit."""

    def __init__(self, rate_bps: float, burst_bytes: int, now: float) -> None:
        self._rate_bps = rate_bps
        self._burst_bytes = burst_bytes
        self._level_bytes = float(burst_bytes)
        self._at = now

    def spend(self, size_bytes: int, now: float) -> float:
        """Take ``size_bytes``; returns the seconds to wait before the next batch (0.0 when within the budget)."""
        if self._rate_bps <= 0:
            return 0.0

        self._level_bytes = min(self._burst_bytes, self._level_bytes + (now - self._at) * self._rate_bps) - size_bytes
        self._at = now
        return max(0.0, -self._level_bytes / self._rate_bps)
