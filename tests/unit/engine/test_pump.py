"""Chunks flow in turn, within the budget, and only as far as each transfer allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import anyio

from gateway.core.attendance import Terms
from gateway.core.budgets import DAY_MIN_BYTES, Account, Bucket, Day, Limit, Scope, Spent
from gateway.core.events import Acked, BudgetSpent
from gateway.core.purse import PUBLISH_BYTES, Purse
from gateway.core.single import CEILING_BYTES
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.core.transfer.meter import SILENCE_S
from gateway.engine.pump import Pump
from gateway.errors import StoreError
from gateway.wire.codec import decode
from gateway.wire.messages import Ack, Chunk
from tests.unit.core.build import NOW, PLAN, brought_to, hello
from tests.unit.engine.line import Free, Line, SetClock, Zeros


def _never(session: Terminal, spent: Spent) -> None:
    raise AssertionError(session.id, spent)


def _in_time() -> bool:
    return False


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
    pump = Pump(line, Zeros(), SetClock(NOW), Free(), on_spent=_never, behind=_in_time, counters=Counter())
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
    pump = Pump(line, Zeros(), SetClock(NOW), Free(), on_spent=_never, behind=_in_time, counters=Counter())
    pump.open(_transferring("T1"))
    sent = await _pumped(pump, line, 4)

    assert [chunk.index for _, chunk in sent] == [0, 16, 32, 48]
    assert len({chunk.number for _, chunk in sent}) == len(sent)


async def test_chunks_follow_a_terminal_to_the_connection_that_its_hello_names() -> None:
    """And there the first one goes alone, and no more follow than the connection may have in its queue."""
    line, clock = Line(), SetClock(NOW)
    pump = Pump(line, Zeros(), clock, Free(), on_spent=_never, behind=_in_time, counters=Counter())
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
    pump = Pump(line, Torn(), SetClock(NOW), Free(), on_spent=_never, behind=_in_time, counters=counters)
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
    pump = Pump(line, Zeros(), SetClock(NOW), Free(), on_spent=_never, behind=_in_time, counters=Counter())
    pump.open(_transferring("T1"))
    pump.close("T1")
    pump.wake("T1")

    assert pump.open_count == 0
    assert await _pumped(pump, line, 0) == []


async def test_when_the_line_comes_back_nothing_is_probed_before_the_terminal_could_ack() -> None:
    """All was silent while it was away, so every probe would be due at once."""
    line, clock = Line(), SetClock(NOW)
    pump = Pump(line, Zeros(), clock, Free(), on_spent=_never, behind=_in_time, counters=Counter())
    pump.open(_transferring("T1"))
    assert len(await _pumped(pump, line, 4)) == 4
    clock.time += 30.0
    line.generation += 1
    assert len(await _pumped(pump, line, 4)) == 4

    clock.time += SILENCE_S
    assert len(await _pumped(pump, line, 5)) == 5


async def test_who_has_used_up_its_rate_sleeps_and_all_others_go_on() -> None:
    """Only the gateway's own rate holds up everybody."""
    line, purses, counters = Line(), Free(), Counter[str]()
    pump = Pump(line, Zeros(), SetClock(NOW), purses, on_spent=_never, behind=_in_time, counters=counters)
    slow, fast = _transferring("slow"), _transferring("fast")
    purses.rates = (Bucket(1024),)
    pump.open(slow)
    purses.rates = ()
    pump.open(fast)
    sent = await _pumped(pump, line, 5)
    count = Counter(topic for topic, _ in sent)

    assert count == {"tg1/dn/slow.b/chunk": 1, "tg1/dn/fast.b/chunk": 4}
    assert counters["transfer_budget_waits"] == 1
    assert slow.transfer is not None
    assert NOW < slow.transfer.wake_at < NOW + 1


async def test_a_sleeper_goes_on_when_its_rate_is_even_again_and_no_ack_wakes_it_before() -> None:
    line, clock = Line(), SetClock(NOW)
    pump = Pump(line, Zeros(), clock, Free(Bucket(1024)), on_spent=_never, behind=_in_time, counters=Counter())
    pump.open(_transferring("T1"))
    for passed_s, count in ((0.0, 1), (0.01, 1), (0.1, 2), (10.0, 2), (17.0, 3)):
        clock.time = NOW + passed_s
        pump.wake("T1")
        await _pumped(pump, line, count)
        assert len(line.sent) == count


async def test_the_gateways_own_rate_holds_up_everybody() -> None:
    line, counters = Line(), Counter[str]()
    pump = Pump(line, Zeros(), SetClock(NOW), Free(gate=Bucket(16_384)), on_spent=_never, behind=_in_time, counters=counters)
    pump.open(_transferring("T1"))
    pump.open(_transferring("T2"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        with anyio.fail_after(5):
            while not counters["budget_waits"]:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert len(line.sent) == 1


async def test_a_spent_day_is_told_once_and_stops_the_transfer_at_the_edge_of_a_segment() -> None:
    line, told = Line(), list[tuple[str, Spent]]()
    site = Account(Scope.SITE, "s", Limit(bytes_per_day=DAY_MIN_BYTES), Day(DAY_MIN_BYTES, "UTC", NOW))

    class Site(Free):
        def enter(self, session: Terminal, known: Callable[[str], None]) -> Purse:
            purse = super().enter(session, known)
            purse.fill([site], [])
            return purse

    def on_spent(session: Terminal, spent: Spent) -> None:
        told.append((session.id, spent))
        session.handle(BudgetSpent(spent), NOW)

    pump = Pump(line, Zeros(), SetClock(NOW), Site(), on_spent=on_spent, behind=_in_time, counters=Counter())
    session = _transferring("T1")
    pump.open(session)
    assert session.transfer is not None
    transfer = session.transfer.id
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        for seq in range(2, 8):
            await anyio.wait_all_tasks_blocked()
            last = decode("chunk", line.sent[-1][1])
            assert isinstance(last, Chunk)
            held = last.index + 16
            ack = Ack(
                transfer=transfer,
                epoch=1,
                seq=seq,
                number=last.number,
                cum=held,
                ranges=(),
                credit_bytes=10**6,
                delay_ms=0,
                echo_ms=last.stamp_ms,
            )
            session.handle(Acked(ack), NOW)
            pump.wake("T1")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert [(name, spent.scope) for name, spent in told] == [("T1", Scope.SITE)]
    assert session.upgrade is not None
    assert list(session.upgrade.have) == [(0, 1)]
    assert site.day.used_bytes == sum(len(topic) + len(payload) + PUBLISH_BYTES for topic, payload in line.sent)


async def test_no_chunk_is_sent_while_the_store_is_behind() -> None:
    """And when it has caught up, all goes on."""
    line, counters, behind = Line(), Counter[str](), [True]
    pump = Pump(line, Zeros(), SetClock(NOW), Free(), on_spent=_never, behind=lambda: behind[0], counters=counters)
    pump.open(_transferring("T1"))
    with anyio.move_on_after(0.15):
        await pump.run()
    assert counters["shed:chunks"]
    assert line.sent == []

    behind[0] = False
    assert len(await _pumped(pump, line, 4)) == 4
