"""Stored orders reach their sessions once, and expire without them."""

from __future__ import annotations

from pathlib import Path

from gateway.core.events import Heard, Ordered, Tick
from gateway.store import orders
from gateway.store.orders import OrderRow
from gateway.wire.codes import OrderKind, ResultStatus
from gateway.wire.messages import Result
from tests.unit.engine.rig import NOW, Rig, rigged


async def ordered(rig: Rig, terminal: str) -> None:
    """An order that expires in a minute, and one look at it."""
    row = OrderRow(
        id="o1",
        terminal=terminal,
        kind="reboot",
        created_us=int(NOW * 1e6),
        created_by="operator:li",
        expires_us=int((NOW + 60) * 1e6),
    )
    await orders.add(rig.db, row)
    await look(rig)


async def look(rig: Rig) -> None:
    """Let the orders be looked at once."""
    await rig.orders._look()  # noqa: SLF001 - one look without the wait for the next
    await rig.executor.flush()


async def status(rig: Rig) -> str:
    """Where the order stands."""
    row = await orders.get(rig.db, "o1")
    assert row is not None
    return row.status


async def test_an_order_goes_out_once_however_often_it_is_looked_at(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
        await ordered(rig, "T1")
        await look(rig)

        assert [order.kind for order in rig.air.orders("T1")] == [OrderKind.REBOOT]
        assert await status(rig) == "sent"


async def test_an_order_for_a_terminal_that_is_away_waits_and_expires(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        await ordered(rig, "T1")
        assert (rig.air.orders("T1"), await status(rig)) == ([], "pending")

        rig.clock.time += 61
        session = rig.sessions.get("T1")
        assert session is not None
        rig.dispatcher.apply(session, Tick())
        await rig.executor.flush()
        assert await status(rig) == "expired"


async def test_a_look_that_read_the_row_before_the_result_was_kept_does_not_bring_the_order_back(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
        await ordered(rig, "T1")
        session = rig.sessions.get("T1")
        assert session is not None
        rig.dispatcher.apply(session, Heard(Result(order="o1", status=ResultStatus.DONE)))
        rig.dispatcher.apply(session, Ordered("o1", OrderKind.REBOOT, NOW + 60))
        await rig.executor.flush()

        assert len(rig.air.orders("T1")) == 1
        assert await status(rig) == "done"


async def test_an_order_whose_time_was_over_before_it_was_seen_is_never_sent(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
        rig.clock.time += 61
        await ordered(rig, "T1")

        assert (rig.air.orders("T1"), await status(rig)) == ([], "expired")
