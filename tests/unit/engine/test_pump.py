"""Chunks flow in turn, within the budget, and only as far as each transfer allows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import anyio

from gateway.core.attendance import Terms
from gateway.core.events import Acked
from gateway.core.single import CEILING_BYTES
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.engine.budget import ByteBudget
from gateway.engine.pump import Pump
from gateway.errors import StoreError
from gateway.wire.codec import decode
from gateway.wire.messages import Ack, Chunk
from tests.unit.core.build import NOW, PLAN, brought_to, hello
from tests.unit.engine.line import Line, SetClock, Zeros


def _transferring(name: str, *, chunk_blocks: int = 16, credit_bytes: int = 10**6) -> Terminal:
    session, _ = brought_to(UpgradeState.TRANSFERRING, replace(PLAN, first_chunk_blocks=chunk_blocks), Terms(pacing="fixed"))
    session.id = name
    assert session.transfer is not None
    session.handle(Acked(_ack(session.transfer.id, credit_bytes=credit_bytes)), NOW)
    return session


def _ack(transfer: int, *, epoch: int = 1, seq: int = 1, number: int = 0, cum: int = 0, credit_bytes: int = 10**6) -> Ack:
    return Ack(
        transfer=transfer,
        epoch=epoch,
        seq=seq,
        number=number,
        cum=cum,
        ranges=(),
        credit_bytes=credit_bytes,
        delay_ms=0,
        echo_ms=0,
    )


async def _pumped(pump: Pump, line: Line, count: int) -> list[tuple[str, Chunk]]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        with anyio.fail_after(5):
            while len(line.sent) < count:
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    out = []
    for topic, payload in line.sent:
        chunk = decode("chunk", payload)
        assert isinstance(chunk, Chunk)
        out.append((topic, chunk))
    return out


async def test_transfers_take_turns_and_get_the_same_bytes_whatever_their_chunks() -> None:
    """Deficit round robin."""
    line = Line()
    pump = Pump(line, Zeros(), SetClock(NOW), rate_bps=0, counters=Counter())
    pump.open(_transferring("small", chunk_blocks=1))
    pump.open(_transferring("large", chunk_blocks=16))
    sent = await _pumped(pump, line, 68)

    by_topic: Counter[str] = Counter()
    for topic, chunk in sent[:34]:
        by_topic[topic] += len(chunk.data)
    assert by_topic["tg1/dn/small.b/chunk"] == by_topic["tg1/dn/large.b/chunk"]


async def test_no_transfer_sends_more_than_its_window() -> None:
    """Four chunks of 16 KiB with the fixed window, until an ack comes."""
    line = Line()
    pump = Pump(line, Zeros(), SetClock(NOW), rate_bps=0, counters=Counter())
    pump.open(_transferring("T1"))
    sent = await _pumped(pump, line, 4)

    assert [chunk.index for _, chunk in sent] == [0, 16, 32, 48]
    assert len({chunk.number for _, chunk in sent}) == len(sent)


async def test_chunks_follow_a_terminal_to_the_connection_that_its_hello_names() -> None:
    """And there the first one goes alone, and no more follow than the connection may have in its queue."""
    line, clock = Line(), SetClock(NOW)
    pump = Pump(line, Zeros(), clock, rate_bps=0, counters=Counter())
    session = _transferring("T1")
    pump.open(session)
    assert {topic for topic, _ in await _pumped(pump, line, 4)} == {"tg1/dn/T1.b/chunk"}

    session.handle(hello(2, single=True), NOW)
    line.sent.clear()
    assert session.transfer is not None
    session.handle(Acked(_ack(session.transfer.id, epoch=2, seq=1)), NOW)
    pump.wake("T1")
    [(topic, first)] = await _pumped(pump, line, 1)
    session.handle(Acked(_ack(session.transfer.id, epoch=2, seq=2, number=first.number, cum=1)), NOW)
    pump.wake("T1")
    sent = await _pumped(pump, line, 4)
    assert {topic, *(topic for topic, _ in sent)} == {"tg1/dn/T1/chunk"}
    assert sum(len(chunk.data) for _, chunk in sent[1:]) <= CEILING_BYTES

    session.handle(hello(3, single=False), NOW)
    line.sent.clear()
    session.handle(Acked(_ack(session.transfer.id, epoch=1, seq=1)), NOW)
    pump.wake("T1")
    assert {topic for topic, _ in await _pumped(pump, line, 4)} == {"tg1/dn/T1.b/chunk"}


async def test_a_file_that_cannot_be_read_stops_nobody_else() -> None:
    """The transfer tries again with its next probe."""

    class Torn(Zeros):
        def read(self, offset: int, length: int) -> bytes:
            if offset == 0:
                raise StoreError("gone", code="package_missing")
            return bytes(length)

    line, counters = Line(), Counter[str]()
    pump = Pump(line, Torn(), SetClock(NOW), rate_bps=0, counters=counters)
    pump.open(_transferring("T1"))
    pump.wake("T1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert counters["package_unreadable"] == 1
    assert not line.sent


async def test_a_closed_transfer_sends_nothing_more() -> None:
    """Its session may be gone."""
    line = Line()
    pump = Pump(line, Zeros(), SetClock(NOW), rate_bps=0, counters=Counter())
    pump.open(_transferring("T1"))
    pump.close("T1")
    pump.wake("T1")

    assert pump.open_count == 0
    assert await _pumped(pump, line, 0) == []


def test_the_budget_lets_a_burst_through_and_then_holds_the_rate() -> None:
    """Overdrawn by one batch at most."""
    budget = ByteBudget(1000.0, 500, 0.0)
    assert budget.spend(500, 0.0) == 0.0
    assert budget.spend(100, 0.0) == 0.1
    assert budget.spend(0, 10.0) == 0.0
    assert ByteBudget(0, 1, 0.0).spend(10**9, 0.0) == 0.0
