"""Overload between a real store and an in-memory line: who waits, what is shed, and that nobody pays for it with an attempt."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from gateway.core.effects import Append
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.engine import dispatcher
from gateway.engine.executor import BATCH_MAX, BEHIND_AT, QUEUE_MAX
from gateway.engine.patience import PATIENCE_S
from gateway.store import ledger, terminals
from gateway.wire.codes import What
from gateway.wire.messages import Ack, Report
from tests.unit.core.build import PLAN
from tests.unit.core.test_single_terminal import transferring
from tests.unit.engine.line import Line
from tests.unit.engine.rig import NOW, Air, Rig, rigged

ENTRY = Append(at_us=1, terminal="T0", actor="terminal", what="filler", code="ok")


@contextmanager
def locked(rig: Rig) -> Iterator[None]:
    """Another process holds the store's file: no commit comes through, all that is read is read."""
    with closing(sqlite3.connect(rig.db.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def offered(rig: Rig, *names: str) -> None:
    """A campaign has offered these terminals an upgrade."""
    await rig.register(*names)
    await rig.campaign(*names)
    for name in names:
        rig.air.appear(name)
    await rig.until(lambda: all(rig.air.told(name) for name in names))
    await rig.look()
    await rig.until(lambda: all(rig.air.orders(name) for name in names))


def held(rig: Rig, name: str) -> Terminal:
    """A session in memory."""
    session = rig.sessions.get(name)
    assert session is not None
    return session


async def full(rig: Rig, session: Terminal, count: int = QUEUE_MAX) -> None:
    """So much is decided that the queue of commits has no room (or holds ``count``), and one commit is under way."""
    rig.executor.submit(session, [ENTRY])
    await rig.until(lambda: rig.executor.saving_s > 0)
    for _ in range(count):
        rig.executor.submit(session, [ENTRY])


def state_of(session: Terminal) -> tuple[UpgradeState, int]:
    """Of its upgrade, and the attempt that it is at."""
    assert session.upgrade is not None
    return session.upgrade.state, session.upgrade.attempt


async def test_births_of_a_storm_are_recorded_at_once_and_go_on_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BIRTHS_EVERY_S", 0.01)  # the clock of this test rings no bell
    async with rigged(tmp_path, births_per_s=2.0) as rig, rig.running(rig.dispatcher.run_births):
        names = [f"T{at}" for at in range(6)]
        await rig.register(*names)
        await rig.campaign(*names)
        for name in names:
            rig.air.appear(name)
        await rig.until(lambda: all(rig.air.told(name) for name in names))
        await rig.look()
        assert {row.online for row in (await terminals.load(rig.db, names)).values()} == {True}
        assert (rig.counters["births_held"], rig.dispatcher.births_waiting) == (4, 4)

        order: list[str] = []
        for count in range(2, len(names) + 1):
            await rig.until(lambda count=count: sum(bool(rig.air.orders(name)) for name in names) == count)  # type: ignore[misc]
            order += [name for name in names if name not in order and rig.air.orders(name)]
            rig.clock.time += 0.5
        assert order == names
        assert rig.dispatcher.births_waiting == 0


async def test_no_deadline_passes_while_a_report_waits_in_our_queue(tmp_path: Path) -> None:
    """The store stands still, the report is in our hands, its deadline goes by: no try is counted, and the report counts."""
    async with rigged(tmp_path) as rig:
        await offered(rig, "T1")
        session = held(rig, "T1")
        bulk = Line()
        async with rig.running(lambda: rig.dispatcher.run_timers(rig.air, bulk)):
            rig.clock.time = NOW + 10  # the timers have looked once, so that being new is no reason for patience any more
            rig.timers.set("nobody", 0)
            await rig.until(lambda: len(rig.air.orders("T1")) == 2)
            with locked(rig):
                await full(rig, session)
                rig.air.say("T1", Report(upgrade="c1-1", seq=1, what=What.ACCEPTED))
                rig.clock.time = NOW + PLAN.deadline_s(UpgradeState.OFFERED) + 10 * PATIENCE_S
                rig.timers.set("nobody", 0)
                await anyio.sleep(0.1)
                assert state_of(session) == (UpgradeState.OFFERED, 1)
            await rig.until(lambda: state_of(session) == (UpgradeState.PREPARING, 1))


async def test_an_order_is_not_repeated_while_others_wait_for_their_commit(tmp_path: Path) -> None:
    """The first may still be among them; when the store is there again, so is the repetition."""
    async with rigged(tmp_path) as rig:
        await offered(rig, "T1")
        session = held(rig, "T1")
        with ExitStack() as lock:
            lock.enter_context(locked(rig))
            await full(rig, session, BEHIND_AT)
            rig.clock.time = NOW + 10
            async with rig.running(lambda: rig.dispatcher.run_timers(rig.air, Line())):
                await anyio.sleep(0.1)
                assert session.out.counter == 1
                lock.close()
                await rig.until(lambda: session.out.counter == 2)


async def test_silence_costs_an_attempt_when_we_could_hear_all_the_time(tmp_path: Path) -> None:
    """Or the test above would show nothing."""
    async with rigged(tmp_path) as rig:
        await offered(rig, "T1")
        session = held(rig, "T1")
        bulk = Line()
        async with rig.running(lambda: rig.dispatcher.run_timers(rig.air, bulk)):
            rig.clock.time = NOW + 10
            rig.timers.set("nobody", 0)
            await rig.until(lambda: len(rig.air.orders("T1")) == 2)
            rig.clock.time = NOW + PLAN.deadline_s(UpgradeState.OFFERED) + 10 * PATIENCE_S
            rig.timers.set("nobody", 0)
            await rig.until(lambda: state_of(session)[0] is not UpgradeState.OFFERED)


async def test_a_store_that_stands_still_fills_no_memory_and_all_is_done_afterwards(tmp_path: Path) -> None:
    """Progress and chunks are shed first; of the rest no more is decided than the queue holds, and nothing of it is lost."""
    async with rigged(tmp_path) as rig, rig.running(rig.pump.run):
        names = [f"T{at}" for at in range(8)]
        await offered(rig, *names)
        sender = transferring(single=False, plan=replace(PLAN, progress_every_s=0.0))
        rig.sessions._held["T9"] = sender  # noqa: SLF001 - as if it had been loaded
        assert sender.transfer is not None
        bulk = Air()
        before = len(rig.air.sent)
        with locked(rig):
            await full(rig, held(rig, "T0"))
            async with rig.running(lambda: rig.dispatcher.run_bulk(bulk)):
                ack = Ack(
                    transfer=sender.transfer.id,
                    epoch=1,
                    seq=1,
                    number=0,
                    cum=0,
                    ranges=(),
                    credit_bytes=1 << 20,
                    delay_ms=0,
                    echo_ms=0,
                )
                bulk.say("T9", ack, bulk=True)
                await rig.until(lambda: rig.counters["shed:progress"])
            rig.pump.open(sender)
            await rig.until(lambda: rig.counters["shed:chunks"])
            for at, name in enumerate(names):
                rig.air.say(name, Report(upgrade=f"c1-{at + 1}", seq=1, what=What.ACCEPTED))
            await anyio.sleep(0.1)
            assert len(rig.air.sent) == before
            assert rig.executor.peak <= QUEUE_MAX + len(names)
            assert rig.writer.statistics().queued_rows <= BATCH_MAX

        await rig.until(lambda: rig.counters["in:report"] == len(names))
        await rig.executor.flush()
        assert set((await rig.states(*names)).values()) == {"preparing"}
        assert await ledger.last_seq(rig.db) > QUEUE_MAX  # what filled the queue is there too
