"""How much of a transfer may be in flight: a strategy, so that it can be bettered without touching the terminals.

A policy is told of every ack and answers with a window in bytes. The terminal's credit is applied besides, in ``window``.
"""

from __future__ import annotations

from typing import Final, Protocol

from gateway.wire.messages import Ack

#: A fixed window of four 16 KiB chunks fills a 4 Mbit/s link at 130 ms round trip and queues half a second at 1 Mbit/s.
FIXED_WINDOW_BYTES: Final = 64 * 1024


class Pacing(Protocol):
    """What the transfer needs of a policy."""

    @property
    def window_bytes(self) -> int:
        """How many bytes may be in flight now; at least one block."""
        ...

    def on_ack(self, ack: Ack, *, newly_held_bytes: int, now: float) -> None:
        """An ack of the present connection came in."""
        ...

    def on_connection(self, now: float) -> None:
        """The terminal has a new bulk connection: delays measured before mean nothing now."""
        ...


class FixedWindow:
    """The same window always."""

    __slots__ = ("window_bytes",)

    def __init__(self, window_bytes: int = FIXED_WINDOW_BYTES) -> None:
        self.window_bytes = window_bytes

    def on_ack(self, ack: Ack, *, newly_held_bytes: int, now: float) -> None:
        """Nothing to learn."""

    def on_connection(self, now: float) -> None:
        """Nothing to forget."""
