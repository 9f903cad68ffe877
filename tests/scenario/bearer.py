"""One transfer over one bearer whose rate the test sets, in virtual time: the product's window, the terminal's ack clock.

A first-in first-out queue before a rate that may change, and a fixed delay each way. No sockets, no clock, no chance: hours
take seconds, and twice is twice the same.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from device_sim.acks import AckClock
from gateway.core.transfer.meter import Meter
from gateway.core.transfer.pacing import ACK_EVERY, DelayWindow
from gateway.core.transfer.window import Piece, Transfer
from gateway.wire.messages import BLOCK_BYTES, Ack, Chunk, Welcome
from gateway.wire.ranges import RangeSet

HEAD_BYTES = 80


@dataclass(frozen=True, slots=True)
class Moment:
    """What held at a time."""

    at: float
    window_bytes: int
    queue_s: float
    """Before the bearer."""
    delivered_bytes: int


class Bearer:
    """See the module. ``rate_bps`` gives bytes per second at a time; ``silent`` the stretches in which nothing gets through."""

    def __init__(
        self,
        rate_bps: Callable[[float], float],
        *,
        round_trip_s: float = 0.08,
        clock_drift: float = 0.0,
        silent: tuple[tuple[float, float], ...] = (),
        size_bytes: int = 1 << 36,
        step_s: float = 0.05,
    ) -> None:
        self._step_s = step_s
        self._rate_bps, self._one_way_s, self._drift, self._silent = rate_bps, round_trip_s / 2, clock_drift, silent
        self.pacing = DelayWindow()
        self.transfer = Transfer(1, size_bytes, self.pacing, have_segments=RangeSet(), first_number=0, meter=Meter(0.0))
        self._policy = Welcome(epoch=1, now_ms=0, ack_every=ACK_EVERY["delay"])
        self._acks = AckClock(1, 0.0)
        self._held = RangeSet()
        self._free_at = 0.0
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = itertools.count()
        self.delivered_bytes = 0
        self.moments: list[Moment] = []
        self._at(0.0, self._acknowledge)
        self._at(0.0, self._sample)

    def run(self, until_s: float) -> None:
        """Up to that time."""
        while self._heap[0][0] <= until_s:
            now, _, act = heapq.heappop(self._heap)
            act(now)

    def between(self, start: float, end: float) -> list[Moment]:
        """What held then."""
        return [one for one in self.moments if start <= one.at < end]

    def use(self, start: float, end: float) -> float:
        """Share of the bearer that the transfer took."""
        found = self.between(start, end)
        carried = found[-1].delivered_bytes - found[0].delivered_bytes
        return carried / sum(self._rate_bps(one.at) * self._step_s for one in found)

    def queue_ms(self, start: float, end: float) -> float:
        """Mean queue."""
        found = self.between(start, end)
        return 1000 * sum(one.queue_s for one in found) / len(found)

    def _pull(self, now: float) -> None:
        while (piece := self.transfer.next_chunk(now)) is not None:
            self._free_at = max(self._free_at, now) + (piece.length_bytes + HEAD_BYTES) / self._rate_bps(now)
            if not self._is_silent(now):
                self._at(self._free_at + self._one_way_s, lambda at, piece=piece, stamp=now: self._arrive(piece, stamp, at))  # type: ignore[misc]  # bound at once
        if self.transfer.wake_at < float("inf"):
            self._at(max(now + 0.001, self.transfer.wake_at), self._wake)

    def _wake(self, now: float) -> None:
        if now >= self.transfer.wake_at:
            self._pull(now)

    def _arrive(self, piece: Piece, stamp: float, now: float) -> None:
        stop = piece.block + -(-piece.length_bytes // BLOCK_BYTES)
        is_new = not self._held.covers(piece.block, stop)
        self._held.add(piece.block, stop)
        self.delivered_bytes += piece.length_bytes * is_new
        chunk = Chunk(transfer=1, number=piece.number, index=piece.block, stamp_ms=int(stamp * 1000), data=b"")
        if self._acks.on_chunk(chunk, now * (1 + self._drift), self._policy) or not is_new:
            self._acknowledge(now)
        else:
            self._at(self._acks.deadline / (1 + self._drift) + 1e-6, self._due)

    def _due(self, now: float) -> None:
        if now * (1 + self._drift) >= self._acks.deadline:
            self._acknowledge(now)

    def _acknowledge(self, now: float) -> None:
        ack = self._acks.make(1, self._held, now * (1 + self._drift), credit_bytes=1 << 18, foreground=False, pause_seq=0)
        if not self._is_silent(now):
            self._at(now + self._one_way_s, lambda at: self._acked(ack, at))
        self._at(self._acks.deadline / (1 + self._drift) + 1e-6, self._due)

    def _acked(self, ack: Ack, now: float) -> None:
        self.transfer.acked(ack, now)
        self._pull(now)

    def _is_silent(self, now: float) -> bool:
        return any(start <= now < end for start, end in self._silent)

    def _sample(self, now: float) -> None:
        queue_s = max(0.0, self._free_at - now)
        self.moments.append(Moment(now, self.pacing.window_bytes, queue_s, self.delivered_bytes))
        self._at(now + self._step_s, self._sample)

    def _at(self, at: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (at, next(self._count), act))
