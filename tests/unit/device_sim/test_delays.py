"""Delays in bounded space: quantiles within a bucket of the true ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.delays import QUANTILES, Delays

DELAYS = st.lists(st.floats(0.001, 60.0), min_size=1, max_size=200)


@given(DELAYS)
def test_quantiles_are_true_within_three_percent(delays: list[float]) -> None:
    found = Delays()
    for delay_s in delays:
        found.note(delay_s, delay_s / 2)
    summary = found.summary()

    ordered = sorted(delays)
    for percent in QUANTILES:
        true_ms = 1000 * ordered[-(-percent * len(ordered) // 100) - 1]
        assert summary["delay_ms"][f"p{percent}"] == pytest.approx(true_ms, rel=0.03, abs=0.06)  # type: ignore[index]
        assert summary["alone_ms"][f"p{percent}"] == pytest.approx(true_ms / 2, rel=0.03, abs=0.06)  # type: ignore[index]


def test_nothing_noted_has_no_quantiles_and_no_delay_is_zero() -> None:
    found = Delays()
    empty = found.summary()
    found.note(0.0, 0.0)

    assert empty == {"count": 0, "delay_ms": {}, "alone_ms": {}, "added_ms": {}}
    assert found.summary()["added_ms"] == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
