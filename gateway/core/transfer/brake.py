"""What the terminal grants: its credit, and the brake that it puts on while a payment runs (docs/protocol.md 6.6).

Credit 0 with ``foreground`` is a brake. It is good for 5 s after the newest ack that put it on or renewed it, told by a higher
``pause_seq``, so that no lost or late message can stop a transfer for longer: a brake that has run out lets one chunk through,
and the ack of that chunk says how things stand. Credit 0 without ``foreground`` (no room, flash busy) lasts until the next ack.
"""

from __future__ import annotations

from typing import Final

from gateway.core.transfer.account import PauseCause
from gateway.wire.messages import BLOCK_BYTES, Ack

LEASE_S: Final = 5.0
_NEVER: Final = float("inf")


class Brake:
    """The grants of the present bulk connection; the gateway's own reasons to wait are here too, since they stop the same."""

    __slots__ = ("_foreground", "_pause_seq", "_until", "credit_bytes", "held_back_until", "released_at")

    def __init__(self) -> None:
        self.credit_bytes = 0
        """As the terminal last said."""
        self.held_back_until = 0.0
        """A budget of bytes is empty until then."""
        self.released_at = 0.0
        """When the terminal last began to grant something again. What was sent before may have lain unread meanwhile."""
        self._foreground = False
        self._pause_seq = -1
        self._until = 0.0

    def release(self) -> None:
        """A new connection: its first ack says anew what is granted."""
        self.credit_bytes = 0
        self._foreground = False
        self._pause_seq = -1
        self._until = 0.0

    def take(self, ack: Ack, now: float) -> None:
        """The newest ack."""
        if self.closed and ack.credit_bytes >= BLOCK_BYTES:
            self.released_at = now
        self.credit_bytes = ack.credit_bytes
        self._foreground = ack.foreground and ack.credit_bytes < BLOCK_BYTES
        if self._foreground and ack.pause_seq > self._pause_seq:
            self._until = now + LEASE_S
        self._pause_seq = max(self._pause_seq, ack.pause_seq)

    @property
    def closed(self) -> bool:
        """Whether the terminal grants nothing."""
        return self.credit_bytes < BLOCK_BYTES

    def lapsed(self, now: float) -> bool:
        """Whether a brake was neither renewed nor released in its time: one chunk may ask how things stand."""
        return self._foreground and now >= self._until

    def stops(self, now: float) -> bool:
        """Whether nothing may be sent."""
        return now < self.held_back_until or (self.closed and not self.lapsed(now))

    @property
    def wake_at(self) -> float:
        """When something may be sent although no ack came (infinity: never)."""
        if self.closed:
            return max(self._until, self.held_back_until) if self._foreground else _NEVER
        return self.held_back_until

    def cause(self, now: float) -> PauseCause | None:
        """Why the transfer stands still; ``None`` when it does not for any of these reasons."""
        if self.closed:
            return PauseCause.PAYMENT if self._foreground else PauseCause.CREDIT
        return PauseCause.BUDGET if now < self.held_back_until else None
