"""Who is not bothered with an offer, and the numbers that say why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.readiness import CHARGING_FLOOR_PCT, Need, battery_needed_pct, unready
from gateway.wire.codes import Code
from gateway.wire.messages import Facts

NEED = Need(battery_min_pct=50, storage_min_bytes=10_000_000)
FACTS = Facts(
    model="lakala-4g-esign",
    components={"app": "2.1.0"},
    floors={"app": 7},
    slot="a",
    battery_pct=80,
    charging=False,
    storage_free_bytes=20_000_000,
    rat="lte",
    rssi_dbm=-85,
    operator="46000",
    time_zone="Asia/Shanghai",
    clock_ms=1_760_000_000_000,
    in_transaction=False,
    unsettled_count=0,
)


def test_a_terminal_that_meets_every_need_is_ready() -> None:
    assert unready(FACTS, NEED) == []


def test_exactly_what_is_needed_is_enough() -> None:
    assert unready(replace(FACTS, battery_pct=50, storage_free_bytes=10_000_000), NEED) == []


def test_a_low_battery_is_told_with_both_numbers() -> None:
    assert unready(replace(FACTS, battery_pct=49), NEED) == [(Code.BATTERY_LOW, 50, 49)]


def test_a_charging_terminal_may_start_at_half_the_level() -> None:
    charging = replace(FACTS, charging=True)

    assert unready(replace(charging, battery_pct=25), NEED) == []
    assert unready(replace(charging, battery_pct=24), NEED) == [(Code.BATTERY_LOW, 25, 24)]


@pytest.mark.parametrize(("asked", "needed"), [(100, 50), (51, 26), (20, CHARGING_FLOOR_PCT), (15, 15), (10, 10), (0, 0)])
def test_charging_lowers_the_need_to_a_floor_and_never_raises_it(asked: int, needed: int) -> None:
    assert battery_needed_pct(Need(battery_min_pct=asked, storage_min_bytes=0), charging=True) == needed


def test_too_little_storage_is_told_in_bytes() -> None:
    assert unready(replace(FACTS, storage_free_bytes=9), NEED) == [(Code.STORAGE_FULL, 10_000_000, 9)]


def test_what_the_terminal_holds_already_needs_no_room_again() -> None:
    assert unready(replace(FACTS, storage_free_bytes=4_000_000), NEED, held_bytes=6_000_000) == []


def test_a_running_transaction_blocks() -> None:
    assert unready(replace(FACTS, in_transaction=True), NEED) == [(Code.IN_TRANSACTION, 0, 1)]


def test_an_unsettled_batch_does_not_block_because_preparing_settles_it() -> None:
    assert unready(replace(FACTS, unsettled_count=40), NEED) == []


def test_every_blocker_is_told_at_once() -> None:
    worst = replace(FACTS, battery_pct=1, storage_free_bytes=0, in_transaction=True)

    assert [code for code, _, _ in unready(worst, NEED)] == [Code.BATTERY_LOW, Code.STORAGE_FULL, Code.IN_TRANSACTION]
