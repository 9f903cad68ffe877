"""The bounded inbox between the socket and the engine: filled message by message, emptied in batches.

Before it stands a judge (``engine.limiter``), so that one terminal that sends without end does not fill it for all. Full
policy: the newcomer is dropped and counted. Nothing is lost by that: a terminal repeats every report, result and hello until
our answer, and each ack tells the whole truth again. The other choice, to stop reading, would move the loss into the broker's
queue for us, where it is silent and takes our PINGRESP with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio
from anyio.lowlevel import checkpoint

from gateway.engine.ports import Inbound


class Inbox:
    """Holds at most so many messages and so many payload bytes. Lives as long as the link, so it outlasts a connection."""

    __slots__ = (
        "_admit",
        "_arrival",
        "_bytes",
        "_items",
        "_max_bytes",
        "_max_messages",
        "_max_payload",
        "arrived",
        "dropped_full",
        "oversized",
        "received",
    )

    def __init__(self, *, max_messages: int, max_bytes: int, max_payload: int, admit: Callable[[str], bool]) -> None:
        """``admit`` says whether a message on a topic may come in, and counts what it refuses."""
        self._admit = admit
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._max_payload = max_payload
        self._items: deque[Inbound] = deque()
        self._bytes = 0
        self._arrival: anyio.Event | None = None
        # Totals since the start.
        self.received = 0
        self.arrived = 0
        self.dropped_full = 0
        self.oversized = 0

    def put(self, topic: str, payload: bytes) -> None:
        """Keep a message, or drop it and count why."""
        self.received += 1
        size = len(payload)
        if size > self._max_payload:
            self.oversized += 1
            return
        if not self._admit(topic):
            return
        if len(self._items) >= self._max_messages or self._bytes + size > self._max_bytes:
            self.dropped_full += 1
            return

        self._items.append(Inbound(topic, payload))
        self._bytes += size
        self.arrived += 1
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    async def take(self, limit: int) -> list[Inbound]:
        """Wait for at least one message and return the oldest, at most ``limit``. A cancelled call has taken nothing."""
        await checkpoint()  # lets the socket fill the batch, and everybody else run, when the inbox never empties
        while not self._items:
            if self._arrival is None:
                self._arrival = anyio.Event()
            await self._arrival.wait()

        if len(self._items) <= limit:
            batch = list(self._items)
            self._items.clear()
            self._bytes = 0
        else:
            batch = [self._items.popleft() for _ in range(limit)]
            self._bytes -= sum(len(item.payload) for item in batch)
        return batch

    def __len__(self) -> int:
        return len(self._items)
