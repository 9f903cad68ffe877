"""When to connect again, and whether somebody else wants our place. Pure: lengths of life and chance are arguments."""

from __future__ import annotations

from typing import Final

RIVAL_AFTER: Final = 3  # short lives in a row, each followed by a connect that worked at once


class Backoff:
    """Full jitter (delay = chance x ceiling, the ceiling doubles), with a memory of connections that did not last.

    A broker that closes a healthy connection and accepts the next one at once has not gone away: most likely another client
    connects under our id, and [MQTT-3.1.4-2] makes the broker close the older of the two. Since a short life keeps the ceiling
    rising, two such clients slow each other down instead of fighting.

    A broker that does not answer at all is another matter: one try of one client costs it nothing, and when it is back,
    thousands of terminals wait for us. So those tries have a ladder of their own, with a low top, which a connection resets.
    """

    def __init__(self, *, base_s: float, cap_s: float, away_cap_s: float, stable_s: float) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._away_cap_s = away_cap_s
        self._stable_s = stable_s
        self._losses = 0
        self._failures = 0
        self._short_lives = 0

    def failed(self, *, chance: float) -> float:
        """Seconds to wait after an attempt that did not connect; ``chance`` is 0..1."""
        self._short_lives = 0
        self._failures += 1
        return chance * self._ceiling(self._failures, self._away_cap_s)

    def ended(self, *, lived_s: float, chance: float) -> float:
        """Seconds to wait after a connection that was up for ``lived_s``."""
        if lived_s >= self._stable_s:
            self._losses = 0
            self._short_lives = 0
        else:
            self._short_lives += 1
        self._failures = 0
        self._losses += 1
        return chance * self._ceiling(self._losses, self._cap_s)

    @property
    def rival(self) -> bool:
        """Whether another client seems to use our id."""
        return self._short_lives >= RIVAL_AFTER

    def _ceiling(self, times: int, cap_s: float) -> float:
        return float(min(cap_s, self._base_s * 2.0 ** min(times - 1, 30)))
