"""Acks of one bulk connection: when one is due and what it says (docs/protocol.md, "Acks").

Each ack is the whole truth of what is held, so a lost one costs nothing but time. Pure; ``transfer`` sends what ``make``
returns.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.codec import MAX_ACK_RANGES
from gateway.wire.messages import Ack, Chunk, Welcome
from gateway.wire.ranges import RangeSet

LEVEL_S: Final = 3.0  # without any chunk, the state is said again this often


class AckClock:
    """The state of one bulk connection that acks carry."""

    __slots__ = ("_again_at", "_delay_ms", "_due_at", "_echo_ms", "_epoch", "_level_at", "_number", "_seq", "_unacked")

    def __init__(self, epoch: int, now: float) -> None:
        self._epoch = epoch
        self._seq = 0
        self._number = 0
        self._echo_ms = 0
        self._delay_ms = 0
        self._unacked = 0
        self._due_at: float | None = None
        self._level_at = now
        self._again_at = float("inf")

    def on_chunk(self, chunk: Chunk, now: float, policy: Welcome) -> bool:
        """A chunk came; whether an ack is due at once: enough of them, or a number is missing before it."""
        gap = self._number > 0 and chunk.number > self._number + 1
        self._number = max(self._number, chunk.number)
        self._echo_ms = chunk.stamp_ms
        delay_ms = int(now * 1000) - chunk.stamp_ms
        self._delay_ms = min(self._delay_ms, delay_ms) if self._unacked else delay_ms
        self._unacked += 1
        if self._due_at is None:
            self._due_at = now + policy.ack_delay_ms / 1000
        self._level_at = now + LEVEL_S
        return gap or self._unacked >= policy.ack_every

    @property
    def deadline(self) -> float:
        """When an ack is due if no chunk comes."""
        level_at = min(self._level_at, self._again_at)
        return level_at if self._due_at is None else min(self._due_at, level_at)

    def hasten(self, at: float) -> None:
        """Say the state again at ``at``, whatever chunks come before: they may have been on their way already."""
        self._again_at = at

    def make(self, transfer: int, held: RangeSet, now: float, *, credit_bytes: int, foreground: bool, pause_seq: int) -> Ack:
        """The ack of this moment; resets what counts since the last one."""
        ranges = held.to_wire(MAX_ACK_RANGES + 1)
        cum = ranges[0][1] if ranges and ranges[0][0] == 0 else 0
        self._seq += 1
        ack = Ack(
            transfer=transfer,
            epoch=self._epoch,
            seq=self._seq,
            number=self._number,
            cum=cum,
            ranges=ranges[1:] if cum else ranges[:MAX_ACK_RANGES],
            credit_bytes=credit_bytes,
            delay_ms=self._delay_ms,
            echo_ms=self._echo_ms,
            foreground=foreground,
            pause_seq=pause_seq,
        )
        self._unacked = 0
        self._due_at = None
        self._level_at = now + LEVEL_S
        if now >= self._again_at:
            self._again_at = float("inf")
        return ack
