"""Sessions are ticked at the deadlines that they named, the earliest first."""

from __future__ import annotations

import anyio

from gateway.engine.timers import Timers
from tests.unit.engine.line import SetClock


async def test_due_names_come_when_the_clock_says_so() -> None:
    """And only those."""
    clock = SetClock(100.0)
    timers = Timers(clock)
    timers.set("late", 300.0)
    timers.set("early", 200.0)
    clock.time = 250.0

    assert await timers.due() == ["early"]


async def test_a_moved_deadline_wakes_once_at_its_new_time() -> None:
    """The overtaken entry is ignored."""
    clock = SetClock(100.0)
    timers = Timers(clock)
    timers.set("T1", 200.0)
    timers.set("T1", 300.0)
    timers.set("T2", 200.0)
    clock.time = 250.0
    assert await timers.due() == ["T2"]

    clock.time = 301.0
    assert await timers.due() == ["T1"]


async def test_a_session_without_a_deadline_is_not_woken() -> None:
    """Also when it had one before."""
    clock = SetClock(100.0)
    timers = Timers(clock)
    timers.set("gone", 150.0)
    timers.set("gone", float("inf"))
    timers.set("T1", float("inf"))
    timers.set("T2", 160.0)
    clock.time = 200.0

    assert await timers.due() == ["T2"]


async def test_a_new_earlier_deadline_interrupts_the_wait() -> None:
    """Else it would be late by the poll interval."""
    clock = SetClock(100.0)
    timers = Timers(clock)
    timers.set("far", 10_000.0)
    found: list[str] = []

    async def wait() -> None:
        found.extend(await timers.due())

    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            timers.set("near", 100.0)
            clock.time = 101.0

    assert found == ["near"]


def test_overtaken_entries_do_not_pile_up() -> None:
    """A session resets its timer with every event."""
    clock = SetClock(0.0)
    timers = Timers(clock)
    for step in range(10_000):
        timers.set("T1", 1e6 - step)

    assert len(timers._heap) < 200  # noqa: SLF001 - memory is what this test is about
