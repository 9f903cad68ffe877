"""Group commit: whatever was saved while the last commit ran goes into the next one, so many share the cost of one disk flush.

``engine`` calls ``save`` with what one event decided and sends nothing before it returns. ``run`` is started by ``runtime`` in
the root task group. There is no timer: an idle store commits at once, a busy one in larger batches. A save that the database
refuses fails alone when it is at fault itself, else with its whole batch; the writer goes on either way.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Never

import anyio

from gateway.core.effects import Save
from gateway.errors import StoreError
from gateway.store import batch
from gateway.store.database import Database
from gateway.store.failures import OF_THE_ROWS

GROUPS_PER_COMMIT: Final = 500
QUEUED_ROWS_MAX: Final = (
    20_000  # beyond it ``save`` waits: the dispatcher slows down, and terminals repeat what was not receipted
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStatistics:
    """What the writer has done and what waits for it."""

    commits: int
    rows: int
    failed_groups: int
    queued_groups: int
    queued_rows: int
    last_batch_groups: int
    last_batch_rows: int
    largest_batch_rows: int
    last_commit_us: int
    """Wall time of the last commit, the wait for other writers included."""


class _Group:
    """The saves of one ``save`` call, kept or refused together."""

    __slots__ = ("done", "error", "saves")

    def __init__(self, saves: Sequence[Save]) -> None:
        self.saves = saves
        # A bare future: one is made for every report of every terminal, and an event would cost three times as much.
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error: BaseException | None = None


class Writer:
    """The one way for what the core decides into the store."""

    def __init__(
        self, db: Database, *, groups_per_commit: int = GROUPS_PER_COMMIT, queued_rows_max: int = QUEUED_ROWS_MAX
    ) -> None:
        self._db = db
        self._groups_per_commit = groups_per_commit
        self._queued_rows_max = queued_rows_max
        # The queue.
        self._queue: deque[_Group] = deque()
        self._queued_rows = 0
        self._filled = anyio.Event()
        self._room = anyio.Event()
        self._closed = False
        # What was done.
        self._commits = 0
        self._rows = 0
        self._failed_groups = 0
        self._last_batch_groups = 0
        self._last_batch_rows = 0
        self._largest_batch_rows = 0
        self._last_commit_us = 0

    async def save(self, saves: Sequence[Save]) -> None:
        """Keep all of ``saves`` in one transaction, in their order; they are durable when this returns.

        A caller that is cancelled while it waits does not know: what it gave is still written, unless it waited for room.

        Raises:
            StoreError: nothing of ``saves`` was kept.
        """
        if not saves:
            return
        while self._queued_rows >= self._queued_rows_max and not self._closed:
            self._room = anyio.Event() if self._room.is_set() else self._room
            await self._room.wait()
        if self._closed:
            raise _closed()

        group = _Group(saves)
        self._queue.append(group)
        self._queued_rows += len(saves)
        self._filled.set()
        await group.done
        if group.error is not None:
            raise _copy(group.error) from group.error

    async def run(self) -> Never:
        """Commit what is saved until cancelled; then commit what still waits, and refuse what comes later."""
        try:
            while True:
                await self._filled.wait()
                with anyio.CancelScope(shield=True):
                    await self._commit_next()
        finally:
            with anyio.CancelScope(shield=True):
                while self._queue:
                    await self._commit_next()
            self._closed = True
            self._room.set()

    def statistics(self) -> WriterStatistics:
        """The counters now."""
        return WriterStatistics(
            commits=self._commits,
            rows=self._rows,
            failed_groups=self._failed_groups,
            queued_groups=len(self._queue),
            queued_rows=self._queued_rows,
            last_batch_groups=self._last_batch_groups,
            last_batch_rows=self._last_batch_rows,
            largest_batch_rows=self._largest_batch_rows,
            last_commit_us=self._last_commit_us,
        )

    async def _commit_next(self) -> None:
        groups = [self._queue.popleft() for _ in range(min(len(self._queue), self._groups_per_commit))]
        self._queued_rows -= sum(len(group.saves) for group in groups)
        self._room.set()
        if not self._queue:
            self._filled = anyio.Event()
        try:
            await self._commit(groups)
        finally:
            for group in groups:
                if not group.done.done():  # its caller may have been cancelled
                    group.done.set_result(None)

    async def _commit(self, groups: list[_Group]) -> None:
        """Commit ``groups`` as one transaction; when one of them is at fault itself, each by its own."""
        began = time.perf_counter_ns()
        try:
            rows = await self._db.transact(partial(_apply, groups))
        except StoreError as exc:
            if len(groups) > 1 and exc.code in OF_THE_ROWS:
                for group in groups:
                    await self._commit([group])
                return
            self._refuse(groups, exc)
        except BaseException as exc:  # our own bug, or the process ends: nobody may wait for ever
            self._refuse(groups, exc)
            if not isinstance(exc, Exception):
                raise
        else:
            self._count(groups, rows, time.perf_counter_ns() - began)

    def _refuse(self, groups: list[_Group], exc: BaseException) -> None:
        self._failed_groups += len(groups)
        for group in groups:
            group.error = exc

    def _count(self, groups: list[_Group], rows: int, took_ns: int) -> None:
        self._commits += 1
        self._rows += rows
        self._last_batch_groups = len(groups)
        self._last_batch_rows = rows
        self._largest_batch_rows = max(self._largest_batch_rows, rows)
        self._last_commit_us = took_ns // 1000


def _apply(groups: list[_Group], connection: sqlite3.Connection) -> int:
    return batch.apply(connection, [save for group in groups for save in group.saves])


def _copy(error: BaseException) -> StoreError:
    """An error of its own for each waiter: a shared one would gather the tracebacks of all."""
    if isinstance(error, StoreError):
        return StoreError(error.message, code=error.code, **error.facts)
    return StoreError(f"the store's writer failed: {error!r}", code="store_bug")


def _closed() -> StoreError:
    return StoreError("the store's writer has ended: the gateway is shutting down", code="store_closed")
