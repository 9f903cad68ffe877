"""Brings every session its ``Tick`` when the deadline that it named has come. One heap, no timer objects."""

from __future__ import annotations

import heapq
from typing import Final

import anyio

from gateway.engine.clock import Clock

#: The heap is looked at least this often (seconds), so that a stepped or slept machine catches up.
LOOK_EVERY_S: Final = 5.0
#: No two ticks of one session closer than this (seconds): a deadline in the past must not spin.
TICK_MIN_S: Final = 0.01


class Timers:
    """Deadlines by session id. Setting a later one leaves the earlier entry to wake up once for nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, str]] = []
        self._set: dict[str, float] = {}
        self._bell = anyio.Event()

    def set(self, terminal: str, at: float) -> None:
        """Wake ``terminal`` at ``at`` (infinity: not at all)."""
        at = max(at, self._clock.now() + TICK_MIN_S)
        if at == self._set.get(terminal):
            return
        if at == float("inf"):
            self._set.pop(terminal, None)
            return

        self._set[terminal] = at
        first = self._heap[0][0] if self._heap else float("inf")
        heapq.heappush(self._heap, (at, terminal))
        if len(self._heap) > 64 + 4 * len(self._set):  # mostly entries that were overtaken
            self._heap = [(when, name) for name, when in self._set.items()]
            heapq.heapify(self._heap)
        if at < first:
            self._bell.set()

    def set_unless_set(self, terminal: str, at: float) -> None:
        """Wake ``terminal`` at ``at`` if it is not to be woken anyway."""
        if terminal not in self._set:
            self.set(terminal, at)

    async def due(self) -> list[str]:
        """Wait until at least one session is due; return all that are."""
        while True:
            now = self._clock.now()
            names: list[str] = []
            while self._heap and self._heap[0][0] <= now:
                at, name = heapq.heappop(self._heap)
                if self._set.get(name) == at:
                    del self._set[name]
                    names.append(name)
            if names:
                return names

            self._bell = anyio.Event()
            wait_s = min(LOOK_EVERY_S, self._heap[0][0] - now) if self._heap else LOOK_EVERY_S
            with anyio.move_on_after(wait_s):
                await self._bell.wait()
