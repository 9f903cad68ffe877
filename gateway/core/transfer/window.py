"""One package on its way to one terminal: what it holds, what is in flight, which chunk is next.

The pump pulls ``next_chunk``; the dispatcher hands in ``acked``. Three rules keep it simple (docs/protocol.md 6.4):

* an ack is the complete truth of what the terminal holds, so nothing is remembered that an ack does not say;
* chunks are numbered in the order of sending and one connection keeps order [MQTT-4.6.0], so whatever was sent no later than
  the last number received and is not held is lost, and nothing else is;
* silence is no loss: after ``max(3 s, 4 x round trip)`` one chunk is sent again as a probe, and the interval doubles to 60 s.

Nothing is sent before the first ack of a connection: it says where to resume. How much may be in flight is the business of
``pacing`` and ``brake``, what it all cost that of ``meter``.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from gateway.core.transfer.account import PauseCause
from gateway.core.transfer.brake import Brake
from gateway.core.transfer.delays import Delays
from gateway.core.transfer.meter import SILENCE_S, Meter
from gateway.core.transfer.pacing import CEILING_BYTES, Heard, Pacing
from gateway.core.transfer.plan import blocks_of, next_chunk_blocks
from gateway.errors import WireError
from gateway.wire.codec import MAX_ACK_RANGES
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, Ack
from gateway.wire.ranges import RangeSet

PROBE_MIN_S: Final = 3.0
PROBE_MAX_S: Final = 60.0
#: After this long with nothing in flight the radio sleeps: the delay of the chunk that wakes it is no queue (seconds).
WAKE_UP_S: Final = 2.0
#: No chunk has a higher number; far above every clock, and far below what a message can carry.
NUMBER_MAX: Final = 2**52
_NEVER: Final = float("inf")


class Piece(NamedTuple):
    """A chunk to send: ``length_bytes`` from ``offset_bytes`` of the package, as chunk ``number`` at block ``block``."""

    number: int
    block: int
    offset_bytes: int
    length_bytes: int


class _Flight(NamedTuple):
    number: int
    start: int
    stop: int
    length_bytes: int


class Transfer:
    """See the module. ``first_number`` must exceed every number sent before for this transfer id (Unix milliseconds do)."""

    __slots__ = (
        "_acked_number",
        "_ceiling_bytes",
        "_chunk_blocks",
        "_delays",
        "_epoch",
        "_flights",
        "_held",
        "_idle_at",
        "_in_flight_bytes",
        "_number",
        "_pacing",
        "_probe_at",
        "_probe_s",
        "_seq",
        "_start_blocks",
        "_wake_up_number",
        "_wanted",
        "blocks",
        "brake",
        "id",
        "meter",
        "size_bytes",
    )

    def __init__(
        self,
        transfer_id: int,
        size_bytes: int,
        pacing: Pacing,
        *,
        have_segments: RangeSet,
        first_number: int,
        meter: Meter,
        first_chunk_blocks: int = 4,
        ceiling_bytes: int = CEILING_BYTES,
    ) -> None:
        self.id = transfer_id
        self.size_bytes = size_bytes
        self.blocks = blocks_of(size_bytes)
        self.meter = meter

        # What the terminal holds, and what it does not and is not in flight either.
        self._held = RangeSet()
        self._wanted = RangeSet([(0, self.blocks)])
        self.claim(have_segments)
        self._start_blocks = self._held.count - blocks_of(meter.useful_bytes)

        # The present bulk connection; none before its first ack.
        self._epoch = -1
        self._seq = -1
        self.brake = Brake()

        # In flight, in the order of sending.
        self._flights: deque[_Flight] = deque()
        self._in_flight_bytes = 0
        self._number = first_number

        # Pace.
        self._pacing = pacing
        self._ceiling_bytes = ceiling_bytes
        self._delays = Delays()
        self._chunk_blocks = first_chunk_blocks
        self._probe_at = _NEVER
        self._probe_s = PROBE_MIN_S
        self._idle_at = 0.0
        self._acked_number = self._wake_up_number = 0

    # -- what others may know

    @property
    def held_bytes(self) -> int:
        """Bytes that the terminal holds, verified or not."""
        return min(self._held.count * BLOCK_BYTES, self.size_bytes)

    @property
    def held_segments(self) -> RangeSet:
        """Segments that the terminal holds whole."""
        out = RangeSet()
        for start, stop in self._held:
            first = -(-start // BLOCKS_PER_SEGMENT)
            last = -(-stop // BLOCKS_PER_SEGMENT) if stop == self.blocks else stop // BLOCKS_PER_SEGMENT
            out.add(first, last)
        return out

    @property
    def in_flight_bytes(self) -> int:
        """Bytes sent and neither acked nor known lost."""
        return self._in_flight_bytes

    @property
    def wake_at(self) -> float:
        """When ``next_chunk`` may have something although no ack came (infinity: not before an ack)."""
        if self._epoch < 0:
            return _NEVER
        if self.brake.closed:
            return max(self.brake.wake_at, self._probe_at) if self._flights else self.brake.wake_at
        at = self._probe_at
        return at if self._wanted.first is None else min(at, self.brake.held_back_until or at)

    # -- what comes in

    def claim(self, segments: RangeSet) -> None:
        """The terminal's hello says that it holds these verified segments."""
        for first, last in segments:
            start = first * BLOCKS_PER_SEGMENT
            stop = min(last * BLOCKS_PER_SEGMENT, self.blocks)
            self._held.add(start, stop)
            self._wanted.remove(start, stop)

    def acked(self, ack: Ack, now: float) -> int:
        """Take in an ack of this transfer; returns how many bytes it newly holds.

        Raises:
            WireError: ``ack_invalid`` when it claims blocks or chunks that cannot be; nothing has changed then.
        """
        top = ack.ranges[-1][1] if ack.ranges else ack.cum
        if ack.cum > self.blocks or top > self.blocks or (ack.ranges and ack.ranges[0][0] <= ack.cum):
            raise WireError(f"ack claims blocks up to {max(top, ack.cum)} of {self.blocks}", code="ack_invalid")
        if ack.number > NUMBER_MAX:
            raise WireError(f"ack of chunk number {ack.number}, which leaves no room for more", code="ack_invalid")
        if ack.epoch < self._epoch or (ack.epoch == self._epoch and ack.seq <= self._seq):
            self.meter.stale_acks += 1
            return 0

        if ack.epoch != self._epoch:
            self._new_connection(ack.epoch, now)
        before = self._held.count
        oldest = self._flights[0].number if self._flights else 0
        in_flight_bytes, is_alone = self._in_flight_bytes, len(self._flights) <= 1
        is_news = ack.number > self._acked_number
        is_back = self.meter.silent_s(now) > SILENCE_S  # a terminal acks every 3 s at the least, so its link was away
        wakes_up = self._acked_number < self._wake_up_number <= ack.number
        self._seq, self._acked_number = ack.seq, ack.number
        # A clock that was set back while the gateway was away must not leave us below what the terminal has received.
        self._number = max(self._number, ack.number)

        lost_bytes = 0 if self._advance(ack) else self._reconcile(ack)
        newly_bytes = max(0, self._held.count - before) * BLOCK_BYTES
        self.brake.take(ack, now)
        is_late = wakes_up or is_back or ack.echo_ms < 1000 * self.brake.released_at
        useful_bytes = min(self._held.count - self._start_blocks, self.blocks) * BLOCK_BYTES
        self.meter.heard(ack, newly_bytes, min(useful_bytes, self.size_bytes), now, is_late=is_late)
        self.meter.stands(self.brake.cause(now), now)
        queue_ms = None
        if is_news and not is_late:
            queue_ms = self._delays.take(ack.delay_ms, now, alone=is_alone)
            self.meter.queued(queue_ms)
        self._pacing.on_ack(
            Heard(
                now=now,
                newly_bytes=newly_bytes,
                lost_bytes=lost_bytes,
                in_flight_bytes=in_flight_bytes,
                chunk_bytes=self._chunk_blocks * BLOCK_BYTES,
                queue_ms=queue_ms,
                unconfirmed_s=self._delays.unconfirmed_s(now),
                srtt_s=self.meter.srtt_s,
            )
        )
        if not self._flights:
            self._idle_at = now
            self._probe_at = _NEVER
        elif is_back:  # what it did not bring was lost on the way, or is not far behind
            self._probe_s = PROBE_MIN_S
            self._probe_at = now
        elif newly_bytes or ack.number >= oldest:  # an ack that tells nothing new must not put the probe off
            self._probe_s = max(PROBE_MIN_S, 4 * self.meter.srtt_s)
            self._probe_at = now + self._probe_s
        if self._flights and self.brake.cause(now) is PauseCause.PAYMENT:
            self._probe_at = self.brake.wake_at  # a brake that has run out is asked about at once
        return newly_bytes

    def hold_back(self, until: float, now: float) -> None:
        """A budget of bytes is empty: nothing is sent before ``until``."""
        self.brake.held_back_until = until
        self.meter.stands(self.brake.cause(now), now)

    def line_back(self, now: float) -> None:
        """Our own line was away, and acks were lost with it: the terminal's next says within 3 s what need not be probed."""
        self._probe_at = max(self._probe_at, now + SILENCE_S)

    # -- what goes out

    def next_chunk(self, now: float) -> Piece | None:
        """The next chunk to publish, which counts as sent; ``None`` while nothing may be sent."""
        if self._epoch < 0 or self.brake.stops(now):
            return None
        if self.brake.held_back_until:
            self.brake.held_back_until = 0.0
            self.meter.stands(self.brake.cause(now), now)
        if now >= self._probe_at and self._flights:
            return self._probe(now)

        first = self._wanted.first
        if first is None or (self.brake.closed and self._flights):
            return None
        start, stop = first
        chunk = self._chunk_blocks
        if start % BLOCKS_PER_SEGMENT == 0 and self.meter.goodput_bps > 0:
            chunk = next_chunk_blocks(chunk, self.meter.goodput_bps)  # changes at segment edges only
        room_bytes = min(self.brake.credit_bytes, self._pacing.window_bytes, self._ceiling_bytes) - self._in_flight_bytes
        blocks = min(chunk, stop - start, BLOCKS_PER_SEGMENT - start % BLOCKS_PER_SEGMENT)
        if blocks * BLOCK_BYTES > room_bytes:
            if self._flights:
                return None
            blocks = min(blocks, max(1, room_bytes // BLOCK_BYTES))  # alone in flight: at least a block, or it would never end
        self._chunk_blocks = chunk
        self._wanted.remove(start, start + blocks)
        return self._send(start, start + blocks, now)

    # -- inside

    def _new_connection(self, epoch: int, now: float) -> None:
        """Whatever was in flight on the old connection is gone or is in the new ack."""
        for flight in self._flights:
            self._wanted.add(flight.start, flight.stop)
        self._flights.clear()
        self._in_flight_bytes = 0
        self._probe_s = PROBE_MIN_S
        self._epoch, self._seq = epoch, -1
        self._acked_number = self._wake_up_number = 0
        self._idle_at = now
        self.brake.release()
        self.meter.connected()
        self._delays.reset()
        self._pacing.on_connection(now)

    def _advance(self, ack: Ack) -> bool:
        """The usual case, cheap: no gaps before or now, and everything up to the acked number is held."""
        held = self._held.first
        if ack.ranges or len(self._held) > 1 or (held is not None and held[0] != 0):
            return False
        if (0 if held is None else held[1]) > ack.cum:
            return False
        flights = self._flights
        wanted = self._wanted.first
        if wanted is not None and wanted[0] < ack.cum:
            return False

        while flights and flights[0].number <= ack.number:
            if flights[0].stop > ack.cum:
                return False
            self._in_flight_bytes -= flights.popleft().length_bytes
        if flights and flights[0].start < ack.cum:
            return False
        self._held.add(0, ack.cum)
        return True

    def _reconcile(self, ack: Ack) -> int:
        """The general case: make ``held`` what the ack says, and want all that is neither held nor still in flight.

        Returns how many bytes this ack proves lost.
        """
        lost_bytes = 0
        held = RangeSet([(0, ack.cum), *ack.ranges])
        if len(ack.ranges) == MAX_ACK_RANGES:  # it may hold more than an ack has room for: keep what is known above
            for start, stop in self._held:
                held.add(max(start, held.last_stop), stop)

        while self._flights and self._flights[0].number <= ack.number:
            flight = self._flights.popleft()
            self._in_flight_bytes -= flight.length_bytes
            if not held.covers(flight.start, flight.stop):
                lost_bytes += flight.length_bytes
        wanted = RangeSet(held.gaps(0, self.blocks))
        for flight in self._flights:
            wanted.remove(flight.start, flight.stop)
        self._held, self._wanted = held, wanted
        return lost_bytes

    def _probe(self, now: float) -> Piece:
        """Send the oldest chunk in flight again: its ack tells the fate of all that went before."""
        oldest = self._flights[0]
        self.meter.probes += 1
        self._pacing.on_silence()
        self._probe_s = min(self._probe_s * 2, PROBE_MAX_S)
        return self._send(oldest.start, oldest.stop, now)

    def _send(self, start: int, stop: int, now: float) -> Piece:
        offset_bytes = start * BLOCK_BYTES
        length_bytes = min(stop * BLOCK_BYTES, self.size_bytes) - offset_bytes
        self._number += 1
        if not self._flights:
            idle_s = now - self._idle_at
            self.meter.idled(idle_s)
            if idle_s > WAKE_UP_S:
                self._wake_up_number = self._number
        self._flights.append(_Flight(self._number, start, stop, length_bytes))
        self._in_flight_bytes += length_bytes
        self._probe_at = now + max(self._probe_s, 4 * self.meter.srtt_s)
        self.meter.sent(start, stop, length_bytes)
        return Piece(self._number, start, offset_bytes, length_bytes)
