"""A connection survives what happens to its callers."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest
import pytest_asyncio
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store.connection import Connection, Transaction
from gateway.store.failures import mapped

SLOW = sa.text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT count(*) FROM n")
ONE = sa.text("INSERT INTO meta VALUES ('a', '1')")


@pytest_asyncio.fixture
async def connection(store_file: Path) -> AsyncIterator[Connection]:
    """A connection that may write."""
    opened = Connection(store_file, read_only=False, busy_timeout_s=0.2)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def test_what_a_caller_left_open_is_rolled_back_by_the_next_begin(connection: Connection) -> None:
    await connection.begin()
    await Transaction(connection).execute(ONE)
    await connection.begin()

    assert await Transaction(connection).fetch(sa.text("SELECT * FROM meta")) == []


async def test_a_broken_connection_is_replaced_by_the_next_begin(connection: Connection) -> None:
    with pytest.raises(StoreError), mapped("breaking it"):
        await connection.transact(lambda driver: driver.close())
    await connection.begin()
    assert await Transaction(connection).execute(ONE) == 1
    await connection.commit()


async def test_a_broken_connection_is_replaced_by_the_next_batch(connection: Connection) -> None:
    for _ in range(2):
        with pytest.raises(StoreError), mapped("breaking it"):
            await connection.transact(lambda driver: driver.close())

    [setting] = await connection.transact(lambda driver: driver.execute("PRAGMA foreign_keys").fetchone())
    assert setting == 1


async def test_a_list_of_parameters_counts_all_changed_rows(connection: Connection) -> None:
    await connection.begin()
    rows = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]

    assert await Transaction(connection).execute(sa.text("INSERT INTO meta VALUES (:key, :value)"), rows) == 2


@pytest.mark.parametrize(("last", "kept"), [("SELECT 1", [("a",)]), ("SELECT nonsense", [])])
async def test_a_batch_whose_waiter_is_torn_off_is_ended_all_the_same(
    connection: Connection, last: str, kept: list[tuple[str]]
) -> None:
    begun, torn = threading.Event(), threading.Event()

    def work(driver: sqlite3.Connection) -> None:
        driver.execute("INSERT INTO meta VALUES ('a', '1')")
        begun.set()
        torn.wait(5)
        driver.execute(last)

    task = asyncio.get_running_loop().create_task(connection.transact(work))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    torn.set()

    await connection.begin()
    assert [tuple(row) for row in await Transaction(connection).fetch(sa.text("SELECT key FROM meta"))] == kept


async def test_a_batch_is_one_hop_to_the_thread(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """``in_thread`` uses names that aiosqlite does not promise to keep: this fails when one of them goes."""
    through = aiosqlite.Connection.__dict__["_execute"]
    assert isinstance(aiosqlite.Connection.__dict__["_conn"], property)
    hops = []

    async def counted(driver: aiosqlite.Connection, *work: object) -> object:
        hops.append(work[0])
        return await through(driver, *work)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    thread = await connection.transact(lambda driver: (driver.execute("SELECT 1"), threading.get_ident())[1])

    assert len(hops) == 1
    assert thread != threading.get_ident()


async def test_a_connection_that_was_never_opened_can_be_closed(store_file: Path) -> None:
    await Connection(store_file, read_only=True, busy_timeout_s=0.2).close()


async def test_nothing_of_a_closed_connection_is_left(store_file: Path) -> None:
    """Neither its thread nor a warning from what collects garbage; a statement was torn off meanwhile."""
    before = set(threading.enumerate())
    connection = Connection(store_file, read_only=False, busy_timeout_s=0.2)
    await connection.open()
    threads = set(threading.enumerate()) - before
    await connection.begin()
    task = asyncio.get_running_loop().create_task(Transaction(connection).fetch(SLOW))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await connection.roll_back()
    await connection.close()
    del connection, task
    gc.collect()

    assert threads
    for thread in threads:
        thread.join(5)  # it ends right after it has said so
        assert not thread.is_alive()
