"""Tells waiting tasks of this process that something may have changed; it saves latency and is never relied upon.

Services ring after their transaction, engine and API wait with a timeout and look at the store either way. A ring between two
waits is not lost: each topic has a version, and whoever waits says which version it has seen.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import anyio

#: Rung when the ledger grew (event streams).
LEDGER: Final = "ledger"
#: Rung when a campaign was created, started, paused, resumed or aborted.
CAMPAIGNS: Final = "campaigns"
#: Rung when a person or backend ordered something.
ORDERS: Final = "orders"


class Doorbell:
    """Topics that can be rung and waited for, within one event loop."""

    def __init__(self) -> None:
        self._versions: defaultdict[str, int] = defaultdict(int)
        self._waiting: dict[str, anyio.Event] = {}

    def version(self, topic: str) -> int:
        """How often ``topic`` has rung; read it before looking at the store, and wait for what comes after it."""
        return self._versions[topic]

    def ring(self, topic: str) -> None:
        """Wake all who wait for ``topic``; the next to wait for an older version does not wait."""
        self._versions[topic] += 1
        waiting = self._waiting.pop(topic, None)
        if waiting is not None:
            waiting.set()

    async def wait(self, topic: str, timeout_s: float, *, seen: int | None = None) -> int:
        """Wait until ``topic`` has rung after version ``seen`` (by default: after now), or the time is over.

        Returns:
            The version now: the ``seen`` of the next wait. Equal to ``seen`` when the time was over.
        """
        known = self._versions[topic] if seen is None else seen
        with anyio.move_on_after(timeout_s):
            while self._versions[topic] <= known:
                await self._waiting.setdefault(topic, anyio.Event()).wait()
        return self._versions[topic]
