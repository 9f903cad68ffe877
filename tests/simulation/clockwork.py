"""Virtual time: one heap of steps, one seeded ``Random``, one log of all that happened, and the hash of that log.

No wall clock, no chance of its own, no order of a set. Two steps of the same moment run in the order in which they were
planned.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from random import Random

Step = Callable[[], None]
Entry = tuple[float, str, str, str]
"""When (seconds after the start), who, what, and what of it."""


class Clockwork:
    """See the module."""

    __slots__ = ("_heap", "_number", "log", "now", "rng", "start", "steps")

    def __init__(self, seed: int, start: float) -> None:
        self.start = self.now = start
        self.rng = Random(seed)
        self.log: list[Entry] = []
        self.steps = 0
        self._heap: list[tuple[float, int, Step]] = []
        self._number = 0

    def at(self, at: float, step: Step) -> None:
        """Run ``step`` at ``at`` (Unix seconds, true time); now, when that is past."""
        self._number += 1
        heapq.heappush(self._heap, (at, self._number, step))

    def after(self, seconds: float, step: Step) -> None:
        """Run ``step`` so much later."""
        self.at(self.now + seconds, step)

    def next(self) -> bool:
        """Let time go on to the next step and run it; whether there was one."""
        if not self._heap:
            return False
        at, _, step = heapq.heappop(self._heap)
        self.now = max(self.now, at)
        self.steps += 1
        step()
        return True

    def note(self, who: str, what: str, facts: str = "") -> None:
        """Add to the log."""
        self.log.append((self.now - self.start, who, what, facts))

    def digest(self) -> str:
        """Hash of the log."""
        return hashlib.sha256(repr(self.log).encode()).hexdigest()
