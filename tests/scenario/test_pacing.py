"""The delay-based window on bearers of known rate: how fast it finds it, follows it, and keeps to it."""

from __future__ import annotations

import pytest

from gateway.core.transfer.pacing import TARGET_MS
from tests.scenario.bearer import Bearer

RATES_BPS = (12_000.0, 32_000.0, 125_000.0, 500_000.0, 1_250_000.0)
"""Bytes per second: 96 kbit/s to 10 Mbit/s."""
FAST_BPS = 31_000.0


def _longest_queue_ms(rate_bps: float) -> float:
    """The least delay of a few acks is held at the target: what a delayed ack lets out at once, and two chunks, come on top."""
    return TARGET_MS + 100 + 2 * 1000 * 1104 / rate_bps


@pytest.mark.parametrize("rate_bps", RATES_BPS)
def test_it_fills_the_link_within_ten_seconds(rate_bps: float) -> None:
    """And queues no more than it must."""
    bearer = Bearer(lambda _: rate_bps)
    bearer.run(60)
    assert bearer.use(10, 60) > (0.9 if rate_bps > FAST_BPS else 0.85)
    assert bearer.queue_ms(10, 60) < _longest_queue_ms(rate_bps)


@pytest.mark.parametrize(
    ("rate_bps", "after_bps"),
    [(low, 4 * low) for low in (12_000.0, 32_000.0, 125_000.0, 312_500.0)]
    + [(high, high / 4) for high in (48_000.0, 128_000.0, 500_000.0, 1_250_000.0)],
)
def test_it_follows_steps_of_four_both_ways(rate_bps: float, after_bps: float) -> None:
    """Within ten seconds it is where it would be had the link always been so."""
    bearer = Bearer(lambda at: rate_bps if at < 30 else after_bps)
    bearer.run(80)
    assert bearer.use(40, 80) > (0.9 if after_bps > FAST_BPS else 0.85)
    assert bearer.queue_ms(40, 80) < _longest_queue_ms(after_bps)


@pytest.mark.parametrize("clock_drift", [0.0, 50e-6])
def test_it_does_not_drift_in_ten_hours(clock_drift: float) -> None:
    """No payment ever empties the queue, and the clocks of both ends drift apart: its own queue must not become its base."""
    bearer = Bearer(lambda _: RATES_BPS[0], clock_drift=clock_drift, step_s=0.5)
    bearer.run(36_000)
    hours = [bearer.queue_ms(3600.0 * hour, 3600.0 * hour + 3600) for hour in range(1, 10)]
    assert max(hours) < _longest_queue_ms(RATES_BPS[0])
    assert max(hours) < 1.3 * min(hours)
    assert min(bearer.use(3600.0 * hour, 3600.0 * hour + 3600) for hour in range(10)) > 0.9


@pytest.mark.parametrize("round_trip_s", [0.135, 0.336])
def test_five_timeouts_are_no_death_spiral(round_trip_s: float) -> None:
    """Silence after silence, and thirty seconds after the last the link is full again, on a long path too."""
    rate_bps = 250_000.0
    silent = tuple((20.0 + 10 * number, 24.0 + 10 * number) for number in range(5))
    bearer = Bearer(lambda _: rate_bps, round_trip_s=round_trip_s, silent=silent)
    bearer.run(110)
    assert bearer.transfer.meter.probes >= 5
    for start, end in ((20.0, 30.0), (60.0, 70.0)):
        assert bearer.use(start + 4, end) > 0.02, "it moves between two"
    assert bearer.use(94, 110) > 0.9
