"""Rates and days: what lets through how much, when a day ends, and which limits nothing could live with."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.core.budgets import (
    BURST_MIN_BYTES,
    CODES,
    DAY_MIN_BYTES,
    RATE_MIN_BYTES_PER_S,
    Account,
    Bucket,
    Day,
    Defaults,
    Limit,
    Scope,
    day_end,
    zone_or_utc,
)
from gateway.core.purse import cost_of
from gateway.errors import RequestError
from gateway.wire.codes import Code
from gateway.wire.messages import SEGMENT_BYTES

NOW = 1_790_000_000.0


@pytest.mark.parametrize(("part", "least"), [("bytes_per_s", RATE_MIN_BYTES_PER_S), ("bytes_per_day", DAY_MIN_BYTES)])
def test_a_limit_under_which_nothing_would_arrive_is_refused(part: str, least: int) -> None:
    Limit(**{part: least})
    Limit(**{part: 0})
    for wrong in (-1, 1, least - 1, 2**51):
        with pytest.raises(RequestError) as caught:
            Limit(**{part: wrong})
        assert caught.value.code == "budget_invalid"


def test_the_least_day_has_room_for_a_segment_whatever_its_envelopes() -> None:
    assert cost_of(SEGMENT_BYTES) <= DAY_MIN_BYTES


def test_a_bucket_lets_a_burst_through_and_then_holds_the_rate() -> None:
    bucket = Bucket(100_000)
    assert bucket.burst_bytes == pytest.approx(25_000)
    bucket.take(24_000, NOW)
    assert bucket.even_at <= NOW
    bucket.take(10_000, NOW)
    assert bucket.even_at == pytest.approx(NOW + 0.09)
    assert bucket.full_at == pytest.approx(NOW + 0.34)
    assert Bucket(1024).burst_bytes == pytest.approx(BURST_MIN_BYTES)


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("UTC", "2026-03-02 23:59:59", "2026-03-03 00:00"),
        ("Asia/Shanghai", "2026-03-02 00:00:00", "2026-03-03 00:00"),
        ("Europe/Berlin", "2026-03-29 00:30:00", "2026-03-30 00:00"),  # a day of 23 hours
        ("Europe/Berlin", "2026-10-25 00:30:00", "2026-10-26 00:00"),  # of 25
        ("America/Santiago", "2025-09-06 12:00:00", "2025-09-07 01:00"),  # midnight does not exist
    ],
)
def test_a_day_ends_at_midnight_on_the_shops_wall(zone: str, now: str, expected: str) -> None:
    place = ZoneInfo(zone)
    ends = day_end(datetime.fromisoformat(now).replace(tzinfo=place).timestamp(), zone)

    assert datetime.fromtimestamp(ends, place).strftime("%Y-%m-%d %H:%M") == expected


def test_a_day_that_comes_twice_ends_once_after_it() -> None:
    """In Havana clocks go back from 1:00 to 0:00, so midnight comes twice."""
    place = ZoneInfo("America/Havana")
    second = datetime(2025, 11, 2, 0, 30, tzinfo=place, fold=1).timestamp()
    first = datetime(2025, 11, 2, 0, 30, tzinfo=place, fold=0).timestamp()

    assert second - first == 3600
    assert day_end(second, "America/Havana") > second
    assert datetime.fromtimestamp(day_end(second, "America/Havana"), place).date().day == 3


def test_an_unknown_zone_is_utc() -> None:
    assert zone_or_utc("Mars/Base") == zone_or_utc("") == "UTC"
    assert zone_or_utc("Asia/Shanghai") == "Asia/Shanghai"


def test_a_day_grants_up_to_its_limit_and_begins_anew() -> None:
    day = Day(1000, "UTC", NOW)
    assert day.grant(600, NOW)
    assert not day.grant(401, NOW)
    assert day.grant(400, NOW)
    assert day.dirty
    assert day.grant(1000, day.ends_at)
    assert (day.used_bytes, day.number) == (1000, 2)


def test_what_was_granted_yesterday_is_not_given_back_today() -> None:
    day = Day(1000, "UTC", NOW)
    assert day.grant(600, NOW)
    yesterday = day.number
    day.give_back(100, yesterday, NOW)
    assert day.used_bytes == 500
    assert day.grant(700, day.ends_at)
    day.give_back(500, yesterday, day.ends_at - 1)
    assert day.used_bytes == 700


def test_a_stored_day_goes_on_and_one_that_is_over_does_not_count() -> None:
    """Its end was fixed when it began: a terminal that claims another zone does not get another day."""
    assert Day(1000, "Asia/Tokyo", NOW, used_bytes=900, ends_at=NOW + 60).used_bytes == 900
    assert Day(1000, "Asia/Tokyo", NOW, used_bytes=900, ends_at=NOW + 60).ends_at == NOW + 60
    assert Day(1000, "UTC", NOW, used_bytes=900, ends_at=NOW).used_bytes == 0


def test_no_limit_grants_everything_and_counts_it() -> None:
    day = Day(0, "UTC", NOW)
    assert day.grant(10**12, NOW)
    assert day.used_bytes == 10**12


def test_an_account_takes_over_a_new_limit_and_keeps_what_was_spent() -> None:
    account = Account(Scope.SITE, "s1", Limit(bytes_per_s=2000), Day(0, "UTC", NOW))
    assert account.day.grant(500, NOW)
    bucket = account.bucket
    account.relimit(Limit(bytes_per_s=2000, bytes_per_day=DAY_MIN_BYTES))
    assert account.bucket is bucket
    assert account.spent().used_bytes == 500
    assert account.spent().limit_bytes == DAY_MIN_BYTES
    account.relimit(Limit())
    assert account.bucket is None


def test_an_account_is_forgotten_only_when_nothing_would_be_lost() -> None:
    account = Account(Scope.SITE, "s1", Limit(bytes_per_s=1024), Day(0, "UTC", NOW))
    assert account.idle(NOW)
    account.users = 1
    assert not account.idle(NOW)
    account.users = 0
    assert account.day.grant(1, NOW)
    assert not account.idle(NOW)
    account.day.dirty = False
    assert account.bucket is not None
    account.bucket.take(1024, NOW)
    assert not account.idle(NOW + 0.5)
    assert account.idle(NOW + 1.01)


def test_each_scope_has_a_code_and_a_default() -> None:
    defaults = Defaults(terminal=Limit(bytes_per_s=2000), site=Limit(bytes_per_s=3000), zone="Asia/Tokyo")
    terms = Limit(bytes_per_s=4000)

    assert set(CODES) == set(Scope)
    assert CODES[Scope.SITE] is Code.SITE_BUDGET_SPENT
    assert [defaults.of(scope, terms).bytes_per_s for scope in Scope] == [2000, 3000, 4000, 0]
    assert defaults.zone_of(Scope.TERMINAL, "Asia/Shanghai") == "Asia/Shanghai"
    assert defaults.zone_of(Scope.SITE, "Asia/Shanghai") == "Asia/Tokyo"
