"""Moves chunks: asks every open transfer for its next one whenever the link has room, in turn and within the budgets of bytes.

Deficit round robin (Shreedhar and Varghese, 1995): each visit adds a quantum, and a transfer sends while its deficit covers the
chunk, so a terminal with small chunks gets the same bytes as one with large ones. Nothing is queued here: a chunk is read,
packed and handed over in one go, so memory stays flat however many transfers are open. A transfer whose terminal, site or
campaign has used up its rate sleeps until it is even again, while all others go on; only the gateway's own rate holds up all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
import structlog

from gateway.core.budgets import Bucket, Spent
from gateway.core.plan import Target
from gateway.core.purse import PUBLISH_BYTES, Purse
from gateway.core.terminal import Terminal
from gateway.core.transfer.window import Piece, Transfer
from gateway.engine.clock import Clock
from gateway.engine.ports import Link
from gateway.engine.turns import Turns
from gateway.errors import StoreError
from gateway.wire.codec import encode_chunk
from gateway.wire.messages import SEGMENT_BYTES
from gateway.wire.topics import down

log = structlog.get_logger()

#: What one visit adds to a transfer's deficit: the largest chunk.
QUANTUM_BYTES: Final = 16 * 1024
#: Handed to the link at once.
BATCH_CHUNKS: Final = 48
#: How often transfers that wait for nothing but time are looked at (seconds).
LOOK_EVERY_S: Final = 0.5
#: How soon a pump that waits for the store asks again (seconds).
BEHIND_S: Final = 0.1
_NEVER: Final = float("inf")


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


class Purses(Protocol):
    """Knows the budgets."""

    @property
    def gate(self) -> Bucket | None:
        """The whole gateway's rate; ``None`` without one."""
        ...

    def enter(self, session: Terminal, known: Callable[[str], None]) -> Purse:
        """The purse of a transfer that opens; ``known`` is called with the terminal's id once it is filled, or anew."""
        ...

    def leave(self, terminal: str) -> None:
        """The terminal's transfer is over."""
        ...


@dataclass(slots=True, eq=False)
class _Lane:
    session: Terminal
    reader: Reader
    purse: Purse
    deficit: int = 0


class Pump:
    """See the module. ``on_spent`` is told when a transfer can send nothing more today; while ``behind``, nothing is sent."""

    def __init__(
        self,
        link: Link,
        readers: Readers,
        clock: Clock,
        purses: Purses,
        *,
        on_spent: Callable[[Terminal, Spent], None],
        behind: Callable[[], bool],
        counters: Counter[str],
    ) -> None:
        self._link = link
        self._readers = readers
        self._clock = clock
        self._purses = purses
        self._on_spent = on_spent
        self._behind = behind
        self._counters = counters
        self._lanes: dict[str, _Lane] = {}
        self._turns = Turns()
        self._bell = anyio.Event()
        self._look_at = 0.0
        self._generation = link.generation

    @property
    def open_count(self) -> int:
        """How many transfers are open."""
        return len(self._lanes)

    def open(self, session: Terminal) -> None:
        """A transfer has begun (or begins again)."""
        if session.upgrade is None:
            return
        self.close(session.id)
        reader = self._readers.open(session.upgrade.plan.target)
        self._lanes[session.id] = _Lane(session, reader, self._purses.enter(session, self._known))
        self.wake(session.id)

    def close(self, terminal: str) -> None:
        """The transfer has ended, or its session is gone."""
        if self._lanes.pop(terminal, None) is not None:
            self._purses.leave(terminal)
        self._turns.drop(terminal)

    def wake(self, terminal: str) -> None:
        """An ack may have made room."""
        lane = self._lanes.get(terminal)
        if lane is None or not lane.purse.filled:
            return
        if self._turns.rouse(terminal) if lane.purse.draining else self._turns.wake(terminal):
            self._bell.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            now = self._clock.now()
            if self._link.generation != self._generation:
                self._line_back(now)
            self._look(now)
            self._turns.release(now)
            if not self._turns or not self._link.connected:
                self._bell = anyio.Event()
                wait_s = min(LOOK_EVERY_S, self._turns.next_at - now)
                with anyio.move_on_after(wait_s):
                    await self._bell.wait()
                if not self._link.connected:
                    await anyio.sleep(LOOK_EVERY_S)
                continue
            if self._behind():
                self._counters["shed:chunks"] += 1
                await anyio.sleep(BEHIND_S)
                continue
            gate = self._purses.gate
            if gate is not None and gate.even_at > now:
                self._counters["budget_waits"] += 1
                await anyio.sleep(gate.even_at - now)
                continue
            messages, spent = self._batch(now)
            for session, why in spent:
                self._counters["budgets_spent"] += 1
                self._on_spent(session, why)
            if messages:
                await self._hand_over(messages)

    async def _hand_over(self, messages: list[tuple[str, bytes]]) -> None:
        size_bytes = 0
        for _, payload in messages:
            size_bytes += len(payload)
        handed_over = await self._link.publish_many(messages, qos=0)
        self._counters["chunks_sent"] += handed_over
        self._counters["chunks_unsent"] += len(messages) - handed_over
        self._counters["chunk_bytes"] += size_bytes

    def _batch(self, now: float) -> tuple[list[tuple[str, bytes]], list[tuple[Terminal, Spent]]]:
        """The next chunks of the transfers whose turn it is; and those that can send no more today."""
        messages: list[tuple[str, bytes]] = []
        spent: list[tuple[Terminal, Spent]] = []
        gate = self._purses.gate
        while self._turns and len(messages) < BATCH_CHUNKS and (gate is None or gate.even_at <= now):
            terminal = self._turns.take()
            lane = self._lanes[terminal]
            transfer = lane.session.transfer
            if transfer is None:
                continue
            until = lane.purse.ask(transfer, now)
            if until > now:
                self._hold_back(lane, transfer, until, now)
                if lane.purse.spent is not None:
                    spent.append((lane.session, lane.purse.spent))
                continue
            if self._visit(lane, transfer, messages, now):
                self._turns.wake(terminal)  # to the end of the round
        return messages, spent

    def _hold_back(self, lane: _Lane, transfer: Transfer, until: float, now: float) -> None:
        self._counters["transfer_budget_waits"] += 1
        lane.deficit = 0
        self._turns.sleep(lane.session.id, until)
        transfer.hold_back(until, now)

    def _visit(self, lane: _Lane, transfer: Transfer, messages: list[tuple[str, bytes]], now: float) -> bool:
        """Take chunks from one transfer while its deficit lasts; whether it may have more."""
        topic = down(lane.session.id, "chunk", bulk=not lane.session.single)  # each time: a new hello may move it
        lane.deficit += QUANTUM_BYTES
        gate = self._purses.gate
        if lane.purse.buckets:
            self._turns.served(lane.session.id)
        while lane.deficit > 0:
            piece = transfer.next_chunk(now)
            payload = None if piece is None else self._pack(lane, transfer, piece, now)
            if piece is None or payload is None:
                lane.deficit = 0
                lane.purse.rest(now)
                return False
            messages.append((topic, payload))
            lane.deficit -= piece.length_bytes
            size_bytes = len(payload) + len(topic) + PUBLISH_BYTES
            if gate is not None:
                gate.take(size_bytes, now)
            end = piece.offset_bytes + piece.length_bytes
            if not lane.purse.pay(size_bytes, now, at_edge=end % SEGMENT_BYTES == 0 or end == transfer.size_bytes):
                lane.deficit = min(lane.deficit, 0)
                return True
        return True

    def _pack(self, lane: _Lane, transfer: Transfer, piece: Piece, now: float) -> bytes | None:
        try:
            data = lane.reader.read(piece.offset_bytes, piece.length_bytes)
        except StoreError as exc:
            # Counts as lost on the way, so the transfer's next probe is the next try; others go on.
            self._counters["package_unreadable"] += 1
            log.exception("package_unreadable", terminal=lane.session.id, reason=str(exc))
            return None
        return encode_chunk(
            transfer=transfer.id,
            number=piece.number,
            index=piece.block,
            stamp_ms=int(now * 1000),
            data=data,
        )

    def _known(self, terminal: str) -> None:
        """Its budgets have become known, or others: whoever sleeps under the old ones asks anew."""
        lane = self._lanes.get(terminal)
        if lane is None:
            return
        if lane.session.transfer is not None:
            now = self._clock.now()
            lane.session.transfer.hold_back(now, now)
        if self._turns.rouse(terminal):
            self._bell.set()

    def _line_back(self, now: float) -> None:
        """The link has come up again: silence until now was our own."""
        self._generation = self._link.generation
        for lane in self._lanes.values():
            if lane.session.transfer is not None:
                lane.session.transfer.line_back(now)

    def _look(self, now: float) -> None:
        """Probes are due by time alone."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        for terminal, lane in self._lanes.items():
            transfer = lane.session.transfer
            if transfer is not None and now >= transfer.wake_at and lane.purse.filled:
                self._turns.wake(terminal)
