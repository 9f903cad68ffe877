"""The shaped link: rate, order, the shared queue, stalls, and drop-outs, all by arithmetic."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.profiles import LinkProfile
from device_sim.radio import OVERHEAD, QUEUE_S, Radio

LIVELY = {"down_bps": 1e6, "up_bps": 5e5, "delay_ms": 40.0, "jitter_ms": 20.0, "rate_sigma": 0.35, "stalls_per_h": 60.0}


def radio(seed: int = 1, **changes: float) -> Radio:
    return Radio(LinkProfile(**changes), Random(seed))  # type: ignore[arg-type]  # the tests give numbers only


def test_rate_and_delay_decide_when_bytes_arrive() -> None:
    lane = radio(down_bps=800_000, delay_ms=50).down

    assert pytest.approx(1.0 * OVERHEAD + 0.05) == lane.send(0.0, 100_000)
    assert pytest.approx(2.0 * OVERHEAD + 0.05) == lane.send(0.5, 100_000), "queued behind the first"
    assert pytest.approx(10.0 + OVERHEAD + 0.05) == lane.send(10.0, 100_000), "an empty queue gives nothing back"


def test_unshaped_link_delivers_at_once() -> None:
    lane = radio().up

    assert not lane.shapes
    assert lane.send(3.0, 10**9) == 3.0


def test_queue_is_full_at_three_seconds_and_has_room_at_half() -> None:
    lane = radio(down_bps=8 * OVERHEAD * 1000).down
    lane.send(0.0, 3000)

    assert lane.full(0.0)
    assert not lane.full(0.1)
    assert pytest.approx(QUEUE_S / 2) == lane.room_at()


@given(
    seed=st.integers(0, 1000),
    sends=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50_000)), min_size=1, max_size=50),
)
def test_nothing_overtakes_and_nothing_beats_the_rate(seed: int, sends: list[tuple[float, int]]) -> None:
    lane = radio(seed, down_bps=1_000_000, delay_ms=30, jitter_ms=40, stalls_per_h=600).down
    now = last = 0.0
    total = 0
    for wait_s, nbytes in sends:
        now += wait_s
        total += nbytes
        arrives = lane.send(now, nbytes)
        assert arrives >= last
        assert arrives >= now + nbytes / (1_000_000 / 8 / OVERHEAD) + 0.03 - 1e-9
        last = arrives
    assert last >= total / (1_000_000 / 8 / OVERHEAD)


def test_both_directions_stand_still_in_a_stall() -> None:
    found = radio(stalls_per_h=600, stall_s=(1.0, 1.0), delay_ms=1)  # type: ignore[arg-type]  # a span
    late = [at for at in (n / 100 for n in range(3000)) if found.down.send(at, 1) > at + 0.5]

    assert late, "a stall every six seconds on average must hit something in thirty"
    assert found.up.send(late[0], 1) > late[0] + 0.5


def test_link_is_the_same_whatever_was_sent() -> None:
    busy, idle = radio(3, **LIVELY), radio(3, **LIVELY)
    busy.down.send(5.0, 200_000)

    assert busy.down.send(100.0, 1200) == idle.down.send(100.0, 1200)
    assert busy.down.capacity_bytes(0.0, 500.0) == idle.down.capacity_bytes(0.0, 500.0)
    assert busy.dropout_at == idle.dropout_at


def test_lane_for_payments_alone_is_the_same_air_without_the_queue() -> None:
    found, idle = radio(3, **LIVELY), radio(3, **LIVELY)
    found.down.send(99.0, 200_000)

    assert found.alone.send(100.0, 1200) == idle.down.send(100.0, 1200) < found.down.send(100.0, 1200)


def test_bytes_take_as_long_as_the_capacity_says() -> None:
    lane = radio(4, **LIVELY | {"jitter_ms": 0.0}).down

    arrives = lane.send(50.0, 1_000_000)

    assert lane.capacity_bytes(50.0, arrives - 0.04) == pytest.approx(1_000_000)


def test_dropouts_come_at_the_given_rate_and_never_without_one() -> None:
    found = radio(dropouts_per_h=60)
    seen, now = 0, 0.0
    while now < 36_000:
        now = found.dropout_at
        assert found.drop_out(now)
        assert not found.drop_out(now)
        seen += 1

    assert 500 < seen < 700
    assert radio().dropout_at == math.inf


def test_late_wake_up_moves_no_dropout() -> None:
    on_time, late = radio(dropouts_per_h=60), radio(dropouts_per_h=60)
    assert on_time.drop_out(on_time.dropout_at)
    assert late.drop_out(late.dropout_at + 0.001)

    assert on_time.dropout_at == late.dropout_at
