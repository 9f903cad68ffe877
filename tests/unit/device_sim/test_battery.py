"""The battery: drains, charges, and people who plug it in."""

from __future__ import annotations

import pytest

from device_sim.battery import Battery
from device_sim.options import Battery as Options
from device_sim.profiles import load_profile

PROFILE = load_profile("lakala-4g-esign")  # drains 4 and charges 45 percent an hour


def test_drains_at_the_models_rate_scaled_by_speed() -> None:
    battery = Battery(Options(start_pct=50), PROFILE, 2.0, 0.0)
    battery.update(3600.0)

    assert battery.percent == 42


def test_is_plugged_in_at_the_given_time_and_charges_until_full() -> None:
    battery = Battery(Options(start_pct=20, plug_at_s=3600), PROFILE, 1.0, 0.0)

    assert battery.reaches(30, 0.0) == 3600.0, "somebody must plug it in first"
    assert battery.update(2 * 3600.0)
    assert (battery.charging, battery.percent) == (True, 61)
    assert battery.update(4 * 3600.0)
    assert (battery.charging, battery.percent) == (False, 100)


def test_low_battery_is_plugged_in_by_the_merchant() -> None:
    battery = Battery(Options(start_pct=13), PROFILE, 1.0, 0.0)

    assert battery.reaches(30, 0.0) is None
    assert battery.update(3600.0)
    assert battery.charging
    assert battery.reaches(30, 3600.0) == pytest.approx(3600 + (30 - 9) / 45 * 3600)


def test_never_runs_empty_and_never_back_in_time() -> None:
    battery = Battery(Options(start_pct=5, plug_below_pct=0), PROFILE, 1.0, 0.0)
    battery.update(1e6)
    battery.update(0.0)

    assert battery.percent == 1
