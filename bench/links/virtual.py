"""One transfer over one bearer in virtual time: the product's own window, the terminal's own acks, payments on the same link.

``bench/control.py`` runs it to show how the window moves. No socket, no clock: a heap of moments, so that minutes take a second
and a seed gives the same picture every time. The broker is a line that holds what the bearer does not take.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from bench.links.bearers import EVERY_S, HOST_S
from device_sim.acks import AckClock
from device_sim.brake import RENEW_S, REPEAT_S
from device_sim.options import Options, Shop
from device_sim.radio import Radio
from gateway.core.transfer.meter import Meter
from gateway.core.transfer.pacing import Pacing
from gateway.core.transfer.window import Piece, Transfer
from gateway.wire.messages import BLOCK_BYTES, Chunk, Welcome
from gateway.wire.ranges import RangeSet

CHUNK_OVERHEAD_BYTES: Final = 80  # MQTT, topic, field names, TLS record
ACK_BYTES: Final = 120
CREDIT_BYTES: Final = 256 * 1024
REQUEST_BYTES: Final = Shop().request_bytes
ANSWER_BYTES: Final = Shop().answer_bytes
SAMPLE_S: Final = 0.05
_SIZE_BYTES: Final = 1 << 30  # never all sent within a run


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One payment: when the card came, when the terminal let chunks flow again, and how long the answer took on the bearer."""

    card_at: float
    answered_at: float
    ends_at: float
    delay_s: float
    alone_s: float
    """What the same answer takes at the same moment on the same bearer with nothing else on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One moment."""

    at: float
    window_bytes: int
    in_flight_bytes: int
    queue_s: float
    delivered_bytes: int
    wire_bytes: int


class Line:
    """See the module. ``lead_s`` is the time from card to request."""

    def __init__(
        self,
        *,
        radio: Radio,
        pacing: Pacing,
        rng: Random,
        lead_s: float = 0.3,
        quiet_s: float = Options().quiet_s,
        brakes: bool = True,
    ) -> None:
        """Nothing happens before ``run``."""
        self._radio, self._pacing, self._rng = radio, pacing, rng
        self._lead_s, self._quiet_s, self._brakes = lead_s, quiet_s, brakes
        self._transfer = Transfer(1, _SIZE_BYTES, pacing, have_segments=RangeSet(), first_number=0, meter=Meter(0.0))
        self._acks = AckClock(1, 0.0)
        self._policy = Welcome(epoch=1, now_ms=0)
        self._held = RangeSet()
        self._broker: deque[tuple[Piece, int]] = deque()  # sent by the gateway, not taken by the bearer yet
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._braking = self._flushing = False
        self._pause_seq = 0
        self._check_at = float("inf")
        self.delivered_bytes = 0
        self.wire_bytes = 0
        """Of chunks that brought something new, with what frames them."""
        self.paid: list[Paid] = []
        self.traces: list[Trace] = []

    def run(self, until_s: float) -> None:
        """From a fresh connection at 0 to ``until_s``."""
        self._at(0.0, self._acknowledge)
        self._at(0.0, self._sample)
        self._at(self._rng.uniform(*EVERY_S), self._card)
        while self._heap and self._heap[0][0] <= until_s:
            now, _, act = heapq.heappop(self._heap)
            act(now)

    # -- gateway

    def _pull(self, now: float) -> None:
        for piece in self._pieces(now):
            self._broker.append((piece, int(now * 1000)))
        self._flush(now)
        if self._transfer.wake_at < self._check_at:
            self._check_at = self._transfer.wake_at
            self._at(max(now, self._check_at), self._check)

    def _pieces(self, now: float) -> Iterator[Piece]:
        while (piece := self._transfer.next_chunk(now)) is not None:
            yield piece

    def _check(self, now: float) -> None:
        self._check_at = float("inf")
        self._pull(now)

    # -- bearer

    def _flush(self, now: float) -> None:
        lane = self._radio.down
        while self._broker and not self._braking:
            if lane.full(now):
                self._at(max(lane.room_at(), now + 0.001), self._flush)
                return
            self._carry(*self._broker.popleft(), now)

    def _carry(self, piece: Piece, stamp_ms: int, now: float) -> None:
        size = piece.length_bytes
        chunk = Chunk(transfer=1, number=piece.number, index=piece.block, stamp_ms=stamp_ms, data=bytes(size))
        self._at(self._radio.down.send(now, size + CHUNK_OVERHEAD_BYTES), lambda at: self._chunk(chunk, at))

    # -- terminal

    def _chunk(self, chunk: Chunk, now: float) -> None:
        size, first = len(chunk.data), chunk.index
        new = not self._held.covers(first, first + size // BLOCK_BYTES)
        self._held.add(first, first + size // BLOCK_BYTES)
        if new:
            self.delivered_bytes += size
            self.wire_bytes += size + CHUNK_OVERHEAD_BYTES
        if self._acks.on_chunk(chunk, now, self._policy) or not new:
            self._acknowledge(now)
        else:
            self._at(self._acks.deadline, self._due)

    def _due(self, now: float) -> None:
        if now >= self._acks.deadline:
            self._acknowledge(now)

    def _acknowledge(self, now: float) -> None:
        ack = self._acks.make(
            1,
            self._held,
            now,
            credit_bytes=0 if self._braking else CREDIT_BYTES,
            foreground=self._braking,
            pause_seq=self._pause_seq,
        )

        def arrived(at: float) -> None:
            self._transfer.acked(ack, at)
            self._pull(at)

        self._at(self._radio.up.send(now, ACK_BYTES), arrived)

    def _brake(self, now: float) -> None:
        if self._braking:
            self._pause_seq += 1
            self._acknowledge(now)
            self._at(now + RENEW_S, self._brake)

    # -- payments

    def _card(self, now: float) -> None:
        if self._brakes:
            self._braking = True
            self._brake(now)
        host_s = self._rng.uniform(*HOST_S)

        def ask(at: float) -> None:
            self._at(self._radio.up.send(at, REQUEST_BYTES) + host_s, lambda reached: self._answer(now, reached))

        self._at(now + self._lead_s, ask)

    def _answer(self, card_at: float, now: float) -> None:
        arrives = self._radio.down.send(now, ANSWER_BYTES)
        alone = self._radio.alone.send(now, ANSWER_BYTES)
        ends = arrives + self._quiet_s
        self.paid.append(Paid(card_at=card_at, answered_at=now, ends_at=ends, delay_s=arrives - now, alone_s=alone - now))
        self._at(ends, self._release)
        self._at(card_at + self._rng.uniform(*EVERY_S), self._card)

    def _release(self, now: float) -> None:
        if self._braking:
            self._braking = False
            self._acknowledge(now)
            self._acks.hasten(now + REPEAT_S)
            self._at(self._acks.deadline, self._due)
            self._flush(now)

    # -- inside

    def _sample(self, now: float) -> None:
        self.traces.append(
            Trace(
                at=now,
                window_bytes=self._pacing.window_bytes,
                in_flight_bytes=self._transfer.in_flight_bytes,
                queue_s=self._radio.down.backlog_s(now),
                delivered_bytes=self.delivered_bytes,
                wire_bytes=self.wire_bytes,
            )
        )
        self._at(now + SAMPLE_S, self._sample)

    def _at(self, at: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (at, next(self._order), act))
