"""One package on its way to one terminal: what it holds, what is in flight, which chunk is next.

The pump pulls ``next_chunk``; the dispatcher hands in ``acked``. Three rules keep it simple (docs/protocol.md 6.4):

* an ack is the complete truth of what the terminal holds, so nothing is remembered that an ack does not say;
* chunks are numbered in the order of sending and one connection keeps order [MQTT-4.6.0], so whatever was sent no later than
  the last number received and is not held is lost, and nothing else is;
* silence is no loss: after ``max(3 s, 4 x round trip)`` one chunk is sent again as a probe, and the interval doubles to 60 s.

Nothing is sent before the first ack of a connection: it says where to resume.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.core.transfer.pacing import Pacing
from gateway.core.transfer.plan import blocks_of, next_chunk_blocks
from gateway.errors import WireError
from gateway.wire.codec import MAX_ACK_RANGES
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, Ack
from gateway.wire.ranges import RangeSet

PROBE_MIN_S: Final = 3.0
PROBE_MAX_S: Final = 60.0
#: Weight of the newest sample in the smoothed round trip (RFC 6298) and in the goodput.
SMOOTHING: Final = 0.125
#: Goodput is sampled over at least this long, so that a burst out of one queue is not taken for the rate of the link.
SAMPLE_S: Final = 0.25
#: No chunk has a higher number; far above every clock, and far below what a message can carry.
NUMBER_MAX: Final = 2**52


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


@dataclass(slots=True)
class Tally:
    """What a transfer has cost so far, in bytes and chunks."""

    sent_bytes: int = 0
    sent_chunks: int = 0
    lost_bytes: int = 0
    probes: int = 0
    acks: int = 0
    stale_acks: int = 0
    pauses: int = 0
    connections: int = 0


class Transfer:
    """See the module. ``first_number`` must exceed every number sent before for this transfer id (Unix milliseconds do)."""

    __slots__ = (
        "_chunk_blocks",
        "_credit_bytes",
        "_epoch",
        "_flights",
        "_held",
        "_idle_at",
        "_in_flight_bytes",
        "_last_blocks",
        "_number",
        "_pacing",
        "_probe_at",
        "_probe_s",
        "_sample_at",
        "_sample_bytes",
        "_seq",
        "_wanted",
        "blocks",
        "goodput_bps",
        "id",
        "size_bytes",
        "srtt_s",
        "tally",
    )

    def __init__(
        self,
        transfer_id: int,
        size_bytes: int,
        pacing: Pacing,
        *,
        have_segments: RangeSet,
        first_number: int,
        first_chunk_blocks: int = 4,
    ) -> None:
        self.id = transfer_id
        self.size_bytes = size_bytes
        self.blocks = blocks_of(size_bytes)
        self.goodput_bps = 0.0
        self.srtt_s = 0.0
        self.tally = Tally()

        # What the terminal holds, and what it does not and is not in flight either.
        self._held = RangeSet()
        self._wanted = RangeSet([(0, self.blocks)])
        self.claim(have_segments)

        # The present bulk connection; none before its first ack.
        self._epoch = -1
        self._seq = -1
        self._credit_bytes = 0

        # In flight, in the order of sending.
        self._flights: deque[_Flight] = deque()
        self._in_flight_bytes = 0
        self._number = first_number

        # Pace.
        self._pacing = pacing
        self._chunk_blocks = first_chunk_blocks
        self._probe_at = float("inf")
        self._probe_s = PROBE_MIN_S
        self._sample_at = 0.0
        self._sample_bytes = 0
        self._idle_at = 0.0
        self._last_blocks = 0

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
    def credit_bytes(self) -> int:
        """What the terminal last granted."""
        return self._credit_bytes

    @property
    def braked(self) -> bool:
        """Whether the terminal takes nothing now (a payment runs)."""
        return self._epoch >= 0 and self._credit_bytes < BLOCK_BYTES

    @property
    def wake_at(self) -> float:
        """When ``next_chunk`` may have a probe although no ack came (infinity: not before an ack)."""
        return self._probe_at

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
            self.tally.stale_acks += 1
            return 0

        if ack.epoch != self._epoch:
            self._new_connection(ack.epoch, now)
        before = self._held.count
        oldest = self._flights[0].number if self._flights else 0
        self.tally.acks += 1
        if ack.credit_bytes < BLOCK_BYTES <= self._credit_bytes:
            self.tally.pauses += 1
        self._seq = ack.seq
        self._credit_bytes = ack.credit_bytes
        # A clock that was set back while the gateway was away must not leave us below what the terminal has received.
        self._number = max(self._number, ack.number)

        if not self._advance(ack):
            self._reconcile(ack)
        newly_bytes = max(0, self._held.count - before) * BLOCK_BYTES
        self._measure(ack, newly_bytes, now)
        self._pacing.on_ack(ack, newly_held_bytes=newly_bytes, now=now)
        if not self._flights:
            self._idle_at = now
            self._probe_at = float("inf")
        elif newly_bytes or ack.number >= oldest:  # an ack that tells nothing new must not put the probe off
            self._probe_s = max(PROBE_MIN_S, 4 * self.srtt_s)
            self._probe_at = now + self._probe_s
        return newly_bytes

    # -- what goes out

    def next_chunk(self, now: float) -> Piece | None:
        """The next chunk to publish, which counts as sent; ``None`` while nothing may be sent."""
        if self._epoch < 0 or self._credit_bytes < BLOCK_BYTES:
            return None
        if now >= self._probe_at and self._flights:
            return self._probe(now)

        first = self._wanted.first
        if first is None:
            return None
        start, stop = first
        chunk = self._chunk_blocks
        if start % BLOCKS_PER_SEGMENT == 0 and self.goodput_bps > 0:
            chunk = next_chunk_blocks(chunk, self.goodput_bps)  # changes at segment edges only
        room_bytes = min(self._credit_bytes, self._pacing.window_bytes) - self._in_flight_bytes
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
            self.tally.lost_bytes += flight.length_bytes
        self._flights.clear()
        self._in_flight_bytes = 0
        self._probe_s = PROBE_MIN_S
        self._epoch = epoch
        self._seq = -1
        self._sample_at = 0.0
        self._credit_bytes = 0
        self.tally.connections += 1
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

    def _reconcile(self, ack: Ack) -> None:
        """The general case: make ``held`` what the ack says, and want all that is neither held nor still in flight."""
        held = RangeSet([(0, ack.cum), *ack.ranges])
        if len(ack.ranges) == MAX_ACK_RANGES:  # it may hold more than an ack has room for: keep what is known above
            for start, stop in self._held:
                held.add(max(start, held.last_stop), stop)

        while self._flights and self._flights[0].number <= ack.number:
            flight = self._flights.popleft()
            self._in_flight_bytes -= flight.length_bytes
            if not held.covers(flight.start, flight.stop):
                self.tally.lost_bytes += flight.length_bytes
        wanted = RangeSet(held.gaps(0, self.blocks))
        for flight in self._flights:
            wanted.remove(flight.start, flight.stop)
        self._held = held
        self._wanted = wanted

    def _probe(self, now: float) -> Piece:
        """Send the oldest chunk in flight again: its ack tells the fate of all that went before."""
        oldest = self._flights[0]
        self.tally.probes += 1
        self._probe_s = min(self._probe_s * 2, PROBE_MAX_S)
        return self._send(oldest.start, oldest.stop, now)

    def _send(self, start: int, stop: int, now: float) -> Piece:
        offset_bytes = start * BLOCK_BYTES
        length_bytes = min(stop * BLOCK_BYTES, self.size_bytes) - offset_bytes
        if not self._flights and self._sample_at:
            self._sample_at += now - self._idle_at  # the wait for our own turn to send says nothing about the link
        self._number += 1
        self._flights.append(_Flight(self._number, start, stop, length_bytes))
        self._in_flight_bytes += length_bytes
        self._probe_at = now + max(self._probe_s, 4 * self.srtt_s)
        self.tally.sent_bytes += length_bytes
        self.tally.sent_chunks += 1
        return Piece(self._number, start, offset_bytes, length_bytes)

    def _measure(self, ack: Ack, newly_bytes: int, now: float) -> None:
        """Round trip from the echoed stamp (our own clock on both sides), goodput from what arrived meanwhile."""
        round_trip_s = now - ack.echo_ms / 1000
        if newly_bytes and 0 < round_trip_s < PROBE_MAX_S:
            self.srtt_s = round_trip_s if self.srtt_s == 0 else self.srtt_s + SMOOTHING * (round_trip_s - self.srtt_s)
        if self._sample_at == 0:
            self._sample_at = now
            self._sample_bytes = 0
            return

        self._sample_bytes += newly_bytes
        elapsed_s = now - self._sample_at
        if elapsed_s >= SAMPLE_S:
            if self._sample_bytes and not self.braked:  # a pause says nothing about the link
                rate = self._sample_bytes / elapsed_s
                self.goodput_bps = rate if self.goodput_bps == 0 else self.goodput_bps + 0.25 * (rate - self.goodput_bps)
            self._sample_at = now
            self._sample_bytes = 0
