"""The transfer against a receiver that keeps the protocol, over lines that lose, delay and break."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.transfer.meter import SILENCE_S
from gateway.core.transfer.plan import next_chunk_blocks
from gateway.core.transfer.window import PROBE_MAX_S, Piece
from gateway.errors import WireError
from gateway.wire.fields import MAX_INTEGER
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, SEGMENT_BYTES, Ack
from gateway.wire.ranges import RangeSet
from tests.unit.core.transfer.line import KIB, Receiver, drained, opened


def test_nothing_is_sent_before_the_first_ack() -> None:
    """The first ack of a connection says where to resume."""
    assert opened(SEGMENT_BYTES).next_chunk(0.0) is None


def test_in_flight_never_exceeds_window_or_credit() -> None:
    """The smaller of both counts."""
    for window, credit, expected in ((64 * KIB, 256 * KIB, 64 * KIB), (256 * KIB, 32 * KIB, 32 * KIB)):
        transfer = opened(4 * SEGMENT_BYTES, window_bytes=window)
        transfer.acked(Receiver(transfer.blocks).ack(credit), 1.0)
        drained(transfer, 1.0)

        assert expected == transfer.in_flight_bytes


def test_a_clean_line_sends_each_byte_once() -> None:
    """Including a last chunk that is shorter than a block."""
    size = 3 * SEGMENT_BYTES + 777
    transfer, receiver, now = opened(size), Receiver(-(-size // BLOCK_BYTES)), 1.0
    while not receiver.complete:
        now += 0.05
        transfer.acked(receiver.ack(), now)
        for piece in drained(transfer, now):
            receiver.take(piece, now)

    assert size == transfer.meter.sent_bytes
    assert transfer.meter.resent_bytes == 0
    transfer.acked(receiver.ack(), now)
    assert size == transfer.held_bytes
    assert RangeSet([(0, 4)]) == transfer.held_segments


def test_a_hole_below_the_last_number_received_is_sent_once_more_and_nothing_else() -> None:
    """One connection keeps order, so what was sent before and is not held is lost."""
    transfer, receiver = opened(SEGMENT_BYTES), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(), 1.0)
    first, second, third, _ = drained(transfer, 1.0)
    receiver.take(first, 1.0)
    receiver.take(third, 1.0)
    transfer.acked(receiver.ack(), 1.1)

    again = transfer.next_chunk(1.1)
    assert again is not None
    assert second.block == again.block
    later = transfer.next_chunk(1.1)
    assert later is None or later.block > third.block


def test_a_late_stale_ack_changes_nothing() -> None:
    """Acks carry a sequence of their own."""
    transfer, receiver = opened(2 * SEGMENT_BYTES), Receiver(2 * BLOCKS_PER_SEGMENT)
    stale = receiver.ack()
    transfer.acked(receiver.ack(), 1.0)
    for piece in drained(transfer, 1.0):
        receiver.take(piece, 1.0)
    transfer.acked(receiver.ack(), 1.1)
    held = transfer.held_bytes
    transfer.acked(stale, 1.2)

    assert held == transfer.held_bytes
    assert transfer.meter.stale_acks == 1


def test_a_dropped_segment_is_wanted_again() -> None:
    """Its hash was wrong, so its blocks vanish from the acks."""
    transfer, receiver = opened(2 * SEGMENT_BYTES, window_bytes=512 * KIB), Receiver(2 * BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(512 * KIB), 1.0)
    for piece in drained(transfer, 1.0):
        receiver.take(piece, 1.0)
    receiver.held.remove(0, BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(), 1.1)
    again = drained(transfer, 1.1)

    assert again[0].block == 0
    assert all(piece.block < BLOCKS_PER_SEGMENT for piece in again)


def test_after_an_outage_of_our_own_line_the_terminal_has_its_time_to_say_what_it_holds() -> None:
    """Its acks were lost with the line: a probe at once would send again what it has verified."""
    transfer, receiver = opened(SEGMENT_BYTES, window_bytes=16 * KIB), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(), 0.0)
    sent = drained(transfer, 0.0)
    for piece in sent:
        receiver.take(piece, 1.0)  # the acks of these never came
    transfer.line_back(10.0)

    assert drained(transfer, 10.0) == []
    assert transfer.wake_at == 10.0 + SILENCE_S
    transfer.acked(receiver.ack(), 13.0)
    later = drained(transfer, 13.0)
    assert {piece.block for piece in later}.isdisjoint(piece.block for piece in sent)
    assert transfer.meter.probes == 0


def test_silence_sends_one_probe_and_doubles_the_wait() -> None:
    """A missing ack mostly means that it is still queued."""
    transfer, receiver = opened(SEGMENT_BYTES, window_bytes=16 * KIB), Receiver(BLOCKS_PER_SEGMENT)
    transfer.acked(receiver.ack(), 0.0)
    drained(transfer, 0.0)
    times: list[float] = []
    now = 0.0
    while len(times) < 8:
        now = transfer.wake_at
        assert len(drained(transfer, now)) == 1
        times.append(now)
    waits = [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]

    assert waits == [6.0, 12.0, 24.0, 48.0, PROBE_MAX_S, PROBE_MAX_S, PROBE_MAX_S]


@pytest.mark.parametrize("ack", [{"cum": 999}, {"cum": 0, "ranges": ((5, 999),)}, {"cum": 7, "ranges": ((3, 9),)}])
def test_an_ack_beyond_the_package_is_refused_and_changes_nothing(ack: dict[str, object]) -> None:
    """A terminal cannot claim what does not exist."""
    transfer = opened(SEGMENT_BYTES)
    base = {"transfer": 1, "epoch": 1, "seq": 1, "number": 0, "cum": 0, "ranges": (), "credit_bytes": 9999}
    with pytest.raises(WireError, match="claims blocks"):
        transfer.acked(Ack(**{**base, "delay_ms": 0, "echo_ms": 0, **ack}), 1.0)  # type: ignore[arg-type]  # built from rows
    assert transfer.held_bytes == 0


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(1, 3 * SEGMENT_BYTES),
    fates=st.lists(st.sampled_from(["take", "take", "take", "lose", "lose_ack", "reconnect", "power"]), max_size=120),
    window=st.sampled_from([1 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]),
)
def test_every_finite_run_of_faults_ends_complete_without_resending_verified_segments(
    size: int, fates: list[str], window: int
) -> None:
    """Lost chunks, lost acks, reconnects and power cuts: all ends held, and a verified block comes again only as a probe."""
    transfer, receiver = opened(size, window_bytes=window), Receiver(-(-size // BLOCK_BYTES))
    fate, now = iter(fates), 1.0
    for _ in range(3000):
        if receiver.complete:
            break
        what = next(fate, "take")
        if what in {"reconnect", "power"}:
            receiver.reconnect(power_lost=what == "power")
        if what != "lose_ack":
            transfer.acked(receiver.ack(), now)
        piece = transfer.next_chunk(now)
        if piece is None:
            now += 0.5
        elif what != "lose":
            receiver.take(piece, now)
        now += 0.01

    assert receiver.complete
    assert receiver.verified_again <= transfer.meter.probes


def test_chunks_shrink_and_grow_by_one_step_for_each_segment() -> None:
    """From 16 KiB over 4 to 1 on a line that has become slow, and back."""
    assert [next_chunk_blocks(blocks, 1_000.0) for blocks in (16, 4, 1)] == [4, 1, 1]
    assert [next_chunk_blocks(blocks, 1_000_000.0) for blocks in (1, 4, 16)] == [4, 16, 16]
    assert [next_chunk_blocks(blocks, 100_000.0) for blocks in (1, 4, 16)] == [4, 4, 4]


def test_a_wait_for_our_own_turn_is_no_slow_link() -> None:
    """A crowded gateway must not shrink the chunks: that would crowd it more."""
    transfer = opened(8 * SEGMENT_BYTES)
    receiver = Receiver(transfer.blocks)
    now = 1000.0
    transfer.acked(receiver.ack(), now)
    lengths: set[int] = set()
    while transfer.held_bytes < transfer.size_bytes:
        now += 1.5  # others are served
        while (piece := transfer.next_chunk(now)) is not None:
            lengths.add(piece.length_bytes)
            receiver.take(piece, now)
        now += 0.1  # the link and the terminal
        transfer.acked(receiver.ack(), now)
    assert lengths == {16 * KIB}
    assert transfer.meter.goodput_bps == pytest.approx(64 * KIB / 0.1)


def test_the_chunk_that_wakes_the_radio_up_teaches_nothing() -> None:
    """After two idle seconds the network takes its time with the first one: no round trip, no delay, no slow link."""
    transfer, receiver = opened(8 * SEGMENT_BYTES), Receiver(8 * BLOCKS_PER_SEGMENT)
    now = 1.0
    transfer.acked(receiver.ack(), now)
    for wait_s in (0.1, 5.0):
        now += wait_s
        for piece in drained(transfer, now):
            receiver.take(piece, now)
        late_s = 0.08 if wait_s < 2 else 1.5
        now += late_s
        transfer.acked(replace(receiver.ack(), delay_ms=round(1000 * late_s)), now)
    assert transfer.meter.srtt_s == pytest.approx(0.08, rel=0.05)
    assert transfer.meter.account(now).delay_ms is not None
    assert transfer.meter.account(now).delay_ms.count == 1  # type: ignore[union-attr]  # asserted above


def test_numbers_that_fell_with_the_clock_cost_one_window_and_no_more() -> None:
    """A gateway that starts again with its clock set back counts from below what the terminal has received."""
    transfer = opened(2 * SEGMENT_BYTES)
    receiver = Receiver(transfer.blocks)
    receiver.number = 5_000_000
    transfer.acked(receiver.ack(), 0.0)
    on_the_way: list[Piece] = []
    now = 0.0
    while not receiver.complete:
        now += 0.1
        on_the_way += drained(transfer, now)
        newest = receiver.number
        receiver.take(on_the_way.pop(0), now)
        receiver.number = max(newest, receiver.number)
        transfer.acked(receiver.ack(), now)

    assert transfer.meter.sent_bytes <= transfer.size_bytes + 64 * KIB


def test_a_number_that_leaves_no_room_for_more_is_refused() -> None:
    transfer = opened(40 * KIB)
    with pytest.raises(WireError, match="number"):
        transfer.acked(replace(Receiver(transfer.blocks).ack(), number=MAX_INTEGER), 0.0)
