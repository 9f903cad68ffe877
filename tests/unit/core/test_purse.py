"""When the next chunk of one transfer may go, by all of its budgets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.core.budgets import DAY_MIN_BYTES, Account, Day, Limit, Scope
from gateway.core.purse import CHUNK_MAX_BYTES, DRAIN_S, Purse, cost_of
from gateway.wire.messages import SEGMENT_BYTES

NOW = 1_790_000_000.0
NEVER = float("inf")


@dataclass
class Moved:
    """A transfer as a purse sees it."""

    size_bytes: int = 4 * SEGMENT_BYTES
    held_bytes: int = 0
    in_flight_bytes: int = 0


def _account(scope: Scope = Scope.TERMINAL, *, used: int = 0, **limit: int) -> Account:
    known = Limit(**limit)
    return Account(scope, "x", known, Day(known.bytes_per_day, "UTC", NOW, used_bytes=used, ends_at=NOW + 3600))


def _purse(*accounts: Account) -> Purse:
    purse = Purse()
    purse.fill(accounts, [one.bucket for one in accounts if one.bucket is not None])
    return purse


def test_nothing_goes_out_before_the_budgets_are_known() -> None:
    purse = Purse()
    assert not purse.filled
    with pytest.raises(ValueError, match="fill it first"):
        purse.ask(Moved(), NOW)
    purse.fill((), ())
    assert purse.ask(Moved(), NOW) <= NOW


def test_a_segment_is_paid_before_it_begins_and_the_rest_given_back_at_its_edge() -> None:
    account = _account()
    purse = _purse(account)
    assert purse.ask(Moved(), NOW) <= NOW
    assert account.day.used_bytes == cost_of(SEGMENT_BYTES)
    assert purse.pay(1000, NOW, at_edge=False)
    assert not purse.pay(500, NOW, at_edge=True)
    assert account.day.used_bytes == 1500


def test_who_cannot_send_keeps_a_begun_segment_and_no_other_from_those_who_can() -> None:
    """A hundred terminals that are away must not use up the day of their site."""
    account = _account()
    purse = _purse(account)
    assert purse.ask(Moved(), NOW) <= NOW
    purse.rest(NOW)
    assert account.day.used_bytes == 0
    assert purse.ask(Moved(), NOW) <= NOW
    purse.pay(1000, NOW, at_edge=False)
    purse.rest(NOW)
    assert account.day.used_bytes == cost_of(SEGMENT_BYTES)


def test_the_last_segment_costs_what_is_left_of_the_package() -> None:
    account = _account()
    moved = Moved(held_bytes=3 * SEGMENT_BYTES, in_flight_bytes=SEGMENT_BYTES - 5000)
    assert _purse(account).ask(moved, NOW) <= NOW
    assert account.day.used_bytes == cost_of(5000) < cost_of(SEGMENT_BYTES)


def test_no_segment_is_begun_that_the_day_could_not_finish() -> None:
    account = _account(bytes_per_day=DAY_MIN_BYTES, used=DAY_MIN_BYTES - cost_of(SEGMENT_BYTES) + 1)
    purse = _purse(account)
    assert purse.ask(Moved(), NOW) == NEVER
    assert purse.spent == account.spent()
    assert purse.ask(Moved(), NOW + 3600) <= NOW + 3600  # tomorrow
    assert purse.spent is None


def test_who_refuses_costs_the_others_nothing() -> None:
    rich, poor = _account(), _account(Scope.SITE, bytes_per_day=DAY_MIN_BYTES, used=DAY_MIN_BYTES)
    purse = _purse(rich, poor)
    assert purse.ask(Moved(), NOW) == NEVER
    assert purse.spent is not None
    assert purse.spent.scope is Scope.SITE
    assert rich.day.used_bytes == 0


def test_what_is_in_flight_may_arrive_before_the_transfer_stops() -> None:
    purse = _purse(_account(bytes_per_day=DAY_MIN_BYTES, used=DAY_MIN_BYTES))
    moved = Moved(in_flight_bytes=1000)
    assert purse.ask(moved, NOW) == NOW + DRAIN_S
    assert purse.spent is None
    moved.held_bytes, moved.in_flight_bytes = 1000, 0
    assert purse.ask(moved, NOW + 1) == NEVER
    assert purse.spent is not None


def test_a_terminal_that_is_silent_meanwhile_is_waited_for_a_minute_only() -> None:
    purse = _purse(_account(bytes_per_day=DAY_MIN_BYTES, used=DAY_MIN_BYTES))
    moved = Moved(in_flight_bytes=1000)
    assert purse.ask(moved, NOW) == purse.ask(moved, NOW + 30) == NOW + DRAIN_S
    assert purse.ask(moved, NOW + DRAIN_S) == NEVER


def test_a_terminal_that_holds_all_has_the_time_to_say_so() -> None:
    purse = _purse(_account(bytes_per_day=DAY_MIN_BYTES, used=DAY_MIN_BYTES))
    assert purse.ask(Moved(held_bytes=4 * SEGMENT_BYTES), NOW) == NOW + DRAIN_S


def test_the_slowest_rate_counts() -> None:
    slow, fast = _account(bytes_per_s=2048), _account(Scope.SITE, bytes_per_s=1_000_000)
    purse = _purse(slow, fast)
    assert purse.ask(Moved(), NOW) <= NOW
    purse.pay(16_384 + 2048, NOW, at_edge=False)
    assert purse.ask(Moved(), NOW) == pytest.approx(NOW + 1)


def test_a_grant_ends_with_its_day() -> None:
    """What is sent after midnight is tomorrow's."""
    account = _account(bytes_per_day=DAY_MIN_BYTES)
    purse = _purse(account)
    assert purse.ask(Moved(), NOW) <= NOW
    purse.pay(1000, NOW, at_edge=False)
    midnight = NOW + 3600
    assert purse.ask(Moved(), midnight) <= midnight
    purse.pay(700, midnight, at_edge=False)
    purse.settle(midnight)
    assert account.day.used_bytes == 700


def test_a_grant_is_not_overdrawn_by_a_chunk() -> None:
    purse = _purse(_account())
    assert purse.ask(Moved(), NOW) <= NOW
    left = cost_of(SEGMENT_BYTES)
    while purse.pay(CHUNK_MAX_BYTES, NOW, at_edge=False):
        left -= CHUNK_MAX_BYTES
    assert left - CHUNK_MAX_BYTES >= 0
