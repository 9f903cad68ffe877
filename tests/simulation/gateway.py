"""A model of the engine: one process of the gateway, with the real core in it, from its links to its commits.

What ``gateway.engine`` does with tasks and awaits is done here with steps in the heap, by the same rules: effects queue in the
order of their events, all that queued during a commit shares the next one, nothing is sent before its commit, a failed commit
costs the sessions that it concerned, and the campaigns look at what is stored. Time is the process's own clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.core.attendance import Terms
from gateway.core.effects import CloseTransfer, Effect, OpenTransfer, Save, SendOrder, SendReceipt, SendWelcome
from gateway.core.events import Acked, End, Event, Heard, Ordered, Start, Tick, Unsure
from gateway.core.outgoing import OpenOrder
from gateway.core.snapshot import restore
from gateway.core.states import FINAL, REVOCABLE, UpgradeState
from gateway.core.terminal import Terminal
from gateway.core.upgrade import Upgrade
from gateway.errors import StoreError, WireError
from gateway.trust.orders import sign_order
from gateway.wire.codec import decode, encode, encode_chunk
from gateway.wire.codes import Code
from gateway.wire.messages import Ack, Hello, Message, Presence, Report, Result
from tests.simulation.broker import Broker
from tests.simulation.judge import Judge
from tests.simulation.props import ORDER_KEY, RELEASES, Release
from tests.simulation.store import ENDED, Store

#: As in ``engine.dispatcher`` and ``engine.executor`` (seconds).
RELOAD_S: Final = 2.0
STORE_RETRY_S: Final = 1.0
#: As in ``engine.campaigns`` (seconds).
LOOK_EVERY_S: Final = 1.0
_NEVER: Final = float("inf")

_Item = tuple[Terminal, list[Effect]]
_Sent = SendOrder | SendReceipt | SendWelcome


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
        self.readable = True
        """Whether package files can be read."""
        self.dies_in: int | None = None
        """Dies at its commit of this number from now on ..."""
        self.dies_after = False
        """... before it, or after it and before anything of it is sent."""
        self.sleeps_s = 0.0
        """Instead of dying, it stops for so long."""
        self.on_death: Callable[[], None] = lambda: None
        self.sessions: dict[str, Terminal] = {}
        self._queue: list[_Item] = []
        self._committing = False
        self._timers: dict[str, float] = {}
        self._lanes: dict[str, Terminal] = {}
        self._inbox: list[tuple[str, str, bytes, bool]] = []
        self._look_at = _NEVER
        self._terms = Terms(shard_epoch=store.raise_epoch(int(self.now)))
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
        self._at(self.paused_until, self._read_on)

    def disconnect(self, *, control: bool, again_s: float) -> None:
        """One of its links breaks, and comes back."""
        if control:
            self.control_up = False
        else:
            self.bulk_up = False
        self.connect(again_s)

    def connect(self, in_s: float) -> None:
        """Try the broker, as often as it takes."""
        self._at(self.clock.now + in_s, self._connected)

    def _connected(self) -> None:
        if not self.broker.is_up:
            self.connect(self.clock.rng.uniform(0.0, 5.0))
            return
        is_new = not self.control_up
        if not self.bulk_up:
            self.bulk_up = True
            for name in tuple(self._lanes):
                self._pump(name)
        if is_new:
            self.control_up = True
            self._ask_all()

    def _at(self, at: float, step: Callable[[], None]) -> None:
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
                session = self._load(terminal)
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
        self._submit(session, effects)
        self._pump(terminal)

    def apply(self, session: Terminal, event: Event) -> None:
        """Let a session decide, queue what follows, and set its timer."""
        was_online = session.online
        self.judge.hears(self, session, event)
        effects = session.handle(event, self.now, self.clock.rng.random())
        self.judge.decided(self, session, was_online=was_online)
        if isinstance(event, Heard) and isinstance(event.message, Hello):
            self.judge.claimed(session.transfer, event.message.upgrade)
        self._submit(session, effects)
        self._set_timer(session.id, session.deadline())

    def _forget(self, terminal: str) -> None:
        self.sessions.pop(terminal, None)
        self._lanes.pop(terminal, None)
        self._set_timer(terminal, self.now + RELOAD_S)

    def _set_timer(self, terminal: str, at: float) -> None:
        at = max(at, self.now + 0.01)
        if at == self._timers.get(terminal):
            return
        if at == _NEVER:
            self._timers.pop(terminal, None)
            return
        self._timers[terminal] = at
        self._at(at - self.ahead_s, partial(self._ring, terminal, at))

    def _ring(self, terminal: str, at: float) -> None:
        if self._timers.get(terminal) != at:
            return
        del self._timers[terminal]
        session = self.sessions.get(terminal)
        if session is not None:
            self.apply(session, Tick())
            return
        try:
            session = self._load(terminal)
        except StoreError:
            self._set_timer(terminal, self.now + RELOAD_S)
            return
        self.apply(session, Unsure())

    # -- sessions: as ``engine.sessions`` and ``engine.recovery``

    def _load(self, name: str) -> Terminal:
        known = self.sessions.get(name)
        if known is not None:
            return known
        self.store.read()
        row = self.store.terminals[name]
        session = Terminal(name, self._terms, seen=row.seen_us / 1e6, facts=row.facts)
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

    def _take_upgrade(self, upgrade: str, terminal: str) -> Terminal | None:
        session = self._load(terminal)
        if session.upgrade is not None and session.upgrade.id == upgrade:
            return session
        if not session.may_swap:
            return None
        session.present(session.past.get(upgrade) or self._stored(upgrade))
        return session

    def _stored(self, upgrade: str) -> Upgrade:
        self.store.read()
        row = self.store.upgrades[upgrade]
        plan = self._release(upgrade).plan
        return restore(
            upgrade, row.terminal, plan, state=row.state, attempt=max(1, row.attempt), code=row.code, snapshot=row.snapshot
        )

    def _release(self, upgrade: str) -> Release:
        return RELEASES[self.store.upgrades[upgrade].campaign.removeprefix("c-")]

    def _wind_clocks(self) -> None:
        try:
            for row in tuple(self.store.upgrades.values()):
                if row.state not in FINAL and row.state is not UpgradeState.SCHEDULED:
                    self.apply(self._load(row.terminal), Tick())
        except StoreError:
            self._at(self.clock.now + STORE_RETRY_S, self._wind_clocks)

    def _ask_all(self) -> None:
        since = self.now
        try:
            self.store.read()
        except StoreError:
            self._at(self.clock.now + STORE_RETRY_S, self._ask_all)
            return
        for number, row in enumerate(tuple(self.store.terminals.values())):
            if row.online:
                self._at(self.clock.now + number * 0.005, partial(self._ask, row.terminal, since))
        self.look()

    def _ask(self, name: str, since: float) -> None:
        try:
            session = self._load(name)
        except StoreError:
            self._at(self.clock.now + STORE_RETRY_S, partial(self._ask, name, since))
            return
        if session.presence.born_at < since:
            self.apply(session, Unsure())

    # -- campaigns and orders: as ``engine.campaigns`` and ``engine.orders``

    def look(self, in_s: float = 0.0) -> None:
        """Look at what is stored, soon."""
        at = self.clock.now + in_s
        if at < self._look_at:
            self._look_at = at
            self._at(at, partial(self._look, at))

    def _look(self, at: float) -> None:
        if at != self._look_at:
            return
        self._look_at = _NEVER
        if self._queue or self._committing:
            self.look(0.05)  # the rows must show what was decided last time
            return
        try:
            self.store.read()
            for upgrade in tuple(self.store.upgrades):
                self._look_at_one(upgrade)
            for order in tuple(self.store.orders.values()):
                if order.status not in ENDED:
                    self.apply(self._load(order.terminal), Ordered(order.id, order.kind, order.expires_at, order.args))
        except StoreError:
            self.look(STORE_RETRY_S)

    def _look_at_one(self, upgrade: str) -> None:
        row = self.store.upgrades[upgrade]
        if row.campaign in self.store.aborted:
            session = self._take_upgrade(upgrade, row.terminal) if row.state in REVOCABLE else None
            if session is not None:
                self.apply(session, End(Code.CANCELLED_BY_OPERATOR, "operator"))
            return
        if row.state is UpgradeState.SCHEDULED:
            due_s = row.due_us / 1e6 - self.now
            if self.now >= self._release(upgrade).plan.ends_at:
                session = self._take_upgrade(upgrade, row.terminal)
                if session is not None:
                    self.apply(session, End(Code.CAMPAIGN_ENDED, "campaign"))
            elif due_s > 0:
                self.look(due_s + 0.01)
            elif self.store.terminals[row.terminal].online:
                session = self._take_upgrade(upgrade, row.terminal)
                if session is not None:
                    self.apply(session, Start())
            else:
                self.look(max(1.0, self._release(upgrade).plan.ends_at - self.now))

    # -- out: as ``engine.executor``

    def _submit(self, session: Terminal, effects: list[Effect]) -> None:
        if effects:
            self._queue.append((session, effects))
            if not self._committing:
                self._committing = True
                self._at(self.clock.now, self._begin)

    def _begin(self) -> None:
        queue, self._queue = self._queue, []
        items = [item for item in queue if self.sessions.get(item[0].id) is item[0]]
        took_s = self.store.commit_s * self.clock.rng.uniform(0.5, 1.5)
        self._at(self.clock.now + took_s, partial(self._commit, items))

    def _commit(self, items: list[_Item]) -> None:
        saves: list[Save] = []
        sends: list[_Sent] = []
        transfers: list[tuple[Terminal, bool]] = []
        for session, effects in items:
            for effect in effects:
                if isinstance(effect, SendOrder | SendReceipt | SendWelcome):
                    sends.append(effect)
                elif isinstance(effect, OpenTransfer | CloseTransfer):
                    transfers.append((session, isinstance(effect, OpenTransfer)))
                else:
                    saves.append(effect)
        if self._dies(after=False):
            return
        wait_s = 0.0
        if saves and not self._save(items, saves):
            wait_s = STORE_RETRY_S
        elif self._dies(after=True):
            return
        else:
            self._at(self.clock.now, partial(self._let_out, transfers, sends))
            if saves:
                self.look(LOOK_EVERY_S * self.clock.rng.random())
        self._at(self.clock.now + wait_s, self._go_on)

    def _go_on(self) -> None:
        self._committing = bool(self._queue)
        if self._committing:
            self._begin()

    def _dies(self, *, after: bool) -> bool:
        """Whether it was to die, or to stop for long, at this point of this commit."""
        if self.dies_in is None or self.dies_after is not after:
            return False
        self.dies_in -= 1
        if self.dies_in > 0:
            return False
        self.dies_in = None
        if self.sleeps_s:
            self.pause(self.sleeps_s)
            self.on_death()
            return False
        self.kill()
        return True

    def _save(self, items: list[_Item], saves: list[Save]) -> bool:
        try:
            self.store.commit(self.number, saves)
        except StoreError as exc:
            self.clock.note(self.name, "commit fails", exc.message)
            for session, _ in items:
                self._forget(session.id)
            return False
        return True

    def _let_out(self, transfers: list[tuple[Terminal, bool]], sends: list[_Sent]) -> None:
        for session, is_open in transfers:
            self._lanes.pop(session.id, None)
            if is_open:
                self._lanes[session.id] = session
                self._pump(session.id)
        for send in sends:
            self._publish(send)

    def _publish(self, send: _Sent) -> None:
        match send:
            case SendOrder(order=order):
                name, kind, payload = order.terminal, "order", encode(sign_order(order, ORDER_KEY))
                self.clock.note(self.name, f"orders {order.kind}", f"{name} {order.id} #{order.counter}")
            case SendWelcome(terminal=name, welcome=welcome):
                kind, payload = "welcome", encode(welcome)
            case SendReceipt(terminal=name, receipt=receipt):
                kind, payload = "receipt", encode(receipt)
                self.clock.note(self.name, "receipts", f"{name} {receipt.upgrade} {receipt.seqs} {receipt.orders}")
        self.judge.sent(self, send)
        if self.control_up:
            self.broker.down(name, kind, payload, bulk=False)

    # -- chunks: as ``engine.pump``

    def _pump(self, name: str) -> None:
        session = self._lanes.get(name)
        transfer = session.transfer if session is not None else None
        if session is None or transfer is None or not self.bulk_up:
            return
        now, payload = self.now, self._release(f"u-{name}").payload
        while True:
            probes = transfer.meter.probes
            piece = transfer.next_chunk(now)
            if piece is None:
                break
            self.judge.chunk(self, name, transfer, piece, probe=transfer.meter.probes > probes)
            if not self.readable:
                continue
            data = payload[piece.offset_bytes : piece.offset_bytes + piece.length_bytes]
            chunk = encode_chunk(
                transfer=transfer.id, number=piece.number, index=piece.block, stamp_ms=int(now * 1000), data=data
            )
            self.clock.note(self.name, "chunk", f"{name} {piece.number} {piece.block} {zlib.crc32(data):08x}")
            self.broker.down(name, "chunk", chunk, bulk=not session.single)
        if transfer.wake_at < _NEVER:
            self._wake(name, transfer.wake_at)

    def _wake(self, name: str, at: float) -> None:
        """Probes and lapsed brakes are due by time alone; as coarse as the pump's own look."""
        at = max(at, self.now + 0.01)
        key = f"pump {name}"
        if at != self._timers.get(key):
            self._timers[key] = at
            self._at(at - self.ahead_s, partial(self._woken, key, name, at))

    def _woken(self, key: str, name: str, at: float) -> None:
        if self._timers.get(key) == at:
            del self._timers[key]
            self._pump(name)
