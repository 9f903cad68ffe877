"""Stored orders reach their sessions once, and expire without them."""

from __future__ import annotations

from pathlib import Path

from gateway.core.events import Tick
from gateway.store import orders
from gateway.store.orders import OrderRow
from gateway.wire.codes import OrderKind
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
