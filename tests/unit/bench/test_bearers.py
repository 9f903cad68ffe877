"""The bearer of the benchmarks, and a transfer over it in virtual time: no sender beats its capacity."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from bench.links.bearers import bearer, groups
from bench.links.virtual import Line
from device_sim.scenario import read_scenario
from gateway.core.transfer.pacing import FixedWindow


def test_mean_rate_is_the_one_that_was_asked_for() -> None:
    share = bearer(1e6, seed=5).down.capacity_bytes(0.0, 20_000.0) / (20_000 * 1e6 / 8 / 1.04)

    assert share == pytest.approx(0.989, abs=0.03)  # stalls take 0.7 s of every minute


def test_queue_is_first_in_first_out_and_three_seconds_deep() -> None:
    radio = bearer(1e6, seed=4)
    now, last = 10.0, 0.0
    while not radio.down.full(now):
        arrives = radio.down.send(now, 1000)
        assert arrives > last
        last = arrives

    assert now < radio.down.room_at() < now + radio.down.backlog_s(now)
    assert not radio.down.full(radio.down.room_at())


def test_scenario_of_a_row_has_the_bearer_and_the_payments_of_the_page() -> None:
    data = {"group": groups({"a": 1e6, "b": 256e3, "c": 1e6}, speed=1000.0, payments_from_s=40.0)}
    scenario = read_scenario(data, folder=Path(), where="row")
    by_id = {entry.id: entry for entry in scenario.entries}
    shop = by_id["a"].options.shop

    assert [(name, by_id[name].profile.link.down_bps) for name in "abc"] == [("a", 1e6), ("b", 256e3), ("c", 1e6)]
    assert by_id["b"].profile.link.up_bps == 128e3
    assert (shop.payment_every_s, shop.lead_s, shop.host_s) == ((10_000, 20_000), (200, 600), (150, 400))
    assert (shop.request_bytes, shop.answer_bytes, shop.payments_from_s) == (600, 1200, 40.0)


def test_transfer_in_virtual_time_stays_within_the_capacity_and_loses_nothing() -> None:
    radio = bearer(1e6, seed=7)
    line = Line(radio=radio, pacing=FixedWindow(), rng=Random(8))
    line.run(60.0)

    assert 0.5 * radio.down.capacity_bytes(0.0, 60.0) < line.delivered_bytes < radio.down.capacity_bytes(0.0, 60.0)
    assert line.paid
    assert all(paid.delay_s >= paid.alone_s for paid in line.paid)
