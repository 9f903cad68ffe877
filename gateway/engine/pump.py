"""Moves chunks: asks every open transfer for its next one whenever the link has room, in turn and within the byte budget.

Deficit round robin (Shreedhar and Varghese, 1995): each visit adds a quantum, and a transfer sends while its deficit covers the
chunk, so a terminal with small chunks gets the same bytes as one with large ones. Nothing is queued here: a chunk is read,
packed and handed over in one go, so memory stays flat however many transfers are open.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
import structlog

from gateway.core.plan import Target
from gateway.core.terminal import Terminal
from gateway.engine.budget import ByteBudget
from gateway.engine.clock import Clock
from gateway.engine.ports import Link
from gateway.errors import StoreError
from gateway.wire.codec import encode_chunk
from gateway.wire.topics import down

log = structlog.get_logger()

#: What one visit adds to a transfer's deficit: the largest chunk.
QUANTUM_BYTES: Final = 16 * 1024
#: Handed to the link at once.
BATCH_CHUNKS: Final = 48
#: How often transfers that wait for nothing but time are looked at (seconds).
LOOK_EVERY_S: Final = 0.5


class Reader(Protocol):
    """A package's payload."""

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; ``StoreError`` when the file is gone or damaged."""
        ...


class Readers(Protocol):
    """Opens stored packages."""

    def open(self, target: Target) -> Reader:
        """The reader of a stored package."""
        ...


@dataclass(slots=True, eq=False)
class _Lane:
    session: Terminal
    reader: Reader
    deficit: int = 0


class Pump:
    """See the module."""

    def __init__(self, link: Link, readers: Readers, clock: Clock, *, rate_bps: float, counters: Counter[str]) -> None:
        self._link = link
        self._readers = readers
        self._clock = clock
        self._counters = counters
        self._budget = ByteBudget(rate_bps, max(int(rate_bps / 4), BATCH_CHUNKS * QUANTUM_BYTES), clock.now())
        self._lanes: dict[str, _Lane] = {}
        self._ready: dict[str, _Lane] = {}
        self._bell = anyio.Event()

    @property
    def open_count(self) -> int:
        """How many transfers are open."""
        return len(self._lanes)

    def open(self, session: Terminal) -> None:
        """A transfer has begun (or begins again)."""
        if session.upgrade is None:
            return
        reader = self._readers.open(session.upgrade.plan.target)
        self._lanes[session.id] = _Lane(session, reader)
        self.wake(session.id)

    def close(self, terminal: str) -> None:
        """The transfer has ended, or its session is gone."""
        self._lanes.pop(terminal, None)
        self._ready.pop(terminal, None)

    def wake(self, terminal: str) -> None:
        """An ack may have made room."""
        lane = self._lanes.get(terminal)
        if lane is not None and terminal not in self._ready:
            self._ready[terminal] = lane
            self._bell.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            if not self._ready or not self._link.connected:
                self._bell = anyio.Event()
                with anyio.move_on_after(LOOK_EVERY_S):
                    await self._bell.wait()
                self._look()
                if not self._link.connected:
                    await anyio.sleep(LOOK_EVERY_S)
                continue
            messages, size_bytes = self._batch()
            if messages:
                await self._hand_over(messages, size_bytes)

    async def _hand_over(self, messages: list[tuple[str, bytes]], size_bytes: int) -> None:
        handed_over = await self._link.publish_many(messages, qos=0)
        self._counters["chunks_sent"] += handed_over
        self._counters["chunks_unsent"] += len(messages) - handed_over
        self._counters["chunk_bytes"] += size_bytes
        wait_s = self._budget.spend(size_bytes, self._clock.now())
        if wait_s > 0:
            self._counters["budget_waits"] += 1
            await anyio.sleep(wait_s)

    def _batch(self) -> tuple[list[tuple[str, bytes]], int]:
        """The next chunks of the transfers whose turn it is."""
        now = self._clock.now()
        messages: list[tuple[str, bytes]] = []
        size_bytes = 0
        while self._ready and len(messages) < BATCH_CHUNKS:
            terminal, lane = next(iter(self._ready.items()))
            del self._ready[terminal]
            lane.deficit += QUANTUM_BYTES
            if self._visit(lane, messages, now):
                self._ready[terminal] = lane  # to the end of the round
            else:
                lane.deficit = 0
        for _, payload in messages:
            size_bytes += len(payload)
        return messages, size_bytes

    def _visit(self, lane: _Lane, messages: list[tuple[str, bytes]], now: float) -> bool:
        """Take chunks from one transfer while its deficit lasts; whether it may have more."""
        transfer = lane.session.transfer
        if transfer is None:
            return False

        topic = down(lane.session.id, "chunk", bulk=not lane.session.single)  # each time: a new hello may move it
        while lane.deficit > 0:
            piece = transfer.next_chunk(now)
            if piece is None:
                return False
            try:
                data = lane.reader.read(piece.offset_bytes, piece.length_bytes)
            except StoreError as exc:
                # Counts as lost on the way, so the transfer's next probe is the next try; others go on.
                self._counters["package_unreadable"] += 1
                log.exception("package_unreadable", terminal=lane.session.id, reason=str(exc))
                return False
            payload = encode_chunk(
                transfer=transfer.id,
                number=piece.number,
                index=piece.block,
                stamp_ms=int(now * 1000),
                data=data,
            )
            messages.append((topic, payload))
            lane.deficit -= piece.length_bytes
        return True

    def _look(self) -> None:
        """Probes are due by time alone."""
        now = self._clock.now()
        for terminal, lane in self._lanes.items():
            transfer = lane.session.transfer
            if transfer is not None and now >= transfer.wake_at and terminal not in self._ready:
                self._ready[terminal] = lane
