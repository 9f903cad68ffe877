"""A model of the engine: one process of the gateway, with the real core in it, from its links to its commits.

What ``gateway.engine`` does with tasks and awaits is done here with steps in the heap, by the same rules: effects queue in the
order of their events, all that queued during a commit shares the next one, nothing is sent before its commit, a failed commit
costs the sessions that it concerned, and the campaigns look at what is stored. Time is the process's own clock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.core.attendance import Terms
from gateway.core.events import Acked, Event, Heard, Tick, Unsure
from gateway.core.outgoing import OpenOrder
from gateway.core.snapshot import restore
from gateway.core.states import FINAL, UpgradeState
from gateway.core.terminal import Terminal
from gateway.core.upgrade import Upgrade
from gateway.errors import StoreError, WireError
from gateway.wire.codec import decode
from gateway.wire.messages import Ack, Hello, Message, Presence, Report, Result
from tests.simulation.broker import Broker
from tests.simulation.campaigns import Campaigns
from tests.simulation.executor import STORE_RETRY_S, Executor
from tests.simulation.judge import Judge
from tests.simulation.props import RELEASES, Release
from tests.simulation.pump import Pump
from tests.simulation.store import ENDED, Store

#: As in ``engine.dispatcher`` (seconds).
RELOAD_S: Final = 2.0
_NEVER: Final = float("inf")


class Gateway:
    """See the module."""

    def __init__(self, number: int, broker: Broker, store: Store, judge: Judge, *, ahead_s: float = 0.0) -> None:
        """A process that starts now, with a clock that is wrong by ``ahead_s``."""
        self.number = number
        self.name = f"G{number}"
        self.clock = broker.clock
        self.broker = broker
        self.store = store
        self.judge = judge
        self.ahead_s = ahead_s
        self.alive = True
        self.paused_until = 0.0
        self.control_up = self.bulk_up = False
        self.on_death: Callable[[], None] = lambda: None
        self.sessions: dict[str, Terminal] = {}
        self.executor = Executor(self)
        self.pump = Pump(self)
        self.campaigns = Campaigns(self)
        self._timers: dict[str, float] = {}
        self._inbox: list[tuple[str, str, bytes, bool]] = []
        self._terms = Terms(
            shard_epoch=store.raise_epoch(int(self.now)), least_step=store.restored_step, restored_at=store.restored_us / 1e6
        )
        broker.listeners.append(self)
        self.clock.note(self.name, "starts", f"epoch {self.epoch}")
        self._wind_clocks()
        self.connect(self.clock.rng.uniform(0.0, 0.5))

    @property
    def now(self) -> float:
        """What its clock says."""
        return self.clock.now + self.ahead_s

    @property
    def epoch(self) -> int:
        """Its shard epoch."""
        return self._terms.shard_epoch

    # -- life and links

    def kill(self) -> None:
        """All that was not committed is gone."""
        if self.alive:
            self.alive = False
            self.broker.listeners.remove(self)
            self.clock.note(self.name, "killed")
            self.on_death()

    def pause(self, for_s: float) -> None:
        """Everything stops for so long, and then goes on as if nothing had been."""
        self.paused_until = max(self.paused_until, self.clock.now + for_s)
        self.clock.note(self.name, "pauses", f"{for_s:.1f} s")
        self.at(self.paused_until, self._read_on)

    def disconnect(self, *, control: bool, again_s: float) -> None:
        """One of its links breaks, and comes back."""
        if control:
            self.control_up = False
        else:
            self.bulk_up = False
        self.connect(again_s)

    def connect(self, in_s: float) -> None:
        """Try the broker, as often as it takes."""
        self.at(self.clock.now + in_s, self._connected)

    def _connected(self) -> None:
        if not self.broker.is_up:
            self.connect(self.clock.rng.uniform(0.0, 5.0))
            return
        is_new = not self.control_up
        if not self.bulk_up:
            self.bulk_up = True
            self.pump.wake_all()
        if is_new:
            self.control_up = True
            self._ask_all()

    def at(self, at: float, step: Callable[[], None]) -> None:
        """A step of this process: not after its death, and not while it is paused."""

        def run() -> None:
            if not self.alive:
                return
            if self.paused_until > self.clock.now:
                self.clock.at(self.paused_until, run)
            else:
                step()

        self.clock.at(at, run)

    # -- in: as ``engine.dispatcher``

    def heard(self, terminal: str, kind: str, payload: bytes, *, bulk: bool) -> None:
        """See ``broker.Listener``."""
        if not (self.bulk_up if kind == "ack" else self.control_up):
            return
        if self.paused_until > self.clock.now:
            inbox = self._inbox
            if len(inbox) < self.broker.queue_max:
                inbox.append((terminal, kind, payload, bulk))
            elif self.broker.drops != "newest":
                del inbox[: 1 if self.broker.drops == "oldest" else len(inbox)]
                inbox.append((terminal, kind, payload, bulk))
            return
        self._receive(terminal, kind, payload, bulk=bulk)

    def _read_on(self) -> None:
        inbox, self._inbox = self._inbox, []
        for terminal, kind, payload, bulk in inbox:
            self._receive(terminal, kind, payload, bulk=bulk)

    def _receive(self, terminal: str, kind: str, payload: bytes, *, bulk: bool) -> None:
        try:
            message = decode(kind, payload)
        except WireError:
            return
        if isinstance(message, Ack):
            self._take_ack(terminal, message, bulk=bulk)
        elif not bulk and isinstance(message, Presence | Hello | Report | Result):
            try:
                session = self.load(terminal)
                self._load_named(session, message)
            except StoreError:
                return  # what is lost here is said again
            self.apply(session, Heard(message))

    def _take_ack(self, terminal: str, ack: Ack, *, bulk: bool) -> None:
        session = self.sessions.get(terminal)
        if session is None or session.transfer is None:
            if session is None and terminal not in self._timers:
                self._set_timer(terminal, self.now + RELOAD_S)
            return
        if bulk is session.single:
            return
        transfer = session.transfer
        try:
            effects = session.handle(Acked(ack), self.now)
        except WireError:
            return
        if ack.transfer == transfer.id:
            self.judge.acked(transfer, ack)
        self.executor.submit(session, effects)
        self.pump.wake(terminal)

    def apply(self, session: Terminal, event: Event) -> None:
        """Let a session decide, queue what follows, and set its timer."""
        was_online = session.online
        self.judge.hears(self, session, event)
        effects = session.handle(event, self.now, self.clock.rng.random())
        self.judge.decided(self, session, was_online=was_online)
        if isinstance(event, Heard) and isinstance(event.message, Hello):
            self.judge.claimed(session.transfer, event.message.upgrade)
        self.executor.submit(session, effects)
        self._set_timer(session.id, session.deadline())

    def forget(self, terminal: str) -> None:
        """Drop a session whose state is not what the store holds; it is loaded anew a moment later."""
        self.sessions.pop(terminal, None)
        self.pump.close(terminal)
        self._set_timer(terminal, self.now + RELOAD_S)

    def _set_timer(self, terminal: str, at: float) -> None:
        at = max(at, self.now + 0.01)
        if at == self._timers.get(terminal):
            return
        if at == _NEVER:
            self._timers.pop(terminal, None)
            return
        self._timers[terminal] = at
        self.at(at - self.ahead_s, partial(self._ring, terminal, at))

    def _ring(self, terminal: str, at: float) -> None:
        if self._timers.get(terminal) != at:
            return
        del self._timers[terminal]
        session = self.sessions.get(terminal)
        if session is not None:
            self.apply(session, Tick())
            return
        try:
            session = self.load(terminal)
        except StoreError:
            self._set_timer(terminal, self.now + RELOAD_S)
            return
        self.apply(session, Unsure())

    # -- sessions: as ``engine.sessions`` and ``engine.recovery``

    def load(self, name: str) -> Terminal:
        """The session of a terminal; ``StoreError`` when it cannot be read."""
        known = self.sessions.get(name)
        if known is not None:
            return known
        self.store.read()
        row = self.store.terminals[name]
        session = Terminal(
            name,
            self._terms,
            seen=row.seen_us / 1e6,
            facts=row.facts,
            awaits_hello=row.seen_us < self._terms.restored_at * 1e6,
        )
        session.presence.epoch, session.presence.online = row.epoch, row.online
        session.out.counter = row.counter
        upgrade = f"u-{name}"
        state = self.store.upgrades[upgrade].state
        if state not in FINAL and state is not UpgradeState.SCHEDULED:
            session.upgrade = self._stored(upgrade)
        for order in self.store.orders.values():
            if order.terminal == name and order.status not in ENDED:
                session.out.take(OpenOrder(order.id, order.kind, order.args, order.expires_at))
        self.sessions[name] = session
        self.judge.loaded(self, session)
        return session

    def _load_named(self, session: Terminal, message: Message) -> None:
        wanted = ""
        if isinstance(message, Report):
            wanted = message.upgrade
        elif isinstance(message, Hello) and message.upgrade is not None:
            wanted = message.upgrade.id
        if not wanted or wanted in session.past or (session.upgrade is not None and session.upgrade.id == wanted):
            return
        self.store.read()
        row = self.store.upgrades.get(wanted)
        if row is not None and row.terminal == session.id:
            session.past[wanted] = self._stored(wanted)

    def take_upgrade(self, upgrade: str, terminal: str) -> Terminal | None:
        """The session with this upgrade as its present one; ``None`` while another is under way."""
        session = self.load(terminal)
        if session.upgrade is not None and session.upgrade.id == upgrade:
            return session
        if not session.may_swap:
            return None
        session.present(session.past.get(upgrade) or self._stored(upgrade))
        return session

    def _stored(self, upgrade: str) -> Upgrade:
        self.store.read()
        row = self.store.upgrades[upgrade]
        plan = self.release(upgrade).plan
        return restore(
            upgrade,
            row.terminal,
            plan,
            state=row.state,
            attempt=max(1, row.attempt),
            code=row.code,
            snapshot=row.snapshot,
            least_step=self._terms.least_step,
        )

    def release(self, upgrade: str) -> Release:
        """The package of an upgrade."""
        return RELEASES[self.store.upgrades[upgrade].campaign.removeprefix("c-")]

    def _wind_clocks(self) -> None:
        try:
            for row in tuple(self.store.upgrades.values()):
                if row.state not in FINAL and row.state is not UpgradeState.SCHEDULED:
                    self.apply(self.load(row.terminal), Tick())
        except StoreError:
            self.at(self.clock.now + STORE_RETRY_S, self._wind_clocks)

    def _ask_all(self) -> None:
        since = self.now
        try:
            self.store.read()
        except StoreError:
            self.at(self.clock.now + STORE_RETRY_S, self._ask_all)
            return
        for number, row in enumerate(tuple(self.store.terminals.values())):
            if row.online:
                self.at(self.clock.now + number * 0.005, partial(self._ask, row.terminal, since))
        self.campaigns.look()

    def _ask(self, name: str, since: float) -> None:
        try:
            session = self.load(name)
        except StoreError:
            self.at(self.clock.now + STORE_RETRY_S, partial(self._ask, name, since))
            return
        if session.presence.born_at < since:
            self.apply(session, Unsure())
