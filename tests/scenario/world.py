"""A whole upgrade in virtual time: the real core, the simulated terminals, and models of store, broker and air between them.

One heap of events, one seeded ``Random``: no wall clock, no chance of its own, no order of a set. The same seed gives the same
story, so a failing seed replays exactly. ``World.run`` ends when every upgrade is final and told, or at its limit.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from device_sim.faults import NO_FAULTS, Faults
from device_sim.flash import Flash, SegmentPool
from device_sim.options import Identity, Options
from device_sim.outputs import CloseBulk, ConnectControl, DropControl, OpenBulk, Output, Publish
from device_sim.profiles import load_profile
from device_sim.terminal import Terminal as Device
from gateway.core.attendance import Terms
from gateway.core.effects import CloseTransfer, Effect, OpenTransfer, SaveTerminal, SendOrder, SendReceipt, SendWelcome
from gateway.core.events import Acked, BudgetSpent, Event, Heard, Install, Start, Tick, Unsure
from gateway.core.plan import Plan
from gateway.core.snapshot import restore, save
from gateway.core.states import ACTIVE, FINAL, UpgradeState
from gateway.core.terminal import Terminal
from gateway.core.upgrade import Upgrade
from gateway.errors import WireError
from gateway.trust.orders import sign_order
from gateway.wire.codec import decode, encode
from gateway.wire.messages import Ack, Chunk, Hello, Presence, Report, Result
from tests.scenario.book import Book
from tests.scenario.props import DAY_S, ORDER_KEY, ORDERS, PAYLOAD, PLAN, PUBLISHERS, START, Air, Node
from tests.scenario.till import Till


@dataclass(slots=True)
class World:
    """See the module."""

    seed: int
    air: Air = field(default_factory=Air)
    plan: Plan = PLAN
    terms: Terms = field(default_factory=Terms)
    now: float = START
    nodes: dict[str, Node] = field(default_factory=dict)
    sessions: dict[str, Terminal] = field(default_factory=dict)
    till: Till = field(default_factory=Till)
    book: Book = field(default_factory=Book)
    sent_bytes: dict[str, int] = field(default_factory=dict)
    rng: Random = field(init=False)
    _heap: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: int = 0
    _life: int = 0
    """Raised when the gateway dies: what an older life had under way is gone."""
    _committed_at: float = START
    _due: dict[str, float] = field(default_factory=dict)
    _pool: SegmentPool = field(default_factory=SegmentPool)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        for at in self.air.gateway_kills:
            self._at(START + at, self._kill_gateway)

    # -- setting up

    def add(
        self, name: str, *, model: str = "lakala-4g-esign", options: Options | None = None, faults: Faults = NO_FAULTS
    ) -> Node:
        """A terminal with a scheduled upgrade, switched on within the first minute."""
        identity = Identity(id=name, orders=ORDERS, publishers=PUBLISHERS)
        options = replace(options or Options(), unix_base_ms=0)
        rng = Random(self.rng.random())
        device = Device(
            load_profile(model), identity, Flash(), rng, options=options, faults=faults, pool=self._pool, now=self.now
        )
        node = self.nodes[name] = Node(device)
        self.book.upgrades[f"u-{name}"] = save(Upgrade(f"u-{name}", name, self.plan, since=START), 0)
        self.book.terminals[name] = SaveTerminal(terminal=name, epoch=0, online=False, seen_us=0, counter=0)
        self._load(name)
        self._at(START + self.rng.uniform(0, 60), lambda: self._drive(node, lambda: device.boot(self.now)))
        self._breaks(node, self.air.breaks_per_h, both=True)
        self._breaks(node, self.air.bulk_breaks_per_h, both=False)
        return node

    def run(self, limit_s: float = 6 * DAY_S) -> None:
        """Until every upgrade is final and told, or the limit."""
        steps = 0
        while self._heap:
            at, _, step = heapq.heappop(self._heap)
            if at > START + limit_s:
                break
            self.now = max(self.now, at)
            step()
            steps += 1
            if steps % 512 == 0 and self._settled():
                break
            if steps > 400_000:
                raise AssertionError(f"seed {self.seed}: no end in sight at {self.now - START:.0f} s")

    def state(self, name: str) -> UpgradeState:
        """The stored state of a terminal's upgrade."""
        return self.book.upgrades[f"u-{name}"].state

    def runs(self, name: str) -> str:
        """The version of the component that a terminal really runs, whatever it says."""
        journal = self.nodes[name].device.board.journal
        match journal.get("boot"):
            case (str(active), str(trial), *_):
                match journal.get(f"slot/{trial or active}"):
                    case (dict(versions), _):
                        return str(versions.get("app"))
        raise AssertionError(name)

    def digest(self) -> str:
        """A hash of all that happened."""
        return hashlib.sha256("\n".join(self.book.story).encode()).hexdigest()

    def _settled(self) -> bool:
        return all(
            session.upgrade is not None and self.state(session.id) in FINAL and not session.upgrade.withdrawn
            for session in self.sessions.values()
        )

    def let_install(self, most: int) -> None:
        """The campaign's part for staged upgrades whose time has come: looks for free places every few seconds."""
        here = [(name, one.upgrade) for name, one in self.sessions.items() if one.online and one.upgrade is not None]
        free = max(0, most - sum(upgrade.state in ACTIVE for _, upgrade in here))
        due = [name for name, upgrade in here if upgrade.state is UpgradeState.STAGED and upgrade.not_before <= self.now]
        for name in due[:free]:
            self._apply(name, Install("campaign"))
        self._at(self.now + 5, lambda: self.let_install(most))

    # -- the gateway's side

    def _load(self, name: str) -> None:
        """A session from the store, as ``engine.sessions`` does it."""
        row, terminal = self.book.upgrades[f"u-{name}"], self.book.terminals[name]
        session = Terminal(name, self.terms, facts=terminal.facts)
        session.presence.epoch, session.presence.online = terminal.epoch, terminal.online
        session.out.counter = terminal.counter
        session.upgrade = restore(
            row.upgrade, name, self.plan, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot
        )
        self.sessions[name] = session

    def _kill_gateway(self) -> None:
        """Everything that was not committed is gone; the next life asks those that were online."""
        self.book.story.append(f"{self.now:.3f} gateway killed")
        self._life += 1
        for name in self.sessions:
            self._load(name)
            self._due.pop(name, None)
        for name in self.sessions:
            self._at(self.now + self.rng.uniform(0.5, 3.0), partial(self._apply, name, Unsure()))

    def _apply(self, name: str, event: Event) -> None:
        session = self.sessions[name]
        effects = session.handle(event, self.now, self.rng.random())
        self._commit(name, effects)
        upgrade = session.upgrade
        if upgrade is not None and session.online and upgrade.state is UpgradeState.SCHEDULED:
            if self.now >= upgrade.not_before:
                self._commit(name, session.handle(Start(), self.now))
            if upgrade.state is UpgradeState.SCHEDULED:  # not yet, or not ready
                self._once(f"start:{name}", upgrade.not_before, lambda: self._apply(name, Tick()))
        self._once(f"tick:{name}", session.deadline(), lambda: self._apply(name, Tick()))

    def _once(self, key: str, at: float, step: Callable[[], None]) -> None:
        """One pending wake-up per key, at the earliest time asked for."""
        at = max(at, self.now + 0.01)
        if at == float("inf") or self._due.get(key, float("inf")) <= at:
            return

        self._due[key] = at

        def wake() -> None:
            if self._due.get(key) == at:
                del self._due[key]
                step()

        self._at(at, wake)

    def _commit(self, name: str, effects: list[Effect]) -> None:
        """Durable a few milliseconds later, and only then sent."""
        if not effects:
            return
        life = self._life

        def committed() -> None:
            if life != self._life:
                return  # it died before the commit
            for effect in self.book.keep(name, effects, self.now):
                self._send(name, effect)

        # One writer: commits keep their order.
        self._committed_at = max(self._committed_at, self.now) + self.rng.uniform(0.0005, 0.004)
        self._at(self._committed_at, committed)

    def _send(self, name: str, effect: Effect) -> None:
        match effect:
            case SendOrder(order=order):
                self._down(name, "order", encode(sign_order(order, ORDER_KEY)))
            case SendWelcome(welcome=welcome):
                self._down(name, "welcome", encode(welcome))
            case SendReceipt(receipt=receipt):
                self._down(name, "receipt", encode(receipt))
            case OpenTransfer() | CloseTransfer():
                self._pump(name)

    def _pump(self, name: str) -> None:
        """The pump and the bearer's one queue: chunks arrive in order, one after the other, or are lost."""
        session, node = self.sessions[name], self.nodes[name]
        transfer = session.transfer
        if transfer is None:
            return
        while (piece := self.till.next_chunk(name, transfer, self.now)) is not None:
            data = PAYLOAD[piece.offset_bytes : piece.offset_bytes + piece.length_bytes]
            self.sent_bytes[name] = self.sent_bytes.get(name, 0) + len(data)
            chunk = Chunk(
                transfer=transfer.id, number=piece.number, index=piece.block, stamp_ms=int(self.now * 1000), data=data
            )
            connection, arrives_at = node.control if session.single else node.bulk, node.behind(len(data), self.now, self.air)
            if self.rng.random() >= self.air.lose_chunk:
                node.queue(connection, len(data))
                self._at(arrives_at, partial(node.queue, connection, -len(data)))
                self._at(arrives_at, partial(self._arrive, node, "chunk", encode(chunk), connection, bulk=not session.single))
        if spent := self.till.spent(name):
            self._apply(name, BudgetSpent(spent))
        elif transfer.wake_at < float("inf"):
            self._once(f"pump:{name}", transfer.wake_at, lambda: self._pump(name))

    # -- the air

    def _down(self, name: str, kind: str, payload: bytes) -> None:
        node = self.nodes[name]
        if not node.control or self.rng.random() < self.air.lose_control:
            return
        connection = node.control
        for _ in range(2 if self.rng.random() < self.air.duplicate else 1):
            at = self.now + self.air.delay_s * self.rng.uniform(0.8, 1.5)
            if self.sessions[name].single:  # it stands behind the chunks
                at = node.behind(len(payload), self.now, self.air)
            self._at(at, lambda: self._arrive(node, kind, payload, connection, bulk=False))

    def _arrive(self, node: Node, kind: str, payload: bytes, connection: int, *, bulk: bool) -> None:
        if connection and connection == (node.bulk if bulk else node.control):
            self._drive(node, lambda: node.device.on_message(kind, payload, bulk, self.now))

    def _up(self, name: str, kind: str, payload: bytes, *, bulk: bool) -> None:
        """To the gateway; what it does not decode, it drops."""
        lost = self.rng.random() < (self.air.lose_ack if kind == "ack" else self.air.lose_control)
        for _ in range(0 if lost else 2 if self.rng.random() < self.air.duplicate else 1):
            at = self.now + self.air.delay_s * self.rng.uniform(0.8, 1.5)
            self._at(at, lambda: self._received(name, kind, payload, bulk=bulk))

    def _received(self, name: str, kind: str, payload: bytes, *, bulk: bool = False) -> None:
        try:
            message = decode(kind, payload)
        except WireError:
            return
        if isinstance(message, Ack):
            if bulk is self.sessions[name].single:
                return  # as the dispatcher does
            try:
                self._commit(name, self.sessions[name].handle(Acked(message), self.now))
            except WireError:
                return
            self._pump(name)
        elif isinstance(message, Presence | Hello | Report | Result):
            self._apply(name, Heard(message))

    # -- the terminals' side

    def _drive(self, node: Node, step: Callable[[], None]) -> None:
        """One input to a terminal, then its outputs, then its next deadline."""
        step()
        for output in node.device.take():
            self._output(node, output)
        at = node.device.deadline(self.now)
        if at is not None:
            self._once(f"device:{node.device.id}", at, lambda: self._drive(node, lambda: node.device.on_time(self.now)))

    def _output(self, node: Node, output: Output) -> None:
        name = node.device.id
        match output:
            case Publish(kind=kind, payload=payload, bulk=bulk):
                if node.bulk if bulk else node.control:
                    self._up(name, kind, payload, bulk=bulk)
            case ConnectControl(will=will):
                self._number += 1
                asked = node.asked_control = self._number
                self._at(self.now + 2 * self.air.delay_s, lambda: self._control_up(node, asked, will))
            case DropControl(abort=abort):
                self._control_down(node, tell=False, will=abort)
            case OpenBulk():
                self._number += 1
                asked = node.asked_bulk = self._number
                self._at(self.now + 2 * self.air.delay_s, lambda: self._bulk_up(node, asked))
            case CloseBulk():
                node.bulk = node.asked_bulk = 0
            case _:
                pass

    def _control_up(self, node: Node, asked: int, will: bytes) -> None:
        if node.asked_control == asked:
            node.control = asked
            self._wills[node.device.id] = will
            self._drive(node, lambda: node.device.on_control_up(self.now))

    def _bulk_up(self, node: Node, asked: int) -> None:
        if node.asked_bulk == asked:
            node.bulk = asked
            self._drive(node, lambda: node.device.on_bulk_up(self.now))

    _wills: dict[str, bytes] = field(default_factory=dict)

    def _control_down(self, node: Node, *, tell: bool, will: bool) -> None:
        had, asked = node.control, node.asked_control
        node.control = node.asked_control = 0
        name = node.device.id
        if had and will and name in self._wills:
            payload = self._wills.pop(name)
            self._at(self.now + self.rng.uniform(0.01, 90), lambda: self._received(name, "presence", payload))
        if asked and tell:
            self._drive(node, lambda: node.device.on_control_down(self.now))

    def _breaks(self, node: Node, per_h: float, *, both: bool) -> None:
        """Break the bulk connection, or both, again and again."""
        if not per_h:
            return

        def broken() -> None:
            self._break_bulk(node)
            if both:
                self._control_down(node, tell=True, will=True)
            self._breaks(node, per_h, both=both)

        self._at(self.now + self.rng.expovariate(per_h / 3600), broken)

    def _break_bulk(self, node: Node) -> None:
        asked, node.bulk, node.asked_bulk = node.asked_bulk, 0, 0
        if asked:
            self._drive(node, lambda: node.device.on_bulk_down(self.now))

    def _at(self, at: float, step: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at, self._number, step))
