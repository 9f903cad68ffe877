"""Openings and closings against a clock that is read minute by minute, around the nights on which zones change theirs."""

from __future__ import annotations

from datetime import UTC, datetime, time

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.schedule import US_PER_S, Window, closing, is_open, next_opening, start_at

MINUTE_US = 60 * US_PER_S
QUARTER_US = 15 * MINUTE_US
#: With the clock changes of 2026, near which the test looks: half-hour, midnight and ordinary ones, and none at all.
ZONES = {
    "Asia/Shanghai": "2026-05-01",
    "Europe/Berlin": "2026-03-29",
    "America/New_York": "2026-11-01",
    "Australia/Lord_Howe": "2026-04-05",
    "Asia/Beirut": "2026-03-29",
    "America/Santiago": "2026-09-06",
}
QUARTERS = st.integers(0, 95).map(lambda quarter: time(quarter // 4, quarter % 4 * 15))


@st.composite
def nights(draw: st.DrawFn) -> tuple[Window, int]:
    zone, day = draw(st.sampled_from(sorted(ZONES.items())))
    days = draw(st.frozensets(st.integers(0, 6), min_size=1))
    around = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * US_PER_S
    now_us = around + draw(st.integers(-36 * 60, 36 * 60)) * MINUTE_US
    return Window(days=days, start=draw(QUARTERS), end=draw(QUARTERS), zone=zone), now_us


@given(nights())
def test_an_opening_is_the_first_quarter_of_an_hour_that_is_open(night: tuple[Window, int]) -> None:
    window, now_us = night
    opens_us = next_opening(window, now_us)

    assert is_open(window, opens_us)
    if opens_us > now_us:
        assert opens_us % QUARTER_US == 0
        first = now_us + -now_us % QUARTER_US
        assert not any(is_open(window, at_us) for at_us in range(first, opens_us, QUARTER_US))


@given(nights())
def test_a_closing_is_the_first_quarter_of_an_hour_that_is_shut(night: tuple[Window, int]) -> None:
    window, now_us = night
    opens_us = next_opening(window, now_us)
    closes_us = closing(window, opens_us)

    last_us = opens_us + 14 * 86_400 * US_PER_S if closes_us is None else closes_us
    assert closes_us is None or not is_open(window, closes_us)
    first = opens_us + -opens_us % QUARTER_US
    assert all(is_open(window, at_us) for at_us in range(first, last_us, QUARTER_US))


@given(nights(), st.floats(0, 1), st.floats(0, 86_400))
def test_every_spread_start_lies_inside_the_window(night: tuple[Window, int], jitter: float, need_s: float) -> None:
    window, now_us = night

    assert is_open(window, start_at(window, now_us, jitter=jitter, need_s=need_s))
