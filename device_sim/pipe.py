"""A socket behind a radio: what has been read from it is on the air, what has not is still in the network.

Up and down go through the lanes of the terminal's bearer, with back-pressure both ways. Reading stops while the bearer's queue
is full, while as much as the socket's receive buffer holds is on the air or unread, and while a payment brakes; then TCP holds
the sender. ``mqtt.Connection`` and the benchmarks' clients own one each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from device_sim.delayed import Delayed, Timers
from device_sim.radio import Lane

MAX_HELD_BYTES: Final = 256 * 1024  # a terminal's send buffer, before an uplink that takes nothing
READ_BYTES: Final = 64 * 1024
READ_LEAST_BYTES: Final = 1460  # one full segment of TCP
READ_S: Final = 0.01  # of the link's rate: what is read at once arrives at once, and the air carries packets
_SHARED: Final = memoryview(bytearray(READ_BYTES))  # all of it is copied out before the next read of any connection


class Pipe:
    """Both directions of one connection. ``feed`` gets what has arrived and the terminal has read, in order."""

    __slots__ = (
        "_brake",
        "_closing",
        "_down",
        "_feed",
        "_looking",
        "_loop",
        "_paused",
        "_receive_bytes",
        "_transport",
        "_unread",
        "_unread_bytes",
        "_up",
        "buffer",
    )

    def __init__(
        self,
        loop: Timers,
        down: Lane | None,
        up: Lane | None,
        feed: Callable[[bytes], None],
        *,
        receive_bytes: float = float("inf"),
    ) -> None:
        """Lanes that do not shape are left out; ``receive_bytes`` is the receive buffer as TCP grants it."""
        shaped = down is not None and down.shapes
        self._loop = loop
        self._feed = feed
        self._down = Delayed(loop, down, self._arrived) if down is not None and shaped else None
        self._up = Delayed(loop, up, self._left) if up is not None and up.shapes else None
        self._receive_bytes = receive_bytes
        self._transport: asyncio.Transport | None = None
        self._brake = self._closing = self._looking = self._paused = False
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self.buffer = _buffer(_read_bytes(down, receive_bytes) if down is not None and shaped else READ_BYTES)
        """Where the event loop puts what it reads; no more of it than may arrive at once."""

    @property
    def paused(self) -> bool:
        """Whether the socket is not read."""
        return self._paused

    def opened(self, transport: asyncio.Transport) -> None:
        """The socket is there."""
        self._transport = transport

    def lost(self) -> None:
        """It is gone, with all that was on its way."""
        self._transport = None
        self._unread.clear()
        for way in (self._down, self._up):
            if way is not None:
                way.clear()

    def received(self, nbytes: int) -> None:
        """So much lies in ``buffer``: it arrives now, or when the radio says so."""
        data = bytes(self.buffer[:nbytes])
        if self._down is None:
            self._feed(data)
            return
        self._down.send(self._loop.time(), data)
        self._regulate()

    def write(self, data: bytes) -> bool:
        """To the socket: now, or when the radio says that it has left. False: the send buffer is full, and this is lost."""
        if self._up is None:
            if self._transport is not None:
                self._transport.write(data)
            return True
        if self._up.held_bytes >= MAX_HELD_BYTES:
            return False
        self._up.send(self._loop.time(), data)
        return True

    def brake(self, *, on: bool) -> None:
        """Stop or go on reading. What is on the air still arrives, and waits unread."""
        self._brake = on
        self._regulate()
        if self._unread and not on:
            self._loop.call_soon(self._read_on)  # not within the caller's own work

    def close(self) -> None:
        """Close the socket once all that was written has left."""
        self._closing = True
        if not self._up and self._transport is not None:
            self._transport.close()

    # -- inside

    def _arrived(self, data: bytes) -> None:
        """Bytes that the radio has delivered."""
        if self._transport is None:
            return
        if self._brake or self._unread:
            self._unread.append(data)
            self._unread_bytes += len(data)
            return
        self._feed(data)
        self._regulate()

    def _read_on(self) -> None:
        """After the brake: what has arrived meanwhile."""
        if self._brake or self._transport is None:
            return
        unread, self._unread, self._unread_bytes = self._unread, [], 0
        if unread:
            self._feed(b"".join(unread))
        self._regulate()

    def _left(self, data: bytes) -> None:
        """Bytes that the radio has taken out of our hands."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if self._closing and not self._up:
            transport.close()

    def _regulate(self) -> None:
        """Read or stop reading."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        pause = self._brake
        if self._down is not None and not pause:
            # What met a full lane waits until it is half empty, and all that comes meanwhile would have to wait behind it.
            full = self._down.held_bytes > 0 or self._down.lane.full(self._loop.time())
            if full and not self._looking:
                self._looking = True
                self._loop.call_at(self._down.lane.room_at(), self._look)
            pause = full or self._down.air_bytes + self._unread_bytes >= self._receive_bytes
        if pause and not self._paused:
            transport.pause_reading()
        elif self._paused and not pause:
            transport.resume_reading()
        self._paused = pause

    def _look(self) -> None:
        self._looking = False
        self._regulate()


def _read_bytes(lane: Lane, receive_bytes: float) -> int:
    """How much of a shaped link to read at once."""
    return int(min(READ_BYTES, max(READ_LEAST_BYTES, min(lane.carries_bytes(READ_S), receive_bytes / 2))))


@lru_cache(maxsize=256)
def _buffer(nbytes: int) -> memoryview:
    """So much of the one buffer of the process."""
    return _SHARED[:nbytes]
