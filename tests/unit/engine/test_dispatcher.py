"""Messages reach their session or are counted; a bug of ours or a failing store stops nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import sqlalchemy as sa

from gateway.core.events import Tick
from gateway.core.terminal import Terminal
from gateway.engine import dispatcher
from gateway.store import campaigns, schema, terminals
from gateway.wire import topics
from gateway.wire.codec import encode
from gateway.wire.messages import Ack, Log, Welcome
from tests.unit.core.build import PLAN, hello
from tests.unit.core.test_single_terminal import transferring
from tests.unit.engine.rig import Air, rigged

ACK = Ack(transfer=1, epoch=1, seq=1, number=0, cum=0, ranges=(), credit_bytes=0, delay_ms=0, echo_ms=0)


async def test_a_hello_is_stored_and_then_welcomed(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        rig.air.appear("T1")
        await rig.until(lambda: any(isinstance(message, Welcome) for message in rig.air.told("T1")))

        row = (await terminals.load(rig.db, ["T1"]))["T1"]
        assert (row.online, row.epoch) == (True, 1)
        assert row.facts is not None


async def test_what_is_wrong_is_counted_by_reason_and_reaches_no_session(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        rig.air.shout("tg1/up/x", b"")
        rig.air.shout(f"tg1/up/{(topics.shard_of('T1') + 1) % 256}/T1/hello", b"")
        rig.air.shout(topics.up("T1", "hello"), b"\xc1")
        rig.air.say("T1", ACK)
        rig.air.shout(topics.up("T1", "log", bulk=True), encode(Log(upload=1, index=0, data=b"", last=True)))
        rig.air.say("T1", Log(upload=1, index=0, data=b"", last=True))
        await rig.until(lambda: rig.counters["bad:not_asked_for"])

        assert {key: count for key, count in rig.counters.items() if key.startswith("bad:")} == {
            "bad:topic_invalid": 1,
            "bad:shard_mismatch": 1,
            "bad:not_msgpack": 1,
            "bad:wrong_connection": 2,
            "bad:not_asked_for": 1,
        }
        assert rig.air.sent == []


@pytest.mark.parametrize("single", [False, True])
async def test_an_ack_is_heard_on_the_connection_that_the_terminal_has_for_it(tmp_path: Path, *, single: bool) -> None:
    """On the control connection of a terminal that has no other, and on no other one's; a new hello moves it."""
    async with rigged(tmp_path) as rig, anyio.create_task_group() as tasks:
        air = Air()
        tasks.start_soon(rig.dispatcher.run_bulk, air)
        session = transferring(single=single, plan=replace(PLAN, progress_every_s=1e12))  # so that nothing is saved
        rig.sessions._held["T1"] = session  # noqa: SLF001 - as if it had been loaded
        transfer = session.transfer
        assert transfer is not None
        ack = replace(ACK, transfer=transfer.id, credit_bytes=4096)
        air.say("T1", ack, bulk=single)
        await rig.until(lambda: rig.counters["bad:wrong_connection"])
        assert (rig.counters["in:ack"], transfer.brake.credit_bytes) == (0, 0)
        air.say("T1", ack, bulk=not single)
        await rig.until(lambda: rig.counters["in:ack"])
        assert (rig.counters["bad:wrong_connection"], transfer.brake.credit_bytes) == (1, 4096)

        session.handle(hello(2, single=not single), rig.clock.now())
        air.say("T1", ack, bulk=not single)
        await rig.until(lambda: rig.counters["bad:wrong_connection"] == 2)
        tasks.cancel_scope.cancel()


async def test_strangers_are_listed_and_not_answered(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        rig.air.appear("stranger")
        await rig.until(lambda: rig.counters["bad:terminal_unknown"] == 2)
        rig.air.appear("another")  # a moment later: counted, and listed when it goes on
        await rig.until(lambda: rig.counters["bad:terminal_unknown"] == 4)

        assert [row.id for row in await terminals.unknown(rig.db)] == ["stranger"]
        assert rig.air.sent == []


async def test_a_bug_costs_one_session_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is forgotten: its true state is in the store."""
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2")
        rig.air.appear("T1")
        rig.air.appear("T2")
        await rig.until(lambda: rig.air.told("T1") and rig.air.told("T2"))
        session = rig.sessions.get("T1")
        assert session is not None
        with monkeypatch.context() as patch:
            patch.setattr(Terminal, "handle", _broken)
            rig.dispatcher.apply(session, Tick())

        assert rig.counters["handle_failed"] == 1
        assert rig.sessions.get("T1") is None
        assert rig.sessions.get("T2") is not None
        before = len(rig.air.told("T1"))
        rig.air.appear("T1")
        await rig.until(lambda: len(rig.air.told("T1")) > before)


async def test_a_damaged_campaign_stops_its_own_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of the same batch are heard, and the damaged one again when its row is mended."""
    monkeypatch.setattr(dispatcher, "STORE_RETRY_S", 0.05)
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2")
        await rig.campaign("T1")
        async with rig.db.write() as tx:
            await tx.execute(sa.update(schema.upgrades).values(state="offered"))
        await campaigns.set_settings(rig.db, "c1", {})
        rig.air.appear("T1")
        rig.air.appear("T2")
        await rig.until(lambda: rig.air.told("T2"))

        assert rig.counters["unloadable"]
        assert rig.sessions.get("T1") is None


def _broken(*_: object) -> None:
    raise ValueError("ours")
