"""Who is not registered is listed and counted, and a flood of strangers costs one write a second."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio

from gateway.core.admission import Admission
from gateway.core.attendance import Terms
from gateway.core.terminal import Terminal
from gateway.engine.dispatcher import NOTE_EVERY_S, Dispatcher
from gateway.engine.executor import Executor
from gateway.engine.plans import Plans
from gateway.engine.ports import Inbound
from gateway.engine.pump import Pump
from gateway.engine.sessions import Sessions
from gateway.engine.timers import Timers
from gateway.store import terminals
from gateway.store.database import Database
from gateway.trust.keys import KeyRing
from gateway.wire.codec import encode
from gateway.wire.messages import Presence
from gateway.wire.topics import up
from tests.unit.engine.line import Book, Free, Line, SetClock, Zeros


class Mouth(Line):
    """A line on which the batches given are heard, and then nothing."""

    def __init__(self, batches: Sequence[Sequence[str]], clock: SetClock, step_s: float) -> None:
        super().__init__()
        self.batches = list(batches)
        self.clock = clock
        self.step_s = step_s
        self.silent = anyio.Event()

    async def receive(self) -> list[Inbound]:
        """The next batch, later than the one before."""
        if not self.batches:
            self.silent.set()
            await anyio.sleep_forever()
        self.clock.time += self.step_s
        presence = encode(Presence(epoch=1, online=True))
        return [Inbound(up(name, "presence"), presence) for name in self.batches.pop(0)]


def no_transfer(session: Terminal, *, is_open: bool) -> None:
    """Strangers get no packages."""
    raise AssertionError(session, is_open)


async def hear(db: Database, mouth: Mouth) -> Counter[str]:
    """Dispatch all that ``mouth`` says; the counters after it."""
    counters: Counter[str] = Counter()
    sessions = Sessions(db, Plans(db, KeyRing([])), Terms(), counters)
    executor = Executor(
        Book([]),
        mouth,
        bytes(32),
        counters=counters,
        on_transfer=no_transfer,
        on_lost=lambda _terminal: None,
        is_current=sessions.is_current,
        on_committed=lambda: None,
    )
    pump = Pump(mouth, Zeros(), mouth.clock, Free(), on_spent=lambda *_: None, behind=lambda: False, counters=counters)
    dispatcher = Dispatcher(
        db, sessions, executor, pump, Timers(mouth.clock), mouth.clock, Admission(200), counters, random.Random(1)
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run_control, mouth)
        await mouth.silent.wait()
        tasks.cancel_scope.cancel()
    return counters


async def test_a_batch_of_strangers_is_listed_with_how_often_each_spoke(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "tillgate.db") as db:
        counters = await hear(db, Mouth([["A1", "B2", "A1"], ["A1"]], SetClock(), NOTE_EVERY_S))
        found = {stranger.id: stranger.times for stranger in await terminals.unknown(db)}

    assert found == {"A1": 3, "B2": 1}
    assert counters["bad:terminal_unknown"] == 4


async def test_a_flood_of_strangers_is_counted_and_written_once_a_second(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "tillgate.db") as db:
        flood = [[f"X{number:03}"] for number in range(100)]
        counters = await hear(db, Mouth(flood, SetClock(), NOTE_EVERY_S / 32))
        found = {stranger.id for stranger in await terminals.unknown(db)}

    assert found == {"X000", "X032", "X064", "X096"}
    assert counters["bad:terminal_unknown"] == 100
