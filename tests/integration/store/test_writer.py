"""Many waiters share a commit, each learns the fate of its own saves, and nothing stops the writer."""

from __future__ import annotations

import anyio
import pytest

from gateway.errors import StoreError
from gateway.store import ledger, meta
from gateway.store.database import Database
from gateway.store.writer import Writer
from tests.integration.store.build import entry, saved_terminal, writing_to


async def numbers(db: Database) -> list[int]:
    """The times of all entries, in the order of the ledger."""
    return [found.at_us for found in await ledger.tail(db, after_seq=0, limit=100_000)]


async def test_a_returned_save_is_in_the_store(db: Database) -> None:
    async with writing_to(db) as writer:
        await writer.save([entry(1), entry(2)])

        assert await numbers(db) == [1, 2]
        await writer.save([])
        assert writer.statistics().commits == 1


async def test_what_queues_during_a_commit_shares_the_next(db: Database) -> None:
    async with writing_to(db) as writer:
        async with anyio.create_task_group() as tasks, db.write() as tx:  # holds the writer up
            tasks.start_soon(writer.save, [entry(0)])
            await anyio.wait_all_tasks_blocked()
            for number in range(1, 301):
                tasks.start_soon(writer.save, [entry(number), entry(number)])
            await anyio.wait_all_tasks_blocked()
            waiting = writer.statistics()
            await meta.put(tx, "a", "1")

        done = writer.statistics()

    assert (waiting.queued_groups, waiting.queued_rows) == (300, 600)
    assert (done.commits, done.rows, done.queued_groups, done.queued_rows) == (2, 601, 0, 0)
    assert (done.last_batch_groups, done.last_batch_rows, done.largest_batch_rows) == (300, 600, 600)
    assert await numbers(db) == [0, *(number for number in range(1, 301) for _ in range(2))]


async def test_a_commit_takes_no_more_groups_than_allowed(db: Database) -> None:
    async with writing_to(db, groups_per_commit=10) as writer, anyio.create_task_group() as tasks, db.write():
        for number in range(25):
            tasks.start_soon(writer.save, [entry(number)])
        await anyio.wait_all_tasks_blocked()

    assert writer.statistics().largest_batch_rows <= 10
    assert await numbers(db) == list(range(25))


async def test_a_save_at_fault_fails_alone(db: Database) -> None:
    codes = []

    async def refused(writer: Writer) -> None:
        try:
            await writer.save([entry(99), saved_terminal("nobody")])
        except StoreError as exc:
            codes.append(exc.code)

    async with writing_to(db) as writer:
        async with anyio.create_task_group() as tasks, db.write():
            tasks.start_soon(writer.save, [entry(1)])
            tasks.start_soon(refused, writer)
            tasks.start_soon(writer.save, [entry(2)])
            await anyio.wait_all_tasks_blocked()
        await writer.save([entry(3)])

    assert codes == ["store_row_missing"]
    assert writer.statistics().failed_groups == 1
    assert await numbers(db) == [1, 2, 3]


async def test_a_full_disk_fails_every_waiter_and_the_writer_goes_on(db: Database) -> None:
    codes = []

    async def refused(writer: Writer, number: int) -> None:
        try:
            await writer.save([entry(number, evidence={str(key): "x" * 400 for key in range(8)}) for _ in range(50)])
        except StoreError as exc:
            codes.append(exc.code)

    await db.transact(lambda driver: driver.execute("PRAGMA max_page_count=1").fetchall())  # SQLite makes it what is in use
    async with writing_to(db) as writer:
        async with anyio.create_task_group() as tasks, db.write():
            for number in range(5):
                tasks.start_soon(refused, writer, number)
            await anyio.wait_all_tasks_blocked()
        await db.transact(lambda driver: driver.execute("PRAGMA max_page_count=100000").fetchall())
        await writer.save([entry(7)])

    assert codes == ["store_full"] * 5
    assert writer.statistics().failed_groups == 5
    assert await numbers(db) == [7]


async def test_a_cancelled_save_harms_nobody(db: Database) -> None:
    async with writing_to(db) as writer:
        async with anyio.create_task_group() as tasks, db.write():
            tasks.start_soon(writer.save, [entry(1)])
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await writer.save([entry(2)])

    assert await numbers(db) == [1, 2]


async def test_a_full_queue_holds_its_callers_back(db: Database) -> None:
    async with writing_to(db, queued_rows_max=10) as writer, anyio.create_task_group() as tasks, db.write():
        for number in range(40):
            tasks.start_soon(writer.save, [entry(number) for _ in range(5)])
        await anyio.wait_all_tasks_blocked()
        waiting = writer.statistics()

    assert waiting.queued_rows <= 10
    assert len(await numbers(db)) == 200


async def test_the_end_keeps_what_waits_and_refuses_what_comes_later(db: Database) -> None:
    writer = Writer(db)
    async with anyio.create_task_group() as savers, anyio.create_task_group() as runner, db.write():
        runner.start_soon(writer.run)
        for number in range(3):
            savers.start_soon(writer.save, [entry(number)])
        await anyio.wait_all_tasks_blocked()
        runner.cancel_scope.cancel()

    assert await numbers(db) == [0, 1, 2]
    with pytest.raises(StoreError) as caught:
        await writer.save([entry(9)])
    assert caught.value.code == "store_closed"


async def test_each_waiter_gets_an_error_of_its_own(db: Database) -> None:
    errors = []

    async def refused(writer: Writer) -> None:
        try:
            await writer.save([saved_terminal("nobody")])
        except StoreError as exc:
            errors.append(exc)

    async with writing_to(db) as writer, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(refused, writer)

    assert len({id(error) for error in errors}) == 3
