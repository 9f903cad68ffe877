"""From the link to the core: decode, find the session, let it decide, hand its effects to the executor.

Bad input ends here, counted by reason, without a state change. Unknown terminals end here too, listed in the store. Between
``handle`` and ``submit`` nothing awaits, so a terminal's effects are queued in the order of its events.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

import anyio
import structlog

from gateway.core.admission import Admission
from gateway.core.events import Acked, Admitted, Event, Heard, Tick, Unsure
from gateway.core.terminal import Terminal
from gateway.engine.clock import Clock
from gateway.engine.executor import Executor
from gateway.engine.patience import PATIENCE_S, Patience
from gateway.engine.ports import Inbound, Link
from gateway.engine.pump import Pump
from gateway.engine.sessions import Sessions
from gateway.engine.timers import Timers
from gateway.errors import StoreError, WireError
from gateway.store import terminals
from gateway.store.database import Database
from gateway.wire.codec import decode
from gateway.wire.messages import Ack, Hello, Message, Presence, Report, Result
from gateway.wire.topics import Address, parse_up

log = structlog.get_logger()

#: Kinds that belong on the control connection; acks alone come on the other, unless the terminal has no other.
CONTROL_KINDS: Final = frozenset({"presence", "hello", "report", "result", "log"})
#: How soon a session that was dropped is loaded again (seconds).
RELOAD_S: Final = 2.0
#: After a failed read of the store (seconds).
STORE_RETRY_S: Final = 1.0
#: Looks at the births that wait at least this often (seconds), in case the clock was stopped.
BIRTHS_EVERY_S: Final = 0.5
#: Sessions handled by time alone between two looks at the queue of commits.
TURN: Final = 64
#: Between two writes about strangers (seconds): a flood of them must not keep the writer from the terminals.
NOTE_EVERY_S: Final = 1.0


class Dispatcher:
    """See the module."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the engine between which it stands
        self,
        db: Database,
        sessions: Sessions,
        executor: Executor,
        pump: Pump,
        timers: Timers,
        clock: Clock,
        births: Admission,
        counters: Counter[str],
        rng: random.Random,
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._executor = executor
        self._pump = pump
        self._timers = timers
        self._clock = clock
        self._counters = counters
        self._rng = rng
        self._note_after = 0.0
        self._births = births
        self._born = anyio.Event()
        self._handled: Counter[str] = Counter()
        self._progress = anyio.Event()

    @property
    def births_waiting(self) -> int:
        """How many new sessions wait for their turn."""
        return len(self._births)

    def apply(self, session: Terminal, event: Event) -> None:
        """Let a session decide, queue what follows, and set its timer. The one place where ``handle`` is called."""
        try:
            effects = session.handle(event, self._clock.now(), self._rng.random())
        except Exception as exc:
            # Our own bug must not stop other terminals: forget the session, its true state is in the store.
            self._counters["handle_failed"] += 1
            log.exception("handle_failed", terminal=session.id, heard=type(event).__name__, reason=str(exc))
            self.forget(session.id)
            return
        self._executor.submit(session, effects)
        self._timers.set(session.id, session.deadline())

    async def room(self) -> None:
        """Return when more may be applied by who was not asked by a terminal."""
        await self._executor.room()

    def forget(self, terminal: str) -> None:
        """Drop a session whose state is not what the store holds; it is loaded anew a moment later, or when it speaks."""
        self._sessions.drop(terminal)
        self._pump.close(terminal)
        self._timers.set(terminal, self._clock.now() + RELOAD_S)

    async def run_control(self, link: Link) -> None:
        """Never returns: presence, hellos, reports and results."""
        while True:
            batch = await link.receive()
            await self._executor.room()  # before anything is decided: reports and receipts are never shed
            found = [pair for pair in map(self._decode, batch) if pair is not None]
            if found and not await self._taken(found):
                await anyio.sleep(STORE_RETRY_S)
                # One by one, so that a damaged row stops its own terminal only; what is lost here is said again.
                for pair in found:
                    self._counters["unloadable"] += not await self._taken([pair])
            self._handle_noted("control", len(batch))

    async def run_bulk(self, link: Link) -> None:
        """Never returns: acks. They touch nothing but the transfer in memory."""
        while True:
            batch = await link.receive()
            for inbound in batch:
                pair = self._decode(inbound)
                if pair is None:
                    continue
                address, message = pair
                session = self._sessions.get(address.terminal)
                if session is None or session.transfer is None or not isinstance(message, Ack):
                    self._unexpected(address, session)
                elif address.bulk is session.single:
                    self._counters["bad:wrong_connection"] += 1
                else:
                    self._take_ack(session, message)
            self._handle_noted("bulk", len(batch))
            await self._executor.room()

    async def run_timers(self, control: Link, bulk: Link) -> None:
        """Never returns: deadlines. No terminal fails by one while its word waits here, or may have been lost to us."""
        patience = Patience((control, bulk), self._clock, lambda: self._executor.behind, self._counters)
        while True:
            names = await self._timers.due()
            for at in range(0, len(names), TURN):
                patience.until()  # a store that is behind now may not be any more below
                await self._executor.caught_up()  # or an order that waits for its commit would be ordered again
                arrived = {"control": control.arrived, "bulk": bulk.arrived}
                while any(self._handled[name] < count for name, count in arrived.items()):
                    await self._progress.wait()
                await self._tick(names[at : at + TURN], patience.until())

    async def run_births(self) -> None:
        """Never returns: gives new sessions their turns, while the store keeps up."""
        while True:
            now = self._clock.now()
            names = [] if self._executor.behind else self._births.turns(now)
            for name in names:
                session = self._sessions.get(name)
                if session is not None:
                    self.apply(session, Admitted(now + PATIENCE_S))
            self._born = anyio.Event()
            wait_s = BIRTHS_EVERY_S if self._executor.behind else min(BIRTHS_EVERY_S, self._births.next_at() - now)
            with anyio.move_on_after(max(wait_s, 0.0)):
                await self._born.wait()

    async def _tick(self, names: Sequence[str], patience_until: float) -> None:
        for name in names:
            session = self._sessions.get(name)
            if session is not None:
                self.apply(session, Tick(patience_until))
            else:
                await self._reload(name)

    def _handle_noted(self, link: str, count: int) -> None:
        """So many messages of a link have been dealt with; whoever waits for that may look."""
        self._handled[link] += count
        self._progress.set()
        self._progress = anyio.Event()

    def _heard(self, session: Terminal, message: Presence | Hello | Report | Result) -> Heard:
        """The event of a message; one that begins a new session asks for its turn."""
        match message:
            case Hello(epoch=epoch) | Presence(epoch=epoch, online=True) if epoch > session.presence.epoch:
                waits = not self._births.join(session.id, self._clock.now())
            case _:
                waits = False
        if waits:
            self._counters["births_held"] += 1
            self._born.set()
        return Heard(message, waits)

    async def _reload(self, name: str) -> None:
        """A session that was dropped, or an ack of a terminal that is not in memory: take it up from what the store holds."""
        try:
            await self._sessions.load([name])
        except StoreError as exc:
            log.warning("reload_failed", terminal=name, reason=str(exc))
            self._timers.set(name, self._clock.now() + RELOAD_S)
            return
        session = self._sessions.get(name)
        if session is not None:
            self.apply(session, Unsure())

    def _decode(self, inbound: Inbound) -> tuple[Address, Message] | None:
        try:
            address = parse_up(inbound.topic)
            message = decode(address.kind, inbound.payload)
        except WireError as exc:
            self._counters[f"bad:{exc.code}"] += 1
            return None

        if not isinstance(message, Ack) and (address.bulk or address.kind not in CONTROL_KINDS):
            self._counters["bad:wrong_connection"] += 1
            return None
        return address, message

    async def _taken(self, found: list[tuple[Address, Message]]) -> bool:
        try:
            await self._take(found)
        except StoreError as exc:
            self._counters["store_failed"] += 1
            log.exception("load_failed", reason=str(exc))
            return False
        return True

    async def _take(self, found: list[tuple[Address, Message]]) -> None:
        unknown = await self._sessions.load(address.terminal for address, _ in found)
        if unknown:
            await self._note(Counter(address.terminal for address, _ in found if address.terminal in unknown))
        for address, message in found:
            if address.terminal in unknown:
                continue
            await self._sessions.load_named(address.terminal, message)
            session = self._sessions.get(address.terminal)
            if session is None:
                continue
            self._counters[f"in:{address.kind}"] += 1
            if isinstance(message, Presence | Hello | Report | Result):
                self.apply(session, self._heard(session, message))
            elif isinstance(message, Ack):
                self._counters["bad:wrong_connection"] += 1  # never subscribed to on this link
            else:
                self._counters["bad:not_asked_for"] += 1  # logs are not ordered yet

    async def _note(self, strangers: Counter[str]) -> None:
        """Count messages of strangers, and list these unless others were listed a moment ago; they will speak again."""
        self._counters["bad:terminal_unknown"] += strangers.total()
        now = self._clock.now()
        if now >= self._note_after:
            self._note_after = now + NOTE_EVERY_S
            await terminals.note_unknown(self._db, strangers, int(now * 1e6))

    def _unexpected(self, address: Address, session: Terminal | None) -> None:
        """An ack that no transfer waits for: of a transfer that has just ended, or of a terminal not in memory yet."""
        self._counters["bad:ack_unexpected"] += 1
        if session is None:
            self._timers.set_unless_set(address.terminal, self._clock.now() + RELOAD_S)

    def _take_ack(self, session: Terminal, ack: Ack) -> None:
        self._counters["in:ack"] += 1
        try:
            effects = session.handle(Acked(ack), self._clock.now())
        except WireError as exc:
            self._counters[f"bad:{exc.code}"] += 1
            return
        except Exception as exc:
            self._counters["handle_failed"] += 1
            log.exception("handle_failed", terminal=session.id, heard="Acked", reason=str(exc))
            self.forget(session.id)
            return
        if effects and self._executor.behind:
            self._counters["shed:progress"] += 1  # the next one says all of it again
        else:
            self._executor.submit(session, effects)
        self._pump.wake(session.id)
