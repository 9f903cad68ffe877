"""The bearer of the benchmarks: what is sent changes nothing of what comes, and no sender beats its capacity."""

from __future__ import annotations

from random import Random

import pytest

from bench.links.till import Till
from bench.links.virtual import Line
from bench.links.ways import BASE_MS, down_capacity_bytes, radio_pair
from gateway.core.transfer.pacing import FixedWindow


def test_bearer_is_the_same_whatever_was_sent() -> None:
    busy, idle = radio_pair(1e6, seed=3)
    busy.down.send(5.0, 200_000)

    assert busy.down.send(100.0, 1200) == idle.down.send(100.0, 1200)
    assert down_capacity_bytes(busy, 0.0, 500.0) == down_capacity_bytes(idle, 0.0, 500.0)


def test_bytes_take_as_long_as_the_capacity_says() -> None:
    radio, _ = radio_pair(1e6, seed=4)

    arrives = radio.down.send(50.0, 1_000_000)

    assert down_capacity_bytes(radio, 50.0, arrives - BASE_MS / 1000) == pytest.approx(1_000_000)


def test_queue_is_first_in_first_out_and_three_seconds_deep() -> None:
    radio, _ = radio_pair(1e6, seed=4)
    now, last = 10.0, 0.0
    while not radio.down.full(now):
        arrives = radio.down.send(now, 1000)
        assert arrives > last
        last = arrives

    assert now < radio.down.room_at() < now + radio.down.backlog_s(now)
    assert not radio.down.full(radio.down.room_at())


def test_mean_rate_is_the_one_that_was_asked_for() -> None:
    radio, _ = radio_pair(1e6, seed=5)

    share = down_capacity_bytes(radio, 0.0, 20_000.0) / (20_000 * 1e6 / 8 / 1.04)

    assert 0.93 < share < 1.05


def test_payment_alone_on_the_bearer_is_delayed_by_nothing_else() -> None:
    radio, alone = radio_pair(1e6, seed=6)
    till = Till(radio, alone, Random(1), 0.0)
    while till.deadline is not None and till.deadline < 300.0:
        till.on_time(till.deadline)

    assert 12 < len(till.paid) < 30
    assert all(paid.delay_s == paid.alone_s for paid in till.paid)


def test_transfer_in_virtual_time_stays_within_the_capacity_and_loses_nothing() -> None:
    radio, alone = radio_pair(1e6, seed=7)
    line = Line(radio=radio, alone=alone, pacing=FixedWindow(), rng=Random(8))
    line.run(60.0)

    assert 0.5 * down_capacity_bytes(radio, 0.0, 60.0) < line.delivered_bytes < down_capacity_bytes(radio, 0.0, 60.0)
    assert line.paid
    assert all(paid.delay_s >= paid.alone_s for paid in line.paid)
