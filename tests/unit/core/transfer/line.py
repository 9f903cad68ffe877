"""The other end of a transfer: a receiver that keeps the protocol, and what is pulled for it."""

from __future__ import annotations

from gateway.core.transfer.meter import Meter
from gateway.core.transfer.pacing import FixedWindow
from gateway.core.transfer.window import Piece, Transfer
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, Ack
from gateway.wire.ranges import RangeSet

KIB = 1024


class Receiver:
    """Holds blocks, verifies whole segments, and describes what it holds in acks."""

    def __init__(self, blocks: int, epoch: int = 1) -> None:
        self.blocks = blocks
        self.held = RangeSet()
        self.verified = RangeSet()
        self.epoch = epoch
        self.seq = 0
        self.number = 0
        self.echo_ms = 0
        self.verified_again = 0

    def take(self, piece: Piece, now: float) -> None:
        """A chunk arrives."""
        stop = piece.block + -(-piece.length_bytes // BLOCK_BYTES)
        self.number = piece.number
        self.echo_ms = int(now * 1000)
        if self.verified.covers(piece.block, stop):
            self.verified_again += 1
        self.held.add(piece.block, stop)
        first = piece.block // BLOCKS_PER_SEGMENT * BLOCKS_PER_SEGMENT
        last = min(first + BLOCKS_PER_SEGMENT, self.blocks)
        if self.held.covers(first, last):
            self.verified.add(first, last)

    def reconnect(self, *, power_lost: bool) -> None:
        """A new bulk connection; a power cut keeps verified segments alone."""
        self.epoch += 1
        self.seq = self.number = 0
        if power_lost:
            self.held = RangeSet(self.verified)

    def ack(self, credit_bytes: int = 256 * KIB) -> Ack:
        """What it holds now."""
        self.seq += 1
        first = self.held.first
        cum = first[1] if first is not None and first[0] == 0 else 0
        ranges = [pair for pair in self.held if pair[0] > cum or (pair[0] > 0 and cum == 0)]
        return Ack(
            transfer=1,
            epoch=self.epoch,
            seq=self.seq,
            number=self.number,
            cum=cum,
            ranges=tuple(ranges[:16]),
            credit_bytes=credit_bytes,
            delay_ms=0,
            echo_ms=self.echo_ms,
        )

    @property
    def complete(self) -> bool:
        """Whether all is held and verified."""
        return self.verified.covers(0, self.blocks)


def opened(size_bytes: int, *, window_bytes: int = 64 * KIB, have: RangeSet | None = None) -> Transfer:
    """A transfer with a fixed window and chunks of 16 KiB."""
    return Transfer(
        1,
        size_bytes,
        FixedWindow(window_bytes),
        have_segments=have or RangeSet(),
        first_number=1000,
        meter=Meter(0.0),
        first_chunk_blocks=16,
    )


def drained(transfer: Transfer, now: float) -> list[Piece]:
    """All that may be sent now."""
    pieces = []
    while (piece := transfer.next_chunk(now)) is not None:
        pieces.append(piece)
    return pieces
