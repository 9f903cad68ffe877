"""A SIM whose day has fewer bytes than the package: it finishes on the third day, and says meanwhile what it waits for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from device_sim.faults import NO_FAULTS, CutAt, Faults, PowerCut
from device_sim.options import Battery, Merchant, Options
from gateway.core.budgets import DAY_MIN_BYTES, Limit
from gateway.core.holding import SPREAD_S
from gateway.core.states import UpgradeState
from gateway.wire.codes import Code, What
from tests.scenario.props import DAY_S, MANIFEST, PLAN, START, Air
from tests.scenario.till import Till
from tests.scenario.world import World

ZONE = ZoneInfo("Asia/Shanghai")
#: One segment of the package each day, since a second could not be finished; the last day takes its short fourth one too.
LIMIT = Limit(bytes_per_day=DAY_MIN_BYTES)
TERMINALS = 3
#: Would decline if he were asked again.
ONCE = Options(merchant=Merchant(answers=("accept", "decline")), battery=Battery(plug_below_pct=60))


def _told(seed: int, limit: Limit, air: Air | None = None, *, faults: Faults = NO_FAULTS, connections: int = 2) -> World:
    plan = replace(PLAN, ends_at=START + 20 * DAY_S)
    world = World(seed=seed, plan=plan, till=Till(limit), air=air or Air())
    for number in range(TERMINALS):
        world.add(f"t{number}", options=replace(ONCE, connections=connections), faults=faults)
    world.run(19 * DAY_S)
    return world


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at, ZONE)


def _bytes_by_day(world: World) -> Counter[tuple[str, str]]:
    per_day: Counter[tuple[str, str]] = Counter()
    for at, name, size_bytes in world.till.sent:
        per_day[name, _local(at).date().isoformat()] += size_bytes
    return per_day


@pytest.mark.parametrize("connections", [1, 2])
def test_it_finishes_on_the_third_day_within_each_days_budget_and_asks_no_merchant_twice(connections: int) -> None:
    world = _told(3, LIMIT, connections=connections)
    per_day = _bytes_by_day(world)

    assert {world.state(name) for name in world.nodes} == {UpgradeState.SUCCEEDED}
    assert max(per_day.values()) <= DAY_MIN_BYTES
    for name, node in world.nodes.items():
        assert sum(key[0] == name for key in per_day) == 3
        assert node.device.board.tally.received_bytes == MANIFEST.size_bytes  # nothing went twice
        assert [one.what for one in node.device.board.tally.diary].count(What.HELD) == 2


@pytest.mark.parametrize("connections", [1, 2])
def test_the_ledger_tells_it_and_the_terminal_is_let_go_at_night(connections: int) -> None:
    world = _told(4, LIMIT, connections=connections)
    spent = [one for one in world.book.ledger if one.what == "budget_spent"]
    renewed = [one for one in world.book.ledger if one.what == "budget_renewed"]

    assert len(spent) == len(renewed) == 2 * TERMINALS
    for one in spent:
        until = _local(one.evidence["until_ms"] / 1000)
        assert (one.from_state, one.to_state, one.code) == ("transferring", "deferred", Code.TERMINAL_BUDGET_SPENT)
        assert (one.evidence["scope"], one.evidence["limit_bytes"]) == ("terminal", DAY_MIN_BYTES)
        assert DAY_MIN_BYTES / 2 < one.evidence["used_bytes"] <= DAY_MIN_BYTES
        assert until.date() > _local(one.at_us / 1e6).date()
        assert until.hour * 3600 + until.minute * 60 + until.second <= SPREAD_S
    assert {one.to_state for one in renewed} == {"scheduled"}
    # Not an ack every 3 s all night: those of the transfer itself, and a few until the order to hold has come.
    assert all(node.device.board.tally.acks < 200 for node in world.nodes.values())
    assert {row.attempt for row in world.book.upgrades.values()} == {1}


@pytest.mark.parametrize("seed", range(12))
def test_it_holds_whatever_breaks(seed: int) -> None:
    """Lost chunks cost more days; power cuts, a killed gateway and lost orders take nothing from what was promised."""
    air = Air(
        lose_chunk=0.05,
        lose_ack=0.1,
        lose_control=0.2,
        duplicate=0.1,
        breaks_per_h=1.0,
        gateway_kills=(400.0, 900.0, DAY_S / 2, DAY_S + 60),
    )
    cuts = (PowerCut(at=CutAt.BYTES, value=200_000), PowerCut(at=CutAt.BYTES, value=290_000, off_s=(60, 9000)))
    world = _told(seed, Limit(bytes_per_day=400_000, bytes_per_s=20_000), air, faults=Faults(power_cuts=cuts))

    assert {world.state(name) for name in world.nodes} == {UpgradeState.SUCCEEDED}
    assert max(_bytes_by_day(world).values()) <= 400_000
    assert {row.attempt for row in world.book.upgrades.values()} == {1}


def test_a_rate_spreads_a_transfer_over_its_time() -> None:
    world = _told(5, Limit(bytes_per_s=2048))
    for name in world.nodes:
        sent = [(at, size_bytes) for at, one, size_bytes in world.till.sent if one == name]
        took_s = sent[-1][0] - sent[0][0]
        assert sum(size_bytes for _, size_bytes in sent) <= 2048 * took_s + 2 * 16_640
        assert took_s > MANIFEST.size_bytes / 2048 * 0.8
    assert {world.state(name) for name in world.nodes} == {UpgradeState.SUCCEEDED}
