"""One SQLite connection, held open by SQLAlchemy over aiosqlite; ``Transaction`` is what the aggregates run statements on.

Made and pooled by ``Database`` alone. aiosqlite gives each connection a thread that runs one call after the other: whatever
happens to the task that waits, the next call finds the previous one finished. When a statement is torn off, SQLAlchemy closes
the connection, which rolls back, and makes a new one for the next. So a cancelled caller can neither break a connection nor
leave a transaction open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.errors import StoreError
from gateway.store.failures import mapped

_PRAGMAS: Final = (
    "PRAGMA synchronous=FULL",  # a returned commit outlives a power cut
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",  # else INSERT OR REPLACE would delete ledger rows behind the trigger's back
    "PRAGMA temp_store=MEMORY",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-512",  # KiB, and there are five of us; what was read lies in the cache of the operating system too
)

Parameters = Mapping[str, object] | Sequence[Mapping[str, object]]
_T = TypeVar("_T")


class Connection:
    """A connection that begins and ends transactions; its users take turns."""

    def __init__(self, file: Path, *, read_only: bool, busy_timeout_s: float) -> None:
        self._file = file
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        self._sql = _engine(file, read_only=read_only, begin=self._begin, busy_timeout_s=busy_timeout_s).connect()

    @property
    def sql(self) -> AsyncConnection:
        """What runs the statements of an open transaction."""
        return self._sql

    async def open(self) -> None:
        """Connect; what is lost later comes back by itself."""
        with mapped(f"opening the store {self._file}"):
            await self._sql.start()

    async def begin(self) -> None:
        """Begin a transaction; one that was left open is rolled back."""
        if self._sql.in_transaction():
            await self.roll_back()
        await self._sql.begin()

    async def commit(self) -> None:
        """Commit; durable when this returns."""
        await self._sql.commit()

    async def roll_back(self) -> None:
        """Leave no transaction open; a connection that cannot even roll back is given up."""
        try:
            await self._sql.rollback()  # does nothing when SQLite has rolled back by itself, as on a full disk
        except (sqlite3.Error, sa.exc.SQLAlchemyError):
            await self._sql.invalidate()

    async def transact(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work`` in the connection's thread as one transaction that the thread itself ends, whoever still waits."""
        driver = await self._driver()
        begin = self._begin

        def whole(connection: sqlite3.Connection) -> _T:
            try:
                connection.execute(begin)
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # found out below
                    connection.rollback()
                raise
            return result

        try:
            return await in_thread(driver, whole)
        except Exception:
            if not _usable(driver):
                await self._sql.invalidate()
            raise

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work`` in the connection's thread, within the transaction that is open."""
        return await in_thread(await self._driver(), work)

    async def _driver(self) -> aiosqlite.Connection:
        held = self._sql.sync_connection
        if held is None or held.invalidated:
            raw = await self._sql.get_raw_connection()  # connects
        else:
            raw = held.connection
        driver = raw.driver_connection
        if not isinstance(driver, aiosqlite.Connection):
            raise TypeError(f"expected a connection of aiosqlite, found {type(driver).__name__}")
        return driver

    async def close(self) -> None:
        """Close the connection and end its thread."""
        if self._sql.sync_connection is not None:  # it was opened
            await self._sql.close()


async def in_thread(driver: aiosqlite.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
    """Run ``work`` in the thread of ``driver``, on the connection that it wraps."""
    # aiosqlite has no public way to run several statements in one hop. A hop for each of begin, one statement per table and
    # commit costs 400 microseconds of CPU more for each commit: three times as much at 50 rows, half as much again at 500.
    result: _T = await driver._execute(work, driver._conn)  # type: ignore[no-untyped-call] # noqa: SLF001 - see above; a test watches the names
    return result


class Transaction:
    """An open transaction of ``Database.read`` or ``Database.write``; outside the store it is only passed on."""

    def __init__(self, connection: Connection) -> None:
        self._open: Connection | None = connection

    def end(self) -> None:
        """Take no more statements: outside its block each of them would be a transaction of its own."""
        self._open = None

    async def fetch(self, statement: sa.Executable, parameters: Parameters | None = None) -> Sequence[sa.Row[Any]]:
        """Run a statement that returns rows, and return all of them: a page, never a table."""
        sql = self._sql()
        with mapped("reading the store"):
            return (await sql.execute(statement, parameters)).fetchall()

    async def execute(self, statement: sa.Executable, parameters: Parameters | None = None) -> int:
        """Run a statement that changes rows, once per item of a list of ``parameters``; how many rows it changed."""
        sql = self._sql()
        with mapped("writing the store"):
            return (await sql.execute(statement, parameters)).rowcount

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run several plain statements in one hop to the connection's thread, as a part of this transaction."""
        connection = self._connection()
        with mapped("writing the store"):
            return await connection.run(work)

    def _sql(self) -> AsyncConnection:
        return self._connection().sql

    def _connection(self) -> Connection:
        if self._open is None:
            raise StoreError("a transaction was used after its end", code="store_bug")
        return self._open


def _usable(driver: aiosqlite.Connection) -> bool:
    """Whether it can begin a transaction."""
    try:
        return not driver.in_transaction
    except (sqlite3.Error, ValueError):  # it is closed
        return False


def _engine(file: Path, *, read_only: bool, begin: str, busy_timeout_s: float) -> AsyncEngine:
    engine = create_async_engine(
        sa.URL.create("sqlite+aiosqlite", database=str(file)),
        poolclass=sa.NullPool,  # the connection is held, and a lost one is made anew
        # Without an isolation level the driver begins nothing by itself: it would begin late, and never IMMEDIATE.
        connect_args={"timeout": busy_timeout_s, "isolation_level": None},
    )
    pragmas = ";".join((*_PRAGMAS, "PRAGMA query_only=ON") if read_only else _PRAGMAS)

    def connected(connection: sa.AdaptedConnection, _record: object) -> None:
        connection.run_async(lambda driver: driver.executescript(pragmas))

    def began(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    sa.event.listen(engine.sync_engine, "connect", connected)
    sa.event.listen(engine.sync_engine, "begin", began)
    return engine
