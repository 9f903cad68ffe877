"""One terminal sends without end, over the real broker: its own messages are dropped and counted, and nobody else's."""

from __future__ import annotations

from collections import Counter
from typing import Final

import anyio
import anyio.lowlevel
import pytest

from gateway.wire import topics
from gateway.wire.codec import encode
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import Receipt, Report
from tests.e2e.hand import Air
from tests.e2e.parcels import parcel, uploaded
from tests.harness.stage import Stage

pytestmark = pytest.mark.timeout(60)

FLOOD: Final = 6_000


async def test_a_flood_of_one_terminal_harms_no_other(stage: Stage, air: Air) -> None:
    """Nor does it lose what that terminal has to say itself: what it repeats is receipted in the end."""
    good_name, loud_name = stage.broker.new_terminals(2)
    stage.register([good_name, loud_name])
    good, loud = air.hand(stage, good_name), air.hand(stage, loud_name)
    await good.appear()
    await loud.appear()
    package = uploaded(stage, parcel(stage))
    stage.campaign(package, [good_name, loud_name])
    upgrade = str((await loud.order(OrderKind.UPGRADE_OFFER)).args["u"])
    before = Counter(stage.counters)

    noise = encode(Report(upgrade=upgrade, seq=1, what=What.ACCEPTED))
    for at in range(FLOOD):
        loud.shout(topics.up(loud_name, "report"), noise, 0)
        if at % 100 == 0:
            await anyio.lowlevel.checkpoint()
    await good.upgrade_to(What.INSTALLING)

    last = Report(upgrade=upgrade, seq=2, what=What.READY)
    receipted = False
    while not receipted:
        loud.say(last)
        with anyio.move_on_after(1.0):
            await loud.hear(Receipt, lambda receipt: last.seq in receipt.seqs)
            receipted = True
    counted = Counter(stage.counters) - before
    assert counted["limited:report"] > FLOOD / 2
    assert counted["link.control.dropped_inbox_full"] == 0
