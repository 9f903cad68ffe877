"""One SQLite connection and the thread that owns it; ``Transaction`` is what the aggregates run their statements on.

Made and pooled by ``Database`` alone. All that touches a connection runs in its own thread, one call after the other: whatever
happens to the task that waits, the next call finds the previous one finished. So a cancelled caller cannot break a connection,
and a transaction that it leaves behind is rolled back before the next one begins.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store.failures import mapped

_PRAGMAS: Final = (
    "PRAGMA synchronous=FULL",  # a returned commit outlives a power cut
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",  # else INSERT OR REPLACE would delete ledger rows behind the trigger's back
    "PRAGMA temp_store=MEMORY",
    "PRAGMA journal_size_limit=67108864",
)

Parameters = Mapping[str, object] | Sequence[Mapping[str, object]]
_T = TypeVar("_T")


class Connection:
    """A connection that begins and ends transactions in its own thread."""

    def __init__(self, file: Path, *, read_only: bool, busy_timeout_s: float) -> None:
        self._file = file
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        self._pragmas = (*_PRAGMAS, "PRAGMA query_only=ON") if read_only else _PRAGMAS
        # AUTOCOMMIT: the engine compiles statements and reads rows; when a transaction begins and ends is decided here.
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(file)),
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": busy_timeout_s},
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-reader" if read_only else "store-writer")
        self._connection: sa.Connection | None = None

    async def call(self, work: Callable[[], _T]) -> _T:
        """Run ``work`` in this connection's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Close the connection and end its thread."""
        await self.call(self._close)
        self._thread.shutdown()

    # -- in the thread

    def begin(self) -> None:
        """Begin a transaction, connecting first when needed."""
        driver = self.driver()
        if driver.in_transaction:  # left behind by a task that was cancelled while it ended its transaction
            driver.rollback()
        driver.execute(self._begin)

    def commit(self) -> None:
        """Commit; durable when this returns."""
        self.driver().execute("COMMIT")

    def roll_back(self) -> None:
        """Leave no transaction open; a connection that cannot even roll back is closed, and ``begin`` makes a new one."""
        if self._connection is None:
            return
        try:
            self.driver().rollback()  # does nothing when SQLite has rolled back by itself, as on a full disk
        except (sqlite3.Error, sa.exc.SQLAlchemyError):
            self._close()

    def connected(self) -> sa.Connection:
        """The connection, made when there is none."""
        if self._connection is None:
            with mapped(f"opening the store {self._file}"):
                connection = self._engine.connect()
                try:
                    for pragma in self._pragmas:
                        connection.exec_driver_sql(pragma)
                except BaseException:
                    connection.close()
                    raise
            self._connection = connection
        return self._connection

    def driver(self) -> sqlite3.Connection:
        """The driver's own connection, for what must be cheap."""
        driver = self.connected().connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError(f"expected a connection of sqlite3, found {type(driver).__name__}")
        return driver

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Transaction:
    """An open transaction of ``Database.read`` or ``Database.write``; outside the store it is only passed on."""

    def __init__(self, connection: Connection) -> None:
        self._open: Connection | None = connection

    def end(self) -> None:
        """Take no more statements: outside its block each of them would be a transaction of its own."""
        self._open = None

    async def fetch(self, statement: sa.Executable, parameters: Parameters | None = None) -> Sequence[sa.Row[Any]]:
        """Run a statement that returns rows, and return all of them: a page, never a table."""
        connection = self._connection()

        def work() -> Sequence[sa.Row[Any]]:
            with mapped("reading the store"):
                return connection.connected().execute(statement, parameters).fetchall()

        return await connection.call(work)

    async def execute(self, statement: sa.Executable, parameters: Parameters | None = None) -> int:
        """Run a statement that changes rows, once per item of a list of ``parameters``; how many rows it changed."""
        connection = self._connection()

        def work() -> int:
            with mapped("writing the store"):
                return connection.connected().execute(statement, parameters).rowcount

        return await connection.call(work)

    def _connection(self) -> Connection:
        if self._open is None:
            raise StoreError("a transaction was used after its end", code="store_bug")
        return self._open
