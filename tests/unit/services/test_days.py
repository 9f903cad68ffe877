"""Days in UTC, from clocks that may be wrong and from people who may be too."""

from __future__ import annotations

import pytest

from gateway.errors import RequestError
from gateway.services.days import DAY_US, checked, day_of, end_us, span, start_us


def test_a_day_holds_its_moments() -> None:
    noon_us = 1_795_694_400_000_000
    day = day_of(noon_us)

    assert day == "2026-11-26"
    assert start_us(day) <= noon_us < end_us(day) == start_us("2026-11-27")
    assert day_of(start_us(day)) == day_of(end_us(day) - 1) == day


def test_a_broken_clock_has_a_day_too() -> None:
    assert day_of(-1) == day_of(0) == day_of(DAY_US - 1) == "1970-01-01"
    assert day_of(2**62) == "9999-12-31"


def test_what_a_person_writes_is_checked() -> None:
    assert checked(None) == ""
    assert checked("2026-02-28") == "2026-02-28"


def test_days_in_the_wrong_order_are_refused_and_not_taken_for_none() -> None:
    """An audit of no day at all would find nothing wrong."""
    assert span("2026-02-28", "2026-02-28") == ("2026-02-28", "2026-02-28")
    assert span("2026-02-28", None) == ("2026-02-28", "")
    with pytest.raises(RequestError, match="2026-03-01, is after the last one, 2026-02-28") as caught:
        span("2026-03-01", "2026-02-28")

    assert caught.value.code == "day_invalid"


@pytest.mark.parametrize("text", ["", "today", "2026-02-30", "20260228", "2026-W09-6", "1969-12-31", "2026-02-28T00:00"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        checked(text)

    assert caught.value.code == "day_invalid"
