"""One direction of a connection behind a radio lane: bytes wait on the event loop until the lane says that they have arrived.

``mqtt.Connection`` owns two of them when its link is shaped. One timer at a time; order is kept because the lane keeps it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from device_sim.radio import Lane


class Delayed:
    """Bytes on their way."""

    __slots__ = ("_deliver", "_loop", "_waiting", "lane")

    def __init__(self, loop: asyncio.AbstractEventLoop, lane: Lane, deliver: Callable[[bytes], None]) -> None:
        self.lane = lane
        self._loop = loop
        self._deliver = deliver
        self._waiting: deque[tuple[float, bytes]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def send(self, now: float, data: bytes) -> None:
        """Put bytes on their way."""
        arrives = self.lane.send(now, len(data))
        self._waiting.append((arrives, data))
        if len(self._waiting) == 1:
            self._loop.call_at(arrives, self._arrive)

    def clear(self) -> None:
        """What is on its way is lost."""
        self._waiting.clear()

    def _arrive(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, data = self._waiting.popleft()
            last = not self._waiting
            self._deliver(data)
            if last:
                return  # delivering may have sent more, which set its own timer
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._arrive)
