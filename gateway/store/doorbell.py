"""Tells waiting tasks of this process that something may have changed; it saves latency and is never relied upon.

Services ring after their transaction; engine and API wait with a timeout and look at the store either way. A ring between two
waits of a task is not lost: each topic counts its rings, and each task remembers how many of them it has been told.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio

#: Rung when the ledger grew (event streams).
LEDGER: Final = "ledger"
#: Rung when a campaign was created, started, paused, resumed or aborted.
CAMPAIGNS: Final = "campaigns"
#: Rung when a person or backend ordered something.
ORDERS: Final = "orders"
#: Rung when a budget of bytes was set.
BUDGETS: Final = "budgets"


class Doorbell:
    """Topics that can be rung and waited for, within one event loop."""

    def __init__(self) -> None:
        self._rings: defaultdict[str, int] = defaultdict(int)
        self._waiting: dict[str, anyio.Event] = {}
        self._told: WeakKeyDictionary[asyncio.Task[Any], dict[str, int]] = WeakKeyDictionary()

    def version(self, topic: str) -> int:
        """How often ``topic`` has rung: read it before looking at the store, and wait for what comes after it."""
        return self._rings[topic]

    def ring(self, topic: str) -> None:
        """Wake all who wait for ``topic``, and let those who are about to wait not wait."""
        self._rings[topic] += 1
        waiting = self._waiting.pop(topic, None)
        if waiting is not None:
            waiting.set()

    async def wait(self, topic: str, timeout_s: float, *, seen: int | None = None) -> int:
        """Wait until ``topic`` has rung after version ``seen``, at most ``timeout_s``. Many rings wake once.

        Without ``seen`` it is the version that the calling task was told last; its first wait returns at once when the topic
        has ever rung, since the task cannot know what it has missed.

        Returns:
            The version now; equal to ``seen`` when the time was over.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a doorbell is waited for within a task")
        told = self._told.setdefault(task, {})
        known = told.get(topic, 0) if seen is None else seen
        with anyio.move_on_after(timeout_s):
            while self._rings[topic] <= known:
                await self._waiting.setdefault(topic, anyio.Event()).wait()
        told[topic] = self._rings[topic]
        return told[topic]
