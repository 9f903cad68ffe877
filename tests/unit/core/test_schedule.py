"""Windows by the clock on the wall, across midnight and across the changes of the clock."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from gateway.core.schedule import US_PER_S, Window, closing, is_open, next_opening, start_at
from gateway.errors import RequestError

SHANGHAI = "Asia/Shanghai"
BERLIN = "Europe/Berlin"  # 2026: forward on Sunday 29 March at 02:00, back on Sunday 25 October at 03:00
DAILY = frozenset(range(7))
MON, FRI, SUN = 0, 4, 6


def window(start: str, end: str, *, days: frozenset[int] = DAILY, zone: str = SHANGHAI) -> Window:
    return Window(days=days, start=time.fromisoformat(start), end=time.fromisoformat(end), zone=zone)


def at(text: str, zone: str = SHANGHAI, *, fold: int = 0) -> int:
    """Microseconds of Unix time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * US_PER_S


def test_the_start_is_inside_and_the_end_outside() -> None:
    night = window("02:00", "04:00")

    moments = ["01:59:59", "02:00", "03:59:59", "04:00"]

    assert [is_open(night, at(f"2026-11-02 {moment}")) for moment in moments] == [False, True, True, False]


def test_a_window_opens_by_the_shops_clock_not_ours() -> None:
    night = window("02:00", "04:00")

    assert is_open(night, at("2026-11-01 18:30", "UTC"))
    assert not is_open(night, at("2026-11-02 02:30", "UTC"))


def test_it_opens_only_on_its_days() -> None:
    mondays = window("02:00", "04:00", days=frozenset({MON}))

    assert next_opening(mondays, at("2026-11-03 00:00")) == at("2026-11-09 02:00")


def test_over_midnight_it_belongs_to_the_day_on_which_it_opened() -> None:
    fridays = window("23:00", "04:00", days=frozenset({FRI}))

    assert is_open(fridays, at("2026-11-07 03:00"))  # Saturday morning
    assert not is_open(fridays, at("2026-11-06 03:00"))  # Friday morning
    assert closing(fridays, at("2026-11-06 23:30")) == at("2026-11-07 04:00")


def test_an_open_window_opens_now() -> None:
    now = at("2026-11-02 03:15:30")

    assert next_opening(window("02:00", "04:00"), now) == now


def test_equal_start_and_end_mean_24_hours() -> None:
    sundays = window("06:00", "06:00", days=frozenset({SUN}))

    assert next_opening(sundays, at("2026-11-04 12:00")) == at("2026-11-08 06:00")
    assert closing(sundays, at("2026-11-08 06:00")) == at("2026-11-09 06:00")


def test_a_window_of_every_hour_never_closes() -> None:
    always = window("00:00", "00:00")

    assert is_open(always, at("2026-11-04 12:00"))
    assert closing(always, at("2026-11-04 12:00")) is None


def test_a_window_inside_the_missing_hour_skips_that_night() -> None:
    nightly = window("02:15", "02:45", zone=BERLIN)

    assert next_opening(nightly, at("2026-03-29 00:00", BERLIN)) == at("2026-03-30 02:15", BERLIN)


def test_a_weekly_window_inside_the_missing_hour_waits_a_week() -> None:
    sundays = window("02:15", "02:45", zone=BERLIN, days=frozenset({SUN}))

    assert next_opening(sundays, at("2026-03-22 03:00", BERLIN)) == at("2026-04-05 02:15", BERLIN)


def test_a_window_that_starts_in_the_missing_hour_opens_as_the_clock_jumps() -> None:
    early = window("02:30", "05:00", zone=BERLIN)

    assert next_opening(early, at("2026-03-29 00:00", BERLIN)) == at("2026-03-29 03:00", BERLIN)


def test_a_window_that_ends_in_the_missing_hour_closes_as_the_clock_jumps() -> None:
    late = window("01:00", "02:30", zone=BERLIN)

    assert closing(late, at("2026-03-29 01:30", BERLIN)) == at("2026-03-29 03:00", BERLIN)


def test_in_the_repeated_hour_it_is_open_whenever_the_wall_shows_its_time() -> None:
    night = window("02:15", "02:45", zone=BERLIN)

    first = next_opening(night, at("2026-10-25 00:00", BERLIN))
    closed = closing(night, first)
    assert closed is not None
    second = next_opening(night, closed)

    assert (first, closed) == (at("2026-10-25 02:15", BERLIN), at("2026-10-25 02:45", BERLIN))
    assert second == at("2026-10-25 02:15", BERLIN, fold=1)


def test_a_window_cut_by_the_repeated_hour_opens_again_when_the_clock_goes_back() -> None:
    night = window("01:00", "02:30", zone=BERLIN)

    assert closing(night, at("2026-10-25 01:00", BERLIN)) == at("2026-10-25 02:30", BERLIN)
    assert next_opening(night, at("2026-10-25 02:40", BERLIN)) == at("2026-10-25 02:00", BERLIN, fold=1)


def test_a_clock_that_jumps_at_midnight_is_no_surprise() -> None:
    """In Beirut the clock goes from 00:00 straight to 01:00 on 29 March 2026."""
    night = window("00:30", "02:00", zone="Asia/Beirut")

    assert next_opening(night, at("2026-03-28 12:00", "Asia/Beirut")) == at("2026-03-29 01:00", "Asia/Beirut")


# -- spreading


def test_jitter_spreads_starts_over_the_window_and_keeps_time_free_at_its_end() -> None:
    night = window("02:00", "04:00")
    now = at("2026-11-02 00:00")

    starts = [start_at(night, now, jitter=jitter, need_s=1800) for jitter in (0.0, 0.5, 1.0)]

    assert starts == [at(f"2026-11-02 {moment}") for moment in ("02:00", "02:45", "03:30")]


def test_within_an_open_window_only_its_rest_is_used() -> None:
    night = window("02:00", "04:00")

    assert start_at(night, at("2026-11-02 03:00"), jitter=0.5, need_s=1800) == at("2026-11-02 03:15")


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_a_window_shorter_than_what_is_needed_is_started_at_its_opening(jitter: float) -> None:
    short = window("02:00", "02:10")

    assert start_at(short, at("2026-11-02 00:00"), jitter=jitter, need_s=3600) == at("2026-11-02 02:00")


def test_the_last_start_is_still_inside() -> None:
    night = window("02:00", "04:00")

    assert is_open(night, start_at(night, at("2026-11-02 00:00"), jitter=1.0))


def test_a_window_that_never_closes_spreads_over_a_day() -> None:
    always = window("00:00", "00:00")
    now = at("2026-11-02 00:00")

    assert start_at(always, now, jitter=1.0, need_s=3600) == now + 23 * 3600 * US_PER_S


# -- refusals


@pytest.mark.parametrize("days", [frozenset[int](), frozenset({7}), frozenset({-1, 3})])
def test_a_window_without_a_proper_day_is_refused(days: frozenset[int]) -> None:
    with pytest.raises(RequestError) as caught:
        window("02:00", "04:00", days=days)

    assert caught.value.code == "window_invalid"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe", "x" * 5000, "Asia/Shanghai\0"])
def test_anything_but_an_iana_name_is_refused(zone: str) -> None:
    with pytest.raises(RequestError) as caught:
        window("02:00", "04:00", zone=zone)

    assert caught.value.code == "zone_unknown"


def test_times_that_bring_their_own_zone_are_refused() -> None:
    with pytest.raises(RequestError) as caught:
        window("02:00+08:00", "04:00")

    assert caught.value.code == "window_invalid"
