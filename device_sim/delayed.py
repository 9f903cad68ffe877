"""One direction of a connection behind a radio lane: bytes wait on the event loop until the lane says that they have arrived.

``mqtt.Connection`` owns two of them when its link is shaped. One timer at a time; order is kept because the lane keeps it. What
a full lane does not take waits here, as in a socket's send buffer, and is on the air only when it has entered the lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from device_sim.radio import Lane


class Timers(Protocol):
    """What is asked of the event loop."""

    def time(self) -> float:
        """Now, in seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> object:
        """Call back then."""
        ...

    def call_soon(self, callback: Callable[[], None], /) -> object:
        """Call back once the present call-back is through."""
        ...


class Delayed:
    """Bytes on their way."""

    __slots__ = ("_air", "_deliver", "_held", "_loop", "air_bytes", "held_bytes", "lane")

    def __init__(self, loop: Timers, lane: Lane, deliver: Callable[[bytes], None]) -> None:
        self.lane = lane
        self._loop = loop
        self._deliver = deliver
        self._air: deque[tuple[float, bytes]] = deque()
        self._held: deque[bytes] = deque()
        self.air_bytes = 0
        """In the lane or beyond, and not delivered."""
        self.held_bytes = 0
        """Not in the lane yet."""

    def __bool__(self) -> bool:
        return bool(self._air or self._held)

    def send(self, now: float, data: bytes) -> None:
        """Put bytes on their way."""
        if not self._held and not self.lane.full(now):
            self._enter(now, data)
            return
        self._held.append(data)
        self.held_bytes += len(data)
        if len(self._held) == 1:
            self._loop.call_at(self.lane.room_at(), self._admit)

    def clear(self) -> None:
        """What is on its way is lost."""
        self._air.clear()
        self._held.clear()
        self.air_bytes = self.held_bytes = 0

    def _enter(self, now: float, data: bytes) -> None:
        arrives = self.lane.send(now, len(data))
        self._air.append((arrives, data))
        self.air_bytes += len(data)
        if len(self._air) == 1:
            self._loop.call_at(arrives, self._arrive)

    def _admit(self) -> None:
        """The lane has room."""
        now = self._loop.time()
        while self._held and not self.lane.full(now):
            data = self._held.popleft()
            self.held_bytes -= len(data)
            self._enter(now, data)
        if self._held:
            self._loop.call_at(self.lane.room_at(), self._admit)

    def _arrive(self) -> None:
        now = self._loop.time()
        while self._air and self._air[0][0] <= now:
            _, data = self._air.popleft()
            self.air_bytes -= len(data)
            last = not self._air
            self._deliver(data)
            if last:
                return  # delivering may have sent more, which set its own timer
        if self._air:
            self._loop.call_at(self._air[0][0], self._arrive)
