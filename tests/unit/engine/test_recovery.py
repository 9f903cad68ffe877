"""After a start, terminals that were online are asked for a hello; the others are left alone."""

from __future__ import annotations

from pathlib import Path

import anyio
import sqlalchemy as sa

from gateway.store import schema
from gateway.wire.messages import Presence, Welcome
from tests.unit.engine.rig import Rig, rigged


async def recovered(rig: Rig) -> None:
    """One round."""
    with anyio.move_on_after(1.5):
        await rig.recovery.run()
    await rig.executor.flush()


async def test_only_terminals_that_were_online_are_asked(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2")
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
    async with rigged(tmp_path) as rig:
        await recovered(rig)

        asked = [message for message in rig.air.told("T1") if isinstance(message, Welcome)]
        assert [message.hello for message in asked] == [True]
        assert rig.air.told("T2") == []


async def test_a_terminal_that_is_on_a_new_session_already_is_left_alone(tmp_path: Path) -> None:
    """After a broker's death thousands come back by themselves: to ask them all again would double the storm."""
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2")
        for name in ("T1", "T2"):
            rig.air.appear(name)
        await rig.until(lambda: rig.air.told("T1") and rig.air.told("T2"))
        rig.air.sent.clear()
        rig.clock.time += 61.0
        rig.air.say("T1", Presence(epoch=2, online=True))
        await rig.until(lambda: (session := rig.sessions.get("T1")) is not None and session.presence.epoch == 2)
        rig.clock.time -= 1.0  # the link was back a moment before
        await recovered(rig)

        assert [message.hello for message in rig.air.told("T2") if isinstance(message, Welcome)] == [True]
        assert rig.air.told("T1") == []


async def test_upgrades_under_way_are_taken_into_memory_before_the_link_is_up(tmp_path: Path) -> None:
    """Their deadlines run."""
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
        await rig.campaign("T1")
        await rig.look()
        assert await rig.states("T1") == {"T1": "offered"}
    async with rigged(tmp_path) as rig:
        rig.air.connected = False
        await recovered(rig)

        session = rig.sessions.get("T1")
        assert session is not None
        assert session.upgrade is not None
        assert session.upgrade.state == "offered"


async def test_a_damaged_row_keeps_out_its_own_terminal_only(tmp_path: Path) -> None:
    """The round is not begun again and again: the others are asked once."""
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2")
        await rig.campaign("T1")
        for name in ("T1", "T2"):
            rig.air.appear(name)
        await rig.until(lambda: rig.air.told("T1") and rig.air.told("T2"))
        await rig.look()
        async with rig.db.write() as tx:
            await tx.execute(sa.update(schema.upgrades).values(snapshot=b"\xc1"))
    async with rigged(tmp_path) as rig:
        await recovered(rig)

        assert [message.hello for message in rig.air.told("T2") if isinstance(message, Welcome)] == [True]
        assert rig.sessions.get("T1") is None
