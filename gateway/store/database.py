"""The open store: one SQLite file, one writer at a time, a few readers; a failed transaction leaves nothing.

Opened once by ``runtime`` (and by tests). Aggregates run their statements inside ``read`` and ``write``; the ``Writer`` hands
whole batches to ``transact``. The write-ahead log lets readers go on while a batch is written. Services may hold a transaction
open over several calls of aggregates, and over nothing else.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from gateway.errors import StoreError
from gateway.store import exclusive, migrate
from gateway.store.connection import Connection, Transaction
from gateway.store.failures import mapped

READERS: Final = 4
BUSY_TIMEOUT_S: Final = 5.0  # only a backup tool or a person's shell can hold the file against us

_T = TypeVar("_T")


class Database:
    """The store of one gateway. Made by ``Database.open``."""

    def __init__(self, file: Path, *, readers: int, busy_timeout_s: float) -> None:
        self.file = file
        self._writer = Connection(file, read_only=False, busy_timeout_s=busy_timeout_s)
        self._readers = [Connection(file, read_only=True, busy_timeout_s=busy_timeout_s) for _ in range(readers)]
        self._idle = list(self._readers)
        self._writing = anyio.Lock()
        self._reading = anyio.Semaphore(readers)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path_or_url: str | os.PathLike[str], *, readers: int = READERS, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> AsyncIterator[Self]:
        """Lock, create or bring up to date, and open the store; close all of it at the end of the block.

        Raises:
            StoreInUseError: another gateway has it open.
            StoreError: it cannot be opened, is damaged, or was written by a newer gateway.
        """
        file = _file_of(path_or_url)
        with exclusive.held(file):
            await anyio.to_thread.run_sync(_prepare, file)
            database = cls(file, readers=readers, busy_timeout_s=busy_timeout_s)
            try:
                with anyio.CancelScope(shield=True):
                    await database._connect()
                yield database
            finally:
                with anyio.CancelScope(shield=True):
                    await database._close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """One consistent view of the store for the length of the block; writing in it fails.

        The block is shielded from cancellation and holds one of a few readers: run statements in it, and wait for nothing else.
        """
        async with self._reading:
            connection = self._idle.pop()
            try:
                with anyio.CancelScope(shield=True):
                    async with _transaction(connection) as transaction:
                        yield transaction
            finally:
                self._idle.append(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """The one write transaction: committed at the end of the block, rolled back when the block raises.

        Every other writer waits meanwhile, and the block is shielded from cancellation: it is never cut in half.
        """
        async with self._writing:
            with anyio.CancelScope(shield=True):
                async with _transaction(self._writer) as transaction:
                    yield transaction

    async def transact(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run ``work`` as one write transaction in one hop to the writer's thread; durable when this returns.

        Raises:
            StoreError: nothing of ``work`` was kept.
        """
        async with self._writing:
            with anyio.CancelScope(shield=True), mapped("writing the store"):
                result = await self._writer.transact(work)
        return result

    async def _connect(self) -> None:
        for connection in (self._writer, *self._readers):
            await connection.open()

    async def _close(self) -> None:
        # Readers first: whoever closes last empties the write-ahead log into the file.
        for connection in (*self._readers, self._writer):
            await connection.close()


@asynccontextmanager
async def reading(source: Database | Transaction) -> AsyncIterator[Transaction]:
    """The transaction that the caller holds, or a new view for these statements alone."""
    if isinstance(source, Transaction):
        yield source
    else:
        async with source.read() as transaction:
            yield transaction


@asynccontextmanager
async def writing(source: Database | Transaction) -> AsyncIterator[Transaction]:
    """The transaction that the caller holds, or a new one for these statements alone."""
    if isinstance(source, Transaction):
        yield source
    else:
        async with source.write() as transaction:
            yield transaction


Source: TypeAlias = Database | Transaction
"""What the functions of the aggregates take: the store, or a transaction that the caller has open."""


@asynccontextmanager
async def _transaction(connection: Connection) -> AsyncIterator[Transaction]:
    transaction = Transaction(connection)
    try:
        with mapped("beginning a transaction"):
            await connection.begin()
        yield transaction
        transaction.end()
        with mapped("ending a transaction"):
            await connection.commit()
    except BaseException:
        transaction.end()
        await connection.roll_back()
        raise


def _file_of(path_or_url: str | os.PathLike[str]) -> Path:
    text = os.fspath(path_or_url)
    for scheme in ("sqlite+aiosqlite:///", "sqlite:///"):
        text = text.removeprefix(scheme)
    if "://" in text:
        scheme = text.split("://", 1)[0]  # never the rest: it may hold a password
        raise StoreError(f"this gateway keeps its store in an SQLite file; it cannot use {scheme}://", code="store_unsupported")
    if text in {"", ":memory:"}:
        raise StoreError("the store needs a file: set store_path", code="store_unsupported")
    return Path(text).absolute()


def _prepare(file: Path) -> None:
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives its other files the same mode
    except OSError as exc:
        raise StoreError(f"cannot open the store {file}: {exc.strerror}", code="store_cannot_open") from exc
    migrate.bring_up(file)
