"""Transferred by day, installed by night: dozens of terminals, a window hours later, few places."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

from gateway.core.schedule import Window
from gateway.core.staging import Staging
from gateway.core.states import UpgradeState
from tests.scenario.props import DAY_S, PLAN, START
from tests.scenario.world import World

TERMINALS = 36
PLACES = 4
OPENS_S = 3 * 3600.0
LENGTH_S = 2 * 3600.0
#: Past which an installing terminal has its answer, and gives its place back.
_LEFT = frozenset({"soaking", "succeeded", "rolled_back", "failed"})


def _window() -> Window:
    """Opens ``OPENS_S`` after the start of the story, on the terminals' own clocks."""
    opens = int(START + OPENS_S + 8 * 3600) % 86_400  # Asia/Shanghai
    closes = int(opens + LENGTH_S) % 86_400

    def wall(second: int) -> time:
        return time(second // 3600, second % 3600 // 60, second % 60)

    return Window(days=frozenset(range(7)), start=wall(opens), end=wall(closes), zone="UTC")


def _night(seed: int) -> World:
    staging = Staging(window=_window(), own_zone=True, need_s=900.0)
    world = World(seed=seed, plan=replace(PLAN, ask_merchant=False, staging=staging, ends_at=START + 2 * DAY_S))
    for number in range(TERMINALS):
        world.add(f"t{number:02}")
    world.let_install(PLACES)
    world.run(DAY_S)
    return world


def test_a_fleet_transfers_by_day_and_installs_spread_over_its_window() -> None:
    world = _night(7)
    at_s = {
        what: sorted(one.at_us / 1e6 - START for one in world.book.ledger if one.what == what) for what in ("staged", "install")
    }

    assert {world.state(name) for name in world.nodes} == {UpgradeState.SUCCEEDED}
    assert at_s["staged"][-1] < OPENS_S
    assert len(at_s["install"]) == TERMINALS
    assert at_s["install"][0] >= OPENS_S
    assert at_s["install"][-1] < OPENS_S + LENGTH_S
    quarter = LENGTH_S / 4
    assert all(sum(at - OPENS_S <= quarter * (number + 1) for at in at_s["install"]) > number for number in range(3))
    assert max(sum(at <= one < at + 60 for one in at_s["install"]) for at in at_s["install"]) <= TERMINALS / 3
    zones = {(one.evidence["zone"], one.evidence["zone_from"]) for one in world.book.ledger if one.what == "install_waits"}
    assert zones == {("Asia/Shanghai", "terminal")}


def test_no_more_install_at_once_than_there_are_places() -> None:
    busy = most = 0
    for one in _night(8).book.ledger:
        busy += (one.from_state == "staged" and one.to_state == "installing") - (
            one.from_state == "verifying" and one.to_state in _LEFT
        )
        busy -= one.from_state == "installing" and one.to_state in _LEFT
        most = max(most, busy)

    assert 1 < most <= PLACES
