"""Transactions keep all or nothing, whatever ends them; one process holds the store."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import sqlalchemy as sa
from anyio.streams.buffered import BufferedByteReceiveStream

from gateway.errors import StoreError, StoreInUseError
from gateway.store import meta
from gateway.store.database import Database

SLOW = sa.text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT count(*) FROM n")
_HOLD = """
import anyio, sys
from gateway.store.database import Database

async def hold():
    async with Database.open(sys.argv[1]):
        print("open", flush=True)
        await anyio.sleep_forever()

anyio.run(hold)
"""


def files_in(folder: Path) -> list[Path]:
    """Everything in it now."""
    return list(folder.iterdir())


async def test_a_new_store_is_made_private_and_durable(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "new.db") as db:
        await meta.put(db, "a", "1")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in files_in(tmp_path)}
        settings = await db.transact(
            lambda driver: {
                name: driver.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
            }
        )

    assert modes == {0o600}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1}


async def test_closing_leaves_one_file_with_everything_in_it(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "new.db") as db:
        await meta.put(db, "a", "1")

    assert {file.name for file in files_in(tmp_path)} == {"new.db", "new.db.lock"}
    async with Database.open(f"sqlite+aiosqlite:///{tmp_path}/new.db") as db:
        assert await meta.get(db, "a") == "1"


async def test_a_block_that_raises_leaves_nothing(db: Database) -> None:
    async def fail() -> None:
        async with db.write() as tx:
            await meta.put(tx, "a", "1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await meta.get(db, "a") is None
    await meta.put(db, "a", "2")
    assert await meta.get(db, "a") == "2"


async def test_a_reader_keeps_its_view_while_others_write(db: Database) -> None:
    await meta.put(db, "a", "1")
    async with db.read() as tx:
        assert await meta.get(tx, "a") == "1"
        await meta.put(db, "a", "2")
        assert await meta.get(tx, "a") == "1"

    assert await meta.get(db, "a") == "2"


async def test_a_reader_cannot_write(db: Database) -> None:
    async with db.read() as tx:
        with pytest.raises(StoreError) as caught:
            await meta.put(tx, "a", "1")

    assert caught.value.code == "store_read_only"


async def test_writers_take_turns(db: Database) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(meta.raise_counter, db, "shard_epoch")

    assert await meta.get(db, "shard_epoch") == "20"


async def test_more_readers_than_connections_wait_for_each_other(db: Database) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(meta.get, db, "a")


async def test_a_cancelled_block_is_finished_first(db: Database) -> None:
    with anyio.CancelScope() as scope:
        async with db.write() as tx:
            scope.cancel()
            await meta.put(tx, "a", "1")
        await anyio.lowlevel.checkpoint()
        await meta.put(db, "b", "not reached")

    assert await meta.get(db, "a") == "1"
    assert await meta.get(db, "b") is None


async def test_waiting_for_the_writer_can_be_cancelled(db: Database) -> None:
    async with anyio.create_task_group() as tasks, db.write() as tx:
        tasks.start_soon(meta.put, db, "a", "1")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        await meta.put(tx, "b", "1")

    assert await meta.get(db, "a") is None
    assert await meta.get(db, "b") == "1"


async def test_a_task_torn_out_of_a_running_statement_leaves_nothing_behind(db: Database) -> None:
    """The loop's own cancellation knows no shield: the transaction is rolled back, and the connection goes on."""

    async def write() -> None:
        async with db.write() as tx:
            await meta.put(tx, "a", "1")
            await tx.fetch(SLOW)

    async def read() -> None:
        async with db.read() as tx:
            await tx.fetch(SLOW)

    loop = asyncio.get_running_loop()
    for work in (write, read, write, read, read, read):
        task = loop.create_task(work())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await meta.get(db, "a") is None
    await meta.put(db, "a", "2")
    assert await meta.get(db, "a") == "2"


async def test_a_transaction_is_not_used_after_its_end(db: Database) -> None:
    async with db.write() as tx:
        pass
    with pytest.raises(StoreError, match="after its end"):
        await meta.put(tx, "a", "1")


async def test_a_second_gateway_is_refused(db: Database) -> None:
    with pytest.raises(StoreInUseError, match=db.file.name):
        async with Database.open(db.file):
            raise AssertionError


async def test_a_killed_gateway_frees_the_store(store_file: Path) -> None:
    async with await anyio.open_process([sys.executable, "-c", _HOLD, str(store_file)], stderr=None) as holder:
        try:
            assert holder.stdout is not None
            await BufferedByteReceiveStream(holder.stdout).receive_until(b"open\n", 64)
            with pytest.raises(StoreInUseError, match=f"process {holder.pid}"):
                async with Database.open(store_file):
                    raise AssertionError
        finally:
            holder.kill()

    async with Database.open(store_file):
        pass


async def test_a_full_disk_keeps_nothing_and_passes(db: Database) -> None:
    async with db.write() as tx:
        pages = (await tx.fetch(sa.text("PRAGMA page_count")))[0][0]
        await tx.fetch(sa.text(f"PRAGMA max_page_count={pages + 2}"))

    async def fill() -> None:
        async with db.write() as tx:
            await meta.put(tx, "small", "1")
            await meta.put(tx, "large", "x" * 100_000)

    with pytest.raises(StoreError) as caught:
        await fill()
    assert caught.value.code == "store_full"
    assert await meta.get(db, "small") is None

    async with db.write() as tx:
        await tx.fetch(sa.text("PRAGMA max_page_count=100000"))
        await meta.put(tx, "large", "x" * 100_000)
    assert await meta.get(db, "large") == "x" * 100_000


async def test_a_file_held_by_another_program_is_said_to_be_locked(db: Database) -> None:
    other = sqlite3.connect(db.file, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            await meta.put(db, "a", "1")
    finally:
        other.close()

    assert caught.value.code == "store_locked"
    await meta.put(db, "a", "1")


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to have a header of one hundred bytes or more " * 3)
    with pytest.raises(StoreError) as caught:
        async with Database.open(file):
            raise AssertionError

    assert caught.value.code == "store_corrupt"
    assert file.read_text().startswith("not a database")


@pytest.mark.parametrize("wrong", ["postgresql://user:secret@host/db", ":memory:", ""])
async def test_stores_that_are_no_files_are_refused_without_their_secrets(wrong: str) -> None:
    with pytest.raises(StoreError) as caught:
        async with Database.open(wrong):
            raise AssertionError

    assert caught.value.code == "store_unsupported"
    assert "secret" not in str(caught.value)


async def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=str(tmp_path)) as caught:
        async with Database.open(tmp_path):
            raise AssertionError

    assert caught.value.code == "store_cannot_open"
