"""Acks: when one is due, and that it tells the whole truth."""

from __future__ import annotations

from device_sim.acks import LEVEL_S, AckClock
from gateway.wire.messages import Ack, Chunk, Welcome
from gateway.wire.ranges import RangeSet

POLICY = Welcome(epoch=1, now_ms=0, ack_every=4, ack_delay_ms=100)


def chunk(number: int, stamp_ms: int = 0) -> Chunk:
    return Chunk(transfer=1, number=number, index=0, stamp_ms=stamp_ms, data=b"x")


def make(clock: AckClock, held: RangeSet, now: float) -> Ack:
    return clock.make(7, held, now, credit_bytes=9, foreground=False, pause_seq=0)


def test_ack_is_due_after_so_many_chunks_or_after_a_delay() -> None:
    clock = AckClock(3, 0.0)
    make(clock, RangeSet(), 0.0)

    assert [clock.on_chunk(chunk(number), 1.0, POLICY) for number in (5, 6, 7, 8)] == [False, False, False, True]
    assert clock.deadline == 1.1
    make(clock, RangeSet(), 1.0)
    assert clock.deadline == 1.0 + LEVEL_S


def test_missing_number_is_said_at_once_but_not_before_the_first() -> None:
    clock = AckClock(3, 0.0)

    assert not clock.on_chunk(chunk(90), 0.0, POLICY)
    assert not clock.on_chunk(chunk(91), 0.0, POLICY)
    assert clock.on_chunk(chunk(93), 0.0, POLICY)


def test_ack_carries_the_smallest_delay_the_last_echo_and_rising_numbers() -> None:
    clock = AckClock(3, 0.0)
    for number, stamp_ms in ((1, 900), (2, 990), (3, 940)):
        clock.on_chunk(chunk(number, stamp_ms), 1.0, POLICY)
    first = make(clock, RangeSet([(0, 4)]), 1.0)
    second = make(clock, RangeSet([(0, 4)]), 2.0)

    assert (first.delay_ms, first.echo_ms, first.number, first.seq) == (10, 940, 3, 1)
    assert (second.delay_ms, second.echo_ms, second.number, second.seq) == (10, 940, 3, 2)


def test_ranges_begin_above_cum_and_are_at_most_sixteen() -> None:
    gaps = RangeSet((at, at + 1) for at in range(0, 80, 2))
    with_cum, without = make(AckClock(3, 0.0), gaps, 0.0), make(AckClock(3, 0.0), RangeSet(list(gaps)[1:]), 0.0)

    assert (with_cum.cum, len(with_cum.ranges), with_cum.ranges[0]) == (1, 16, (2, 3))
    assert (without.cum, len(without.ranges), without.ranges[0]) == (0, 16, (2, 3))


def test_state_is_said_again_when_asked_for_and_acks_before_do_not_count() -> None:
    clock = AckClock(3, 0.0)
    make(clock, RangeSet(), 10.0)
    clock.hasten(11.0)
    clock.on_chunk(chunk(1), 10.5, POLICY)
    make(clock, RangeSet([(0, 1)]), 10.6)
    hurried = clock.deadline
    make(clock, RangeSet([(0, 1)]), 11.0)

    assert [hurried, clock.deadline] == [11.0, 11.0 + LEVEL_S]
