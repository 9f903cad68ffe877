"""From the link to the core: decode, find the session, let it decide, hand its effects to the executor.

Bad input ends here, counted by reason, without a state change. Unknown terminals end here too, listed in the store. Between
``handle`` and ``submit`` nothing awaits, so a terminal's effects are queued in the order of its events.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

import anyio
import structlog

from gateway.core.events import Acked, Event, Heard, Tick, Unsure
from gateway.core.terminal import Terminal
from gateway.engine.clock import Clock
from gateway.engine.executor import Executor
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
#: Between two writes about strangers (seconds): a flood of them must not keep the writer from the terminals.
NOTE_EVERY_S: Final = 1.0


class Dispatcher:
    """See the module."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        executor: Executor,
        pump: Pump,
        timers: Timers,
        clock: Clock,
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

    def forget(self, terminal: str) -> None:
        """Drop a session whose state is not what the store holds; it is loaded anew a moment later, or when it speaks."""
        self._sessions.drop(terminal)
        self._pump.close(terminal)
        self._timers.set(terminal, self._clock.now() + RELOAD_S)

    async def run_control(self, link: Link) -> None:
        """Never returns: presence, hellos, reports and results."""
        while True:
            batch = await link.receive()
            await self._executor.room()
            found = [pair for pair in map(self._decode, batch) if pair is not None]
            if found and not await self._taken(found):
                await anyio.sleep(STORE_RETRY_S)
                # One by one, so that a damaged row stops its own terminal only; what is lost here is said again.
                for pair in found:
                    self._counters["unloadable"] += not await self._taken([pair])

    async def run_bulk(self, link: Link) -> None:
        """Never returns: acks. They touch nothing but the transfer in memory."""
        while True:
            for inbound in await link.receive():
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
            await self._executor.room()

    async def run_timers(self) -> None:
        """Never returns: deadlines."""
        while True:
            for name in await self._timers.due():
                session = self._sessions.get(name)
                if session is not None:
                    self.apply(session, Tick())
                else:
                    await self._reload(name)
            await self._executor.room()

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
                self.apply(session, Heard(message))
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
        self._executor.submit(session, effects)
        self._pump.wake(session.id)
