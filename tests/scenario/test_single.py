"""Terminals with one connection for everything: no upgrade is worse off, and what is on the way never exceeds its bound."""

from __future__ import annotations

from random import Random

import pytest

from device_sim.faults import CutAt, Duty, Faults, PowerCut
from device_sim.options import Options, Shop
from gateway.core.attendance import Terms
from gateway.core.events import Ordered
from gateway.core.single import CEILING_BYTES, IN_FLIGHT_BYTES
from gateway.core.states import FINAL, UpgradeState
from gateway.wire.codes import OrderKind
from gateway.wire.messages import BLOCK_BYTES
from tests.scenario.props import MANIFEST, Air
from tests.scenario.test_faults import check
from tests.scenario.world import World

SEEDS = 60
BATCH = 20
RATE_BPS = 12_000
#: A window that takes all that is allowed, whatever queue it makes.
FIXED = Terms(pacing="fixed")


class Asking(World):
    """A world that asks a terminal how it is as soon as all that may be in flight is."""

    asked_at = answered_at = 0.0

    def _pump(self, name: str) -> None:
        super()._pump(name)
        transfer = self.sessions[name].transfer
        if not self.asked_at and transfer is not None and transfer.in_flight_bytes == CEILING_BYTES:
            self.asked_at = self.now
            self._apply(name, Ordered("o-1", OrderKind.INSPECT, self.now + 3600))

    def _received(self, name: str, kind: str, payload: bytes, *, bulk: bool = False) -> None:
        super()._received(name, kind, payload, bulk=bulk)
        if kind == "result" and not self.answered_at:
            self.answered_at = self.now


def _story(seed: int) -> World:
    """Two terminals, one of either sort, on a network that breaks and before a gateway that dies."""
    rng = Random(seed)
    kills = sorted(rng.uniform(60, 900) for _ in range(rng.choice([0, 1, 4])))
    air = Air(
        delay_s=rng.choice([0.02, 0.4]),
        rate_bps=rng.choice([3_000, 12_000, 500_000]),
        lose_chunk=rng.choice([0, 0, 0.02, 0.2]),
        lose_ack=rng.choice([0, 0.05, 0.3]),
        lose_control=rng.choice([0, 0, 0.1]),
        duplicate=rng.choice([0, 0.2]),
        breaks_per_h=rng.choice([0, 10, 60]),
        gateway_kills=tuple(kills),
    )
    world = World(seed, air, terms=FIXED)
    for name, connections in (("one", 1), ("two", 2)):
        cuts = tuple(PowerCut(at=CutAt.BYTES, value=rng.uniform(0, MANIFEST.size_bytes)) for _ in range(rng.choice([0, 1, 2])))
        faults = Faults(power_cuts=cuts, duty=rng.choice([None, None, Duty(period_s=300, fraction=0.5)]))
        shop = Shop(payment_every_s=rng.choice([(0, 0), (0, 0), (60, 60)]))
        world.add(name, options=Options(connections=connections, shop=shop), faults=faults)
    world.run()
    return world


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_a_single_connection_carries_every_upgrade_to_its_end_within_its_bound(first: int) -> None:
    """Breaks, power cuts, lost chunks, dead gateways: each death of the gateway may add one block, nothing else does."""
    succeeded = most = 0
    for seed in range(first, first + BATCH):
        world = _story(seed)
        check(world)
        one = world.nodes["one"]
        deaths = len(world.air.gateway_kills)
        assert one.queued_max <= IN_FLIGHT_BYTES + deaths * BLOCK_BYTES, f"seed {seed}"
        assert one.bulk == one.asked_bulk == 0
        assert world.state("one") in FINAL
        succeeded += world.state("one") is UpgradeState.SUCCEEDED
        most = max(most, one.queued_max)

    assert succeeded > BATCH / 2
    assert most >= CEILING_BYTES, "nothing was ever full: this has shown nothing"


def test_an_order_waits_behind_no_more_than_what_is_in_flight() -> None:
    """On a slow link whose window is full: seconds, and never the package."""
    world = Asking(3, Air(rate_bps=RATE_BPS), terms=FIXED)
    world.add("one", options=Options(connections=1))
    world.run()

    took_s = world.answered_at - world.asked_at
    assert CEILING_BYTES / RATE_BPS / 2 < took_s < IN_FLIGHT_BYTES / RATE_BPS + 1
    assert took_s < MANIFEST.size_bytes / RATE_BPS / 4
    assert world.state("one") is UpgradeState.SUCCEEDED
