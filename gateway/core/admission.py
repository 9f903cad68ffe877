"""How fast new sessions of terminals come to heavy work: so many a second, in the order in which they came.

A new session calls for orders to be signed and transfers to be opened. After an outage thousands begin at once; each is taken
down as present at once, and has its turn for the rest. A name waits once, however often it joins.
"""

from __future__ import annotations

from typing import Final

#: Seconds of the rate that may go on at once when nobody has waited.
BURST_S: Final = 1.0
_NEVER: Final = float("inf")


class Admission:
    """See the module. Time is Unix seconds that never step back."""

    __slots__ = ("_burst_s", "_free_at", "_step_s", "_waiting")

    def __init__(self, per_s: float) -> None:
        """``per_s`` is more than 0."""
        self._step_s = 1.0 / per_s
        self._burst_s = max(0.0, BURST_S - self._step_s / 2)  # halfway, so that rounding decides nothing
        self._free_at = 0.0
        self._waiting: dict[str, None] = {}  # a queue in which a name is found at once

    def join(self, name: str, now: float) -> bool:
        """Whether ``name`` may go on at once; otherwise it waits for its turn, in the place that it may have already."""
        if not self._waiting and self._take(now):
            return True
        self._waiting.setdefault(name)
        return False

    def turns(self, now: float) -> list[str]:
        """Those whose turn it is, first come first; they wait no more."""
        out: list[str] = []
        while self._waiting and self._take(now):
            name = next(iter(self._waiting))
            del self._waiting[name]
            out.append(name)
        return out

    def next_at(self) -> float:
        """When the next turn comes; infinity while nobody waits."""
        return self._free_at - self._burst_s if self._waiting else _NEVER

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def _take(self, now: float) -> bool:
        if now < self._free_at - self._burst_s:
            return False
        self._free_at = max(self._free_at, now) + self._step_s
        return True
