"""The doorbell wakes who waits, and loses no ring between two waits."""

from __future__ import annotations

import anyio
import pytest

from gateway.store.doorbell import Doorbell

LONG_S = 30.0


async def test_a_ring_wakes_all_who_wait() -> None:
    bell = Doorbell()
    woken = []

    async def listen(name: str) -> None:
        woken.append((name, await bell.wait("ledger", LONG_S)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen, "one")
        tasks.start_soon(listen, "two")
        await anyio.wait_all_tasks_blocked()
        bell.ring("ledger")

    assert woken == [("one", 1), ("two", 1)]


async def test_a_ring_between_two_waits_of_a_task_is_not_lost() -> None:
    bell = Doorbell()
    bell.ring("orders")
    assert await bell.wait("orders", LONG_S) == 1

    bell.ring("orders")
    bell.ring("orders")
    with anyio.fail_after(1):
        assert await bell.wait("orders", LONG_S) == 3
    assert await bell.wait("orders", 0) == 3


async def test_a_ring_after_the_version_that_was_read_is_not_lost() -> None:
    bell = Doorbell()
    seen = bell.version("ledger")
    bell.ring("ledger")

    with anyio.fail_after(1):
        assert await bell.wait("ledger", LONG_S, seen=seen) == seen + 1


async def test_a_cancelled_wait_has_heard_nothing() -> None:
    bell = Doorbell()
    with anyio.move_on_after(0):
        await bell.wait("ledger", LONG_S)
    bell.ring("ledger")

    with anyio.fail_after(1):
        assert await bell.wait("ledger", LONG_S) == 1


async def test_topics_do_not_wake_each_other() -> None:
    bell = Doorbell()
    bell.ring("orders")

    assert await bell.wait("ledger", 0.01) == 0


async def test_silence_ends_with_the_time() -> None:
    with anyio.fail_after(5):
        assert await Doorbell().wait("ledger", 0.01) == 0


async def test_many_rings_leave_nothing_behind() -> None:
    """One event per topic that is waited for, none per ring."""
    bell = Doorbell()
    for number in range(100):
        bell.ring(f"topic-{number % 3}")
        assert await bell.wait(f"topic-{number % 3}", 0) == number // 3 + 1

    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await bell.wait("topic-0", LONG_S)
