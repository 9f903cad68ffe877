"""The fixed window."""

from __future__ import annotations

from gateway.core.transfer.pacing import FIXED_WINDOW_BYTES, FixedWindow
from gateway.wire.messages import Ack


def test_a_fixed_window_learns_nothing() -> None:
    """Whatever the acks say."""
    pacing = FixedWindow()
    ack = Ack(transfer=1, epoch=1, seq=1, number=1, cum=1, ranges=(), credit_bytes=0, delay_ms=9000, echo_ms=0, foreground=True)
    pacing.on_ack(ack, newly_held_bytes=0, now=1.0)
    pacing.on_connection(2.0)

    assert pacing.window_bytes == FIXED_WINDOW_BYTES
