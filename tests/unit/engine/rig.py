"""The engine between a real store in a folder and an in-memory line: the parts as ``gateway.runtime`` plugs them together."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio

from gateway.core.admission import Admission
from gateway.core.attendance import Terms
from gateway.core.budgets import Defaults
from gateway.core.events import BudgetSpent
from gateway.core.terminal import Terminal
from gateway.engine.budgets import Budgets
from gateway.engine.campaigns import Campaigns
from gateway.engine.dispatcher import Dispatcher
from gateway.engine.easing import Easing
from gateway.engine.executor import Executor
from gateway.engine.orders import Orders
from gateway.engine.plans import Plans
from gateway.engine.ports import Inbound
from gateway.engine.pump import Pump
from gateway.engine.recovery import Recovery
from gateway.engine.sessions import Sessions
from gateway.engine.timers import Timers
from gateway.services.terms import Terms as CampaignTerms
from gateway.store import campaigns, packages, terminals, upgrades
from gateway.store.campaigns import CampaignRow
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.store.packages import PackageRow
from gateway.store.terminals import Registration
from gateway.store.writer import Writer
from gateway.trust.keys import KeyRing, new_private_key, public_of
from gateway.trust.manifest import Manifest, sign_manifest
from gateway.wire import topics
from gateway.wire.codec import decode, decode_order, encode, kind_of
from gateway.wire.codes import Component
from gateway.wire.messages import Hello, Message, Order, Presence, Signed
from tests.unit.core.build import FACTS
from tests.unit.engine.line import Line, SetClock, Zeros

NOW: Final = 1_790_000_000.0
SIZE: Final = 1000
NO_BUDGETS: Final = Defaults()
PUBLISHER: Final = new_private_key()
RING: Final = KeyRing([public_of(PUBLISHER)])
MANIFEST: Final = Manifest(
    component=Component.APP,
    version="2.0.0",
    counter=7,
    models=("lakala-4g-esign",),
    size_bytes=SIZE,
    sha256=hashlib.sha256(bytes(SIZE)).digest(),
    segments=(hashlib.sha256(bytes(SIZE)).digest(),),
)


class Air(Line):
    """A line on which the test speaks for terminals."""

    def __init__(self) -> None:
        super().__init__()
        self._inbox: list[Inbound] = []
        self._filled = anyio.Event()

    def shout(self, topic: str, payload: bytes) -> None:
        """Anything from the air."""
        self._inbox.append(Inbound(topic, payload))
        self.arrived += 1
        self._filled.set()

    def say(self, terminal: str, message: Message, *, bulk: bool = False) -> None:
        """A message of a terminal."""
        self.shout(topics.up(terminal, kind_of(message), bulk=bulk), encode(message))

    def appear(self, terminal: str, *, version: str = "1.0.0", epoch: int = 1) -> None:
        """Birth and hello."""
        self.say(terminal, Presence(epoch=epoch, online=True))
        facts = replace(FACTS, components={"app": version})
        self.say(terminal, Hello(epoch=epoch, counter=0, facts=facts))

    async def receive(self) -> list[Inbound]:
        """What was shouted."""
        while not self._inbox:
            self._filled = anyio.Event()
            await self._filled.wait()
        taken, self._inbox = self._inbox, []
        return taken

    def told(self, terminal: str) -> list[Message]:
        """What a terminal was sent."""
        found = [(topics.parse_down(topic), payload) for topic, payload in self.sent]
        return [decode(address.kind, payload) for address, payload in found if address.terminal == terminal]

    def orders(self, terminal: str) -> list[Order]:
        """The orders among it."""
        return [decode_order(message.body) for message in self.told(terminal) if isinstance(message, Signed)]


class Rig:
    """All parts; ``run_*`` loops are started by the tests that want them."""

    def __init__(
        self, db: Database, ring: KeyRing = RING, defaults: Defaults = NO_BUDGETS, births_per_s: float = 200.0
    ) -> None:
        self.db = db
        self.clock = SetClock(NOW)
        self.air = Air()
        self.counters: Counter[str] = Counter()
        self.doorbell = Doorbell()
        self.plans = Plans(db, ring)
        self.sessions = Sessions(db, self.plans, Terms(), self.counters)
        self.writer = Writer(db)
        self.budgets = Budgets(db, self.writer, self.clock, defaults, self.counters)
        self.pump = Pump(
            self.air,
            Zeros(),
            self.clock,
            self.budgets,
            on_spent=lambda session, spent: self.dispatcher.apply(session, BudgetSpent(spent)),
            behind=lambda: self.executor.behind,
            counters=self.counters,
        )
        self.executor = Executor(
            self.writer,
            self.air,
            bytes(32),
            counters=self.counters,
            on_transfer=self._on_transfer,
            on_lost=lambda terminal: self.dispatcher.forget(terminal),  # noqa: PLW0108 - made below
            is_current=self.sessions.is_current,
            on_committed=lambda: None,
        )
        self.timers = Timers(self.clock)
        self.dispatcher = Dispatcher(
            db,
            self.sessions,
            self.executor,
            self.pump,
            self.timers,
            self.clock,
            Admission(births_per_s),
            self.counters,
            random.Random(1),
        )
        self.campaigns = Campaigns(
            db,
            self.sessions,
            self.plans,
            self.dispatcher,
            self.executor,
            self.budgets,
            self.doorbell,
            self.clock,
            self.counters,
        )
        self.easing = Easing(db, self.sessions, self.plans, self.dispatcher, self.executor, self.budgets, self.doorbell)
        self.orders = Orders(db, self.sessions, self.dispatcher, self.doorbell, self.counters)
        self.recovery = Recovery(db, self.sessions, self.dispatcher, self.executor, self.air, self.clock)

    async def register(self, *names: str) -> None:
        """Make terminals known."""
        rows = [Registration(id=name, model="lakala-4g-esign") for name in names]
        await terminals.register(self.db, rows, at_us=int(NOW * 1e6))

    async def campaign(self, *names: str, name: str = "c1", **terms: object) -> None:
        """A running campaign with upgrades ``<name>-1`` and so on."""
        if await packages.get(self.db, "p1") is None:
            await packages.add(
                self.db,
                PackageRow(
                    id="p1",
                    component="app",
                    version="2.0.0",
                    counter=7,
                    models=MANIFEST.models,
                    size_bytes=SIZE,
                    sha256=MANIFEST.sha256.hex(),
                    file="p1",
                    manifest=sign_manifest(MANIFEST, PUBLISHER),
                    uploaded_us=int(NOW * 1e6),
                    uploaded_by="operator:li",
                ),
            )
        await campaigns.create(
            self.db,
            CampaignRow(
                id=name,
                name=name,
                package="p1",
                state="running",
                settings={**CampaignTerms().as_settings(), **terms},
                created_us=int(NOW * 1e6),
                started_us=int(NOW * 1e6),
                created_by="operator:li",
            ),
        )
        await upgrades.create_campaign_upgrades(
            self.db, name, wanted=names, canary=(), at_us=int(NOW * 1e6), actor="operator:li"
        )

    async def look(self) -> None:
        """Let the campaigns look once, and what follows be committed."""
        for row in await campaigns.in_states(self.db, ("running", "paused", "aborted")):
            await self.campaigns._look(row)  # noqa: SLF001 - one look without the wait for the next
        await self.executor.flush()

    async def states(self, *names: str) -> dict[str, str]:
        """The stored states of these terminals' newest upgrades."""
        return {name: (await upgrades.of_terminal(self.db, name))[0].state.value for name in names}

    @asynccontextmanager
    async def running(self, run: Callable[[], Coroutine[object, object, object]]) -> AsyncIterator[None]:
        """With one more loop for the length of the block."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            yield
            tasks.cancel_scope.cancel()

    async def until(self, look: Callable[[], object]) -> None:
        """Let the loops run until something holds."""
        with anyio.fail_after(30):
            while not look():  # noqa: ASYNC110 - the store's threads have no event to wait for
                await anyio.sleep(0.002)

    def _on_transfer(self, session: Terminal, *, is_open: bool) -> None:
        if is_open:
            self.pump.open(session)
        else:
            self.pump.close(session.id)


@asynccontextmanager
async def rigged(
    folder: Path, ring: KeyRing = RING, defaults: Defaults = NO_BUDGETS, births_per_s: float = 200.0
) -> AsyncIterator[Rig]:
    """A rig whose writer, executor and control loop run."""
    async with Database.open(folder / "tillgate.db") as db, anyio.create_task_group() as tasks:
        rig = Rig(db, ring, defaults, births_per_s)
        tasks.start_soon(rig.writer.run)
        tasks.start_soon(rig.executor.run)
        tasks.start_soon(rig.budgets.run)
        tasks.start_soon(rig.dispatcher.run_control, rig.air)
        yield rig
        tasks.cancel_scope.cancel()
