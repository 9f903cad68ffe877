"""In-memory ends of the engine's ports: a link that keeps what was handed over, a saver that keeps or refuses, a set clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio

from gateway.core.budgets import Bucket
from gateway.core.effects import Save
from gateway.core.plan import Target
from gateway.core.purse import Purse
from gateway.core.terminal import Terminal
from gateway.engine.ports import Inbound
from gateway.errors import StoreError


class Line:
    """A ``Link`` whose far end is a list."""

    def __init__(self, journal: list[str] | None = None) -> None:
        self.connected = True
        self.generation = 1
        self.arrived = 0
        self.reason = ""
        self.counters: Mapping[str, int] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.journal = journal if journal is not None else []
        self.room = anyio.Event()

    async def run(self) -> None:
        """Nothing to keep alive."""
        await anyio.sleep_forever()

    async def receive(self) -> list[Inbound]:
        """Nobody speaks."""
        await anyio.sleep_forever()
        raise AssertionError

    async def publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        """Keep it."""
        await self.publish_many([(topic, payload)], qos=qos)

    async def publish_many(self, messages: Sequence[tuple[str, bytes]], *, qos: int) -> int:
        """Keep them, in order."""
        await anyio.lowlevel.checkpoint()
        self.sent += messages
        self.journal += [f"sent:{topic}@{qos}" for topic, _ in messages]
        return len(messages)

    async def wait_change(self, *, generation: int, connected: bool) -> tuple[int, bool]:
        """It never changes."""
        await anyio.sleep_forever()
        raise AssertionError(generation, connected)

    async def echo(self, timeout_s: float) -> bool:
        """It delivers."""
        return timeout_s >= 0


class Book:
    """A ``Saver`` that writes into a list, or refuses."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.rows: list[Save] = []
        self.failures = 0

    async def save(self, saves: Sequence[Save]) -> None:
        """Keep all, or nothing."""
        await anyio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full")
        self.rows += saves
        self.journal.append("saved")


class SetClock:
    """A clock that the test sets."""

    def __init__(self, now: float = 1000.0) -> None:
        self.time = now

    def now(self) -> float:
        """The time set last."""
        return self.time


class Free:
    """Purses without limits, or with the rates given, filled at once."""

    def __init__(self, *rates: Bucket, gate: Bucket | None = None) -> None:
        self.rates = rates
        self.gate = gate
        self.open: set[str] = set()

    def enter(self, session: Terminal, known: Callable[[str], None]) -> Purse:
        """A new one."""
        assert known is not None
        self.open.add(session.id)
        purse = Purse()
        purse.fill((), self.rates)
        return purse

    def leave(self, terminal: str) -> None:
        """It was open."""
        self.open.remove(terminal)


class Zeros:
    """Packages full of zeros."""

    def open(self, target: Target) -> Zeros:
        """All packages are alike."""
        assert target.size_bytes > 0
        return self

    def read(self, offset: int, length: int) -> bytes:
        """Zeros."""
        assert offset >= 0
        return bytes(length)
