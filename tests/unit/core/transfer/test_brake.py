"""What the terminal grants: its credit, the brake of a payment, and a budget that is empty."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.transfer.account import PauseCause
from gateway.core.transfer.brake import LEASE_S
from gateway.wire.messages import BLOCKS_PER_SEGMENT, SEGMENT_BYTES, Ack
from tests.unit.core.transfer.line import KIB, Receiver, drained, opened


def _paused(receiver: Receiver, pause_seq: int) -> Ack:
    return replace(receiver.ack(0), foreground=True, pause_seq=pause_seq)


def test_a_brake_stops_and_a_release_resumes() -> None:
    """Credit 0 while a payment runs."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(_paused(receiver, 1), 1.0)
    assert transfer.next_chunk(1.0 + LEASE_S - 0.1) is None

    transfer.acked(receiver.ack(), 1.1)
    assert transfer.next_chunk(1.1) is not None


def test_a_lost_release_costs_no_more_than_the_lease() -> None:
    """A brake that nobody renews lets one small chunk through, and no second one before its ack."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(_paused(receiver, 1), 1.0)
    assert transfer.wake_at == 1.0 + LEASE_S
    (asked,) = drained(transfer, transfer.wake_at)
    assert asked.length_bytes == KIB

    receiver.take(asked, 6.1)
    transfer.acked(receiver.ack(), 6.1)
    assert len(drained(transfer, 6.1)) > 1


def test_a_lost_release_is_asked_about_with_what_is_in_flight() -> None:
    """Chunks that were under way when the brake came may be lost with the release."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(), 0.5)
    sent = drained(transfer, 0.5)
    transfer.acked(_paused(receiver, 1), 1.0)
    assert drained(transfer, 5.9) == []
    (asked,) = drained(transfer, transfer.wake_at)
    assert (asked.block, asked.number > sent[-1].number) == (sent[0].block, True)


def test_only_a_higher_pause_number_renews_a_brake() -> None:
    """An ack that says the same brake again, as each ack does while it lasts, does not make it last longer."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(_paused(receiver, 1), 1.0)
    transfer.acked(_paused(receiver, 1), 4.0)
    assert transfer.wake_at == 1.0 + LEASE_S
    transfer.acked(_paused(receiver, 2), 5.0)
    assert transfer.wake_at == 5.0 + LEASE_S


def test_a_late_brake_does_not_stop_what_was_released() -> None:
    """Acks carry a sequence, so a pause that arrives after its release is stale."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    late = _paused(receiver, 1)
    transfer.acked(receiver.ack(), 1.0)
    transfer.acked(late, 1.1)
    assert transfer.next_chunk(1.1) is not None


def test_no_room_is_no_brake_and_lasts_until_the_next_ack() -> None:
    """Credit 0 without the foreground flag."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(0), 1.0)
    assert transfer.wake_at == float("inf")
    assert transfer.next_chunk(99.0) is None
    assert set(transfer.meter.account(3.0).pauses) == {PauseCause.CREDIT}


def test_a_budget_holds_back_until_its_time() -> None:
    """And counts as a pause of its own."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(), 1.0)
    transfer.hold_back(3.0, 1.0)
    assert (transfer.wake_at, transfer.next_chunk(2.9)) == (3.0, None)
    assert transfer.next_chunk(3.0) is not None
    assert transfer.meter.account(9.0).pauses[PauseCause.BUDGET].seconds == pytest.approx(2.0)
    assert transfer.wake_at > 3.0


def test_what_lay_unread_during_a_payment_teaches_nothing() -> None:
    """Neither the wait in the socket nor the round trip with it in it: the link was not slow, nobody read."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(), 1.0)
    first, *unread = drained(transfer, 1.0)
    receiver.take(first, 1.0)
    transfer.acked(receiver.ack(), 1.1)
    transfer.acked(_paused(receiver, 1), 1.2)
    transfer.acked(receiver.ack(), 4.0)
    for piece in unread:
        receiver.take(piece, 1.0)
    transfer.acked(replace(receiver.ack(), delay_ms=3000), 4.1)
    fresh = drained(transfer, 4.1)
    delay = transfer.meter.account(4.1).delay_ms
    assert delay is not None
    assert delay.count == 1
    assert transfer.meter.srtt_s == pytest.approx(0.1)

    for piece in fresh:
        receiver.take(piece, 4.1)
    transfer.acked(receiver.ack(), 4.2)
    delay = transfer.meter.account(4.2).delay_ms
    assert delay is not None
    assert delay.count == 2
