"""A transfer to a terminal with one connection for everything (docs/protocol.md 6.8, docs/adr/0004).

Its chunks stand in the broker's queue before its orders, and a full queue drops both. So what waits there is bounded here: at
most ``IN_FLIGHT_BYTES`` are on the way, whatever breaks or dies. What the acks say is in flight is not all that may be queued:

* a probe repeats a chunk that may be queued still. So there is room for one, and a further one waits until ``HOLD_S`` have
  passed without a chunk: by then a living connection has carried all that was queued, since its PINGRESP comes behind that,
  and a dead one has been dropped with its queue;
* chunks sent before a new connection was known may stand in its queue, since the topic is the same; and a transfer that has
  just begun does not know what another one, or a gateway that died, has left there. So the first chunk of a connection, and of
  a transfer, is one block that goes alone: its ack says that nothing is before it any more, for one connection keeps order.

So a death of the gateway may add one block to what it left, and nothing else adds anything.
"""

from __future__ import annotations

from typing import Final

from gateway.core.transfer.meter import Meter
from gateway.core.transfer.pacing import Pacing
from gateway.core.transfer.window import Piece, Transfer
from gateway.wire.codec import MAX_CHUNK_BYTES
from gateway.wire.messages import BLOCK_BYTES, Ack
from gateway.wire.ranges import RangeSet

#: On the way to a terminal's only connection, probes included: 64 messages of one block.
IN_FLIGHT_BYTES: Final = 64 * 1024
#: In flight by the window alone; the rest is room for a probe.
CEILING_BYTES: Final = IN_FLIGHT_BYTES - MAX_CHUNK_BYTES
#: After so long at rest the broker's queue holds nothing of ours (seconds): more than the 1.5 keepalives of a dead connection.
HOLD_S: Final = 120.0


class SingleTransfer(Transfer):
    """See the module. Used as any other transfer; what it adds is only ever less to send."""

    __slots__ = ("_before_bytes", "_first", "_line_epoch", "_sent_at")

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
    ) -> None:
        super().__init__(
            transfer_id,
            size_bytes,
            pacing,
            have_segments=have_segments,
            first_number=first_number,
            meter=meter,
            first_chunk_blocks=first_chunk_blocks,
            ceiling_bytes=BLOCK_BYTES,  # until the first one is through
        )
        self._line_epoch = -1
        self._sent_at = 0.0
        self._first: int | None = None
        """Number of the first chunk on the present connection."""
        self._before_bytes = IN_FLIGHT_BYTES - BLOCK_BYTES
        """What may stand in its queue before that chunk."""

    def acked(self, ack: Ack, now: float) -> int:
        """As ``Transfer.acked``; besides, whether all that stood before our first chunk is through."""
        in_flight_bytes = self.in_flight_bytes
        newly_bytes = super().acked(ack, now)
        if ack.epoch > self._line_epoch:
            if self._line_epoch >= 0:
                self._before_bytes = in_flight_bytes
            self._line_epoch = ack.epoch
            self._first = None
            self._ceiling_bytes = BLOCK_BYTES
        elif ack.epoch == self._line_epoch and self._first is not None and ack.number >= self._first:
            self._before_bytes = 0
            self._ceiling_bytes = CEILING_BYTES
        return newly_bytes

    def next_chunk(self, now: float) -> Piece | None:
        """As ``Transfer.next_chunk``, but never beyond ``IN_FLIGHT_BYTES``."""
        largest_bytes = min(self._ceiling_bytes, MAX_CHUNK_BYTES)
        queued_bytes = self._before_bytes + self.in_flight_bytes
        if queued_bytes + largest_bytes > IN_FLIGHT_BYTES and now - self._sent_at < HOLD_S:
            return None
        piece = super().next_chunk(now)
        if piece is not None:
            self._sent_at = now
            self._first = piece.number if self._first is None else self._first
        return piece
