"""One terminal as the gateway knows it: presence, facts, its upgrade, its transfer and the orders under way.

``handle(event, now, jitter)`` is the whole core: it decides and returns effects. What to send follows from the state, so the
same order is repeated with back-off until a report or result answers it, whatever was lost on the way (level, not edge).
Every sending takes a fresh counter under the same order id: the terminal executes an id once and never accepts a counter twice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, assert_never

from gateway.core.effects import (
    Append,
    CloseTransfer,
    Effect,
    OpenTransfer,
    SaveOrder,
    SaveTerminal,
    SendOrder,
    SendReceipt,
    SendWelcome,
)
from gateway.core.estimate import as_wire, estimate_upgrade
from gateway.core.events import Acked, End, Event, Heard, Ordered, Refuse, Start, Tick, Unsure
from gateway.core.states import UpgradeState
from gateway.core.transfer.pacing import FixedWindow, Pacing
from gateway.core.transfer.window import Transfer
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, OrderKind, Phase
from gateway.wire.messages import (
    Ack,
    Facts,
    Hello,
    OpenUpgrade,
    Order,
    Plain,
    PlainMap,
    Presence,
    Receipt,
    Report,
    Result,
    Welcome,
)
from gateway.wire.ranges import RangeSet

#: A death counts after this long, so that a reconnect within it is no outage (seconds).
OFFLINE_GRACE_S: Final = 10.0
#: How long a terminal of unsure presence has to say hello (seconds).
UNSURE_S: Final = 60.0
#: An order is repeated after this long, doubling (seconds).
RESEND_MIN_S: Final = 5.0
RESEND_MAX_S: Final = 300.0
#: An offer is large, and a merchant may think about it for hours.
OFFER_RESEND_MAX_S: Final = 3600.0
#: Validity of one sending of an order, either side of now (milliseconds).
ORDER_EARLY_MS: Final = 300_000
ORDER_LATE_MS: Final = 3_600_000
#: Reports about upgrades that do not exist here are kept too, but only so many of one terminal in one session.
STRAY_REPORTS_MAX: Final = 100
#: While these last, no other order disturbs the terminal.
_UNDISTURBED: Final = frozenset({UpgradeState.INSTALLING, UpgradeState.VERIFYING, UpgradeState.ROLLING_BACK})
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Settings that hold for all terminals; they go out in the welcome."""

    keepalive_s: int = 60
    reconnect_hint_ms: int = 5_000
    ack_every: int = 8
    ack_delay_ms: int = 100
    chunk_max_bytes: int = 16 * 1024
    shard_epoch: int = 1
    resend_min_s: float = RESEND_MIN_S
    offline_grace_s: float = OFFLINE_GRACE_S


@dataclass(slots=True)
class OpenOrder:
    """An order outside any upgrade that has no result yet."""

    id: str
    kind: OrderKind
    args: PlainMap
    expires_at: float
    tries: int = 0
    due_at: float = 0.0


@dataclass(slots=True)
class _Sending:
    """How often the present upgrade order has gone out, and when it is due again."""

    order: str = ""
    tries: int = 0
    due_at: float = _NEVER


@dataclass(slots=True)
class Terminal:
    """See the module. The engine holds one for every terminal that does something."""

    id: str
    terms: Terms
    epoch: int = 0
    online: bool = False
    seen: float = 0.0
    counter: int = 0
    facts: Facts | None = None
    facts_at: float = 0.0
    upgrade: Upgrade | None = None
    past: dict[str, Upgrade] = field(default_factory=dict)
    """Ended upgrades about which the terminal still reports."""
    orders: dict[str, OpenOrder] = field(default_factory=dict)
    transfer: Transfer | None = None

    _offline_at: float = _NEVER
    _asked_at: float = 0.0
    _saved_at: float = 0.0
    _stray: int = 0
    _sending: _Sending = field(default_factory=_Sending)
    _answered: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    # -- the core's two questions

    def handle(self, event: Event, now: float, jitter: float = 0.5) -> list[Effect]:
        """Take in one event; returns what must be stored and then sent.

        Args:
            event: what has happened.
            now: Unix seconds on a clock that never steps back within a process.
            jitter: 0..1, spreads retries of many terminals.
        """
        if isinstance(event, Acked):
            return self._acked(event.ack, now)

        out: list[Effect] = []
        before = (self.epoch, self.online, self.counter)
        facts = self.facts
        entries = self._dispatch(event, now, jitter, out)
        if event.__class__ is not Tick:
            self.seen = max(self.seen, now)
        sends = self._due(now)

        if before != (self.epoch, self.online, self.counter) or facts is not self.facts:
            out.insert(0, self._save(self.facts if facts is not self.facts else None))
        upgrade = self.upgrade
        if upgrade is not None and (entries or sends):
            out.append(upgrade.save(self._have_bytes(upgrade)))
        out += list(entries)
        return out + sends

    def deadline(self) -> float:
        """When a ``Tick`` is due (Unix seconds; infinity: never)."""
        at = self._offline_at
        upgrade = self.upgrade
        if upgrade is not None:
            at = min(at, upgrade.deadline())
            if self.online:
                at = min(at, self._sending.due_at, max(upgrade.order_due_at(), self._sending_floor()))
        if self.orders:
            at = min(at, *(order.expires_at for order in self.orders.values()))
            if self.online and not self._undisturbed():
                at = min(at, *(order.due_at for order in self.orders.values()))
        return at

    @property
    def holds_place(self) -> bool:
        """Whether it counts against its campaign's concurrency cap: an offline terminal does not."""
        return self.online and self.upgrade is not None and self.upgrade.active

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, so that the engine may forget it."""
        ended = self.upgrade is None or (self.upgrade.final and not self.upgrade.withdrawn)
        return ended and not self.orders and self.transfer is None and self._offline_at == _NEVER

    @property
    def may_swap(self) -> bool:
        """Whether another upgrade may become the present one: none is under way."""
        return self.upgrade is None or self.upgrade.final or self.upgrade.state is UpgradeState.SCHEDULED

    def present(self, upgrade: Upgrade) -> None:
        """Make ``upgrade`` the present one; ask ``may_swap`` first."""
        if self.upgrade is not None:
            self.past[self.upgrade.id] = self.upgrade
        self.past.pop(upgrade.id, None)
        self.upgrade = upgrade

    # -- events

    def _dispatch(self, event: Event, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        upgrade = self.upgrade
        match event:
            case Heard(message):
                return self._heard(message, now, jitter, out)
            case Tick():
                return self._tick(now, jitter, out)
            case Unsure():
                self._unsure(now, out)
                return []
            case Start():
                fresh = self.facts if upgrade is not None and now - self.facts_at < upgrade.plan.recheck_s else None
                return upgrade.start(fresh, now) if upgrade is not None else []
            case Refuse(code, evidence):
                return upgrade.refuse(code, evidence, now) if upgrade is not None else []
            case End(code, actor):
                return upgrade.end(code, actor, now) if upgrade is not None else []
            case Ordered():
                if event.order not in self.orders:
                    self.orders[event.order] = OpenOrder(event.order, event.kind, event.args, event.expires_at)
                return []
            case Acked():
                raise AssertionError("acks take the short way")
            case _:
                assert_never(event)

    def _heard(self, message: Presence | Hello | Report | Result, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        match message:
            case Presence():
                self._presence(message, now)
                return []
            case Hello():
                return self._hello(message, now, out)
            case Report():
                return self._report(message, now, jitter, out)
            case Result():
                return self._result(message, now, jitter, out)
            case _:
                assert_never(message)

    def _presence(self, presence: Presence, now: float) -> None:
        """A death of an older epoch than the newest birth is ignored; a true one counts after the grace."""
        if presence.online and presence.epoch >= self.epoch:
            self._born(presence.epoch)
        elif not presence.online and presence.epoch == self.epoch and self.online:
            self._offline_at = now + self.terms.offline_grace_s

    def _born(self, epoch: int) -> None:
        if epoch > self.epoch:
            self._sending.due_at = 0.0  # what was sent to the old session may be lost: send what is due at once
            for order in self.orders.values():
                order.due_at = 0.0
        self.epoch = epoch
        self.online = True
        self._offline_at = _NEVER

    def _hello(self, hello: Hello, now: float, out: list[Effect]) -> list[Append]:
        if hello.epoch < self.epoch:
            # A terminal whose counter was lost must learn the one to exceed, or it stays unheard for ever.
            out.append(self._welcome(now))
            return []

        self._born(hello.epoch)
        self.counter = max(self.counter, hello.counter)
        self.facts = hello.facts
        self.facts_at = now
        out.append(self._welcome(now))
        if hello.upgrade is not None:
            self._holds(hello.upgrade)
        upgrade = self.upgrade
        if upgrade is None:
            return []

        return upgrade.shown(hello.facts.components.get(upgrade.plan.target.component), now)

    def _recall(self, upgrade: str) -> None:
        """The terminal works on an upgrade that is not the present one here: unless another is under way, it is from now on."""
        if upgrade in self.past and self.may_swap and not (self.upgrade is not None and self.upgrade.id == upgrade):
            self.present(self.past[upgrade])

    def _holds(self, held: OpenUpgrade) -> None:
        """What the terminal's journal holds open: resume it, or have it dropped when it has ended here."""
        self._recall(held.id)
        upgrade = self.upgrade
        if upgrade is None or upgrade.id != held.id:
            return

        upgrade.have = RangeSet(held.have)
        if self.transfer is not None:
            self.transfer.claim(upgrade.have)
        if held.phase in _DROPPABLE:
            upgrade.withdraw()

    def _report(self, report: Report, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        self._ask_if_offline(now, out)
        self._recall(report.upgrade)
        current = self.upgrade is not None and self.upgrade.id == report.upgrade
        upgrade = self.upgrade if current else self.past.get(report.upgrade)
        receipt = SendReceipt(terminal=self.id, receipt=Receipt(upgrade=report.upgrade, seqs=(report.seq,)))
        if upgrade is None:
            return self._stray_report(report, receipt, now, out)

        out.append(receipt)
        if upgrade.known(report.seq):
            return []
        entries = upgrade.report(report, now, jitter=jitter)
        if current:
            return entries
        out.append(upgrade.save(self._have_bytes(upgrade)))
        out += entries
        return []

    def _stray_report(self, report: Report, receipt: SendReceipt, now: float, out: list[Effect]) -> list[Append]:
        """About an upgrade that is not in the store (it was restored from a backup): kept in the ledger all the same."""
        self._stray += 1
        if self._stray > STRAY_REPORTS_MAX:
            return []
        out += [receipt, self._entry(report.what.value, report.code, now, {**report.detail, "seq": report.seq}, report.upgrade)]
        return []

    def _result(self, result: Result, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        self._ask_if_offline(now, out)
        out.append(SendReceipt(terminal=self.id, receipt=Receipt(orders=(result.order,))))
        if result.order in self._answered:
            return []

        self._answered.append(result.order)
        evidence = {**result.data, "order": result.order, "status": result.status.value, "at_ms": result.at_ms}
        upgrade = self.upgrade
        if upgrade is not None and result.order == self._upgrade_order():
            return upgrade.order_refused(result.code, evidence, now, jitter=jitter)

        self.orders.pop(result.order, None)
        out.append(
            SaveOrder(
                order=result.order,
                terminal=self.id,
                status=result.status.value,
                code=result.code.value,
                at_us=int(now * 1e6),
                data=result.data,
            )
        )
        out.append(self._entry(f"result:{result.status}", result.code, now, evidence, ""))
        return []

    def _acked(self, ack: Ack, now: float) -> list[Effect]:
        """The short way: nothing is stored but, now and then, how far it has come."""
        transfer, upgrade = self.transfer, self.upgrade
        if transfer is None or upgrade is None or ack.transfer != transfer.id:
            return []

        if transfer.acked(ack, now):
            upgrade.progress_at = now
        self._sending.due_at = now + RESEND_MAX_S  # it has the order, so the order need not be repeated
        if now - self._saved_at < upgrade.plan.progress_every_s:
            return []
        self._saved_at = now
        self._remember(upgrade, transfer)
        return [upgrade.save(transfer.held_bytes)]

    def _tick(self, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        if now >= self._offline_at:
            self.online = False
            self._offline_at = _NEVER
        for order in [order for order in self.orders.values() if now >= order.expires_at]:
            del self.orders[order.id]
            out.append(
                SaveOrder(
                    order=order.id, terminal=self.id, status="expired", code=Code.ORDER_EXPIRED.value, at_us=int(now * 1e6)
                )
            )
        upgrade = self.upgrade
        return upgrade.tick(now, online=self.online, jitter=jitter) if upgrade is not None else []

    def _unsure(self, now: float, out: list[Effect]) -> None:
        """It was online when last heard of: ask for a hello, and believe it gone if none comes."""
        if not self.online:
            return
        self._offline_at = now + UNSURE_S
        self._sending.due_at = 0.0
        out.append(self._welcome(now, hello=True))

    # -- what is due now

    def _due(self, now: float) -> list[Effect]:
        out: list[Effect] = []
        if self.online:
            self._due_upgrade_order(now, out)
            self._due_orders(now, out)
        self._keep_transfer(now, out)
        return out

    def _due_upgrade_order(self, now: float, out: list[Effect]) -> None:
        upgrade = self.upgrade
        kind = upgrade.due_order(now) if upgrade is not None else None
        if upgrade is None or (kind is None and not upgrade.wants_proof):
            self._sending = _Sending()
            return

        order = self._upgrade_order()
        if self._sending.order != order:
            self._sending = _Sending(order, 0, now)
        if now < self._sending.due_at:
            return

        self._sending.tries += 1
        offered = kind is OrderKind.UPGRADE_OFFER
        self._sending.due_at = now + self._backoff(self._sending.tries, OFFER_RESEND_MAX_S if offered else RESEND_MAX_S)
        if kind is None:
            out.append(self._welcome(now, hello=True))  # it says that it is verified: let its facts say so too
            return

        self.counter += 1
        if kind is OrderKind.UPGRADE_TRANSFER and upgrade.transfer == 0:
            upgrade.transfer = self.counter
        out.append(self._order(order, kind, upgrade.order_args(kind, self._estimate(upgrade)), now, _NEVER))

    def _due_orders(self, now: float, out: list[Effect]) -> None:
        if self._undisturbed():
            return
        for order in self.orders.values():
            if now < order.due_at:
                continue
            self.counter += 1
            order.tries += 1
            order.due_at = now + self._backoff(order.tries)
            if order.tries == 1:
                out.append(SaveOrder(order=order.id, terminal=self.id, status="sent", code=Code.OK.value, at_us=int(now * 1e6)))
            out.append(self._order(order.id, order.kind, order.args, now, order.expires_at))

    def _keep_transfer(self, now: float, out: list[Effect]) -> None:
        """A transfer exists exactly while the state is ``transferring`` and the order has named it."""
        upgrade, transfer = self.upgrade, self.transfer
        wanted = upgrade.transfer if upgrade is not None and upgrade.state is UpgradeState.TRANSFERRING else 0
        if transfer is not None and transfer.id != wanted:
            if upgrade is not None:
                self._remember(upgrade, transfer)
            self.transfer = None
            out.append(CloseTransfer(terminal=self.id))
        if upgrade is not None and wanted and self.transfer is None:
            self.transfer = Transfer(
                wanted,
                upgrade.plan.target.size_bytes,
                self._pacing(),
                have_segments=upgrade.have,
                first_number=int(now * 1000),
                first_chunk_blocks=upgrade.plan.first_chunk_blocks,
            )
            out.append(OpenTransfer(terminal=self.id))

    def _pacing(self) -> Pacing:
        return FixedWindow()

    # -- small things

    def _upgrade_order(self) -> str:
        return f"{self.upgrade.id}-{self.upgrade.step}" if self.upgrade is not None else ""

    def _undisturbed(self) -> bool:
        return self.upgrade is not None and self.upgrade.state in _UNDISTURBED

    def _sending_floor(self) -> float:
        """An order that the passing of time makes due is sent once by its own time, then by back-off."""
        return 0.0 if self._sending.order != self._upgrade_order() else self._sending.due_at

    def _backoff(self, tries: int, most_s: float = RESEND_MAX_S) -> float:
        return min(self.terms.resend_min_s * 2.0 ** min(tries - 1, 16), most_s)

    def _order(self, order: str, kind: OrderKind, args: PlainMap, now: float, expires_at: float) -> SendOrder:
        now_ms = int(now * 1000)
        late_ms = now_ms + ORDER_LATE_MS
        return SendOrder(
            order=Order(
                id=order,
                counter=self.counter,
                shard_epoch=self.terms.shard_epoch,
                terminal=self.id,
                kind=kind,
                args=args,
                not_before_ms=now_ms - ORDER_EARLY_MS,
                not_after_ms=late_ms if expires_at == _NEVER else min(late_ms, int(expires_at * 1000)),
            )
        )

    def _welcome(self, now: float, *, hello: bool = False) -> SendWelcome:
        terms = self.terms
        welcome = Welcome(
            epoch=self.epoch,
            now_ms=int(now * 1000),
            keepalive_s=terms.keepalive_s,
            reconnect_hint_ms=terms.reconnect_hint_ms,
            ack_every=terms.ack_every,
            ack_delay_ms=terms.ack_delay_ms,
            chunk_max_bytes=terms.chunk_max_bytes,
            hello=hello,
        )
        return SendWelcome(terminal=self.id, welcome=welcome)

    def _ask_if_offline(self, now: float, out: list[Effect]) -> None:
        """It speaks although it counts as offline: its birth was lost on the way."""
        if not self.online and now - self._asked_at >= self.terms.offline_grace_s:
            self._asked_at = now
            out.append(self._welcome(now, hello=True))

    def _estimate(self, upgrade: Upgrade) -> dict[str, Plain]:
        plan = upgrade.plan
        estimate = estimate_upgrade(
            size_bytes=plan.target.size_bytes,
            bytes_left=plan.target.size_bytes,
            goodput=None,
            ask_merchant=plan.ask_merchant,
            model=self.facts.model if self.facts is not None else "",
            soak_s=plan.soak_s,
            measured=None,
            state=UpgradeState.SCHEDULED,
            in_state_s=0.0,
            rat=self.facts.rat if self.facts is not None else "",
        )
        return dict(as_wire(estimate))

    def _remember(self, upgrade: Upgrade, transfer: Transfer) -> None:
        upgrade.have = transfer.held_segments
        upgrade.sent_bytes = transfer.tally.sent_bytes

    def _have_bytes(self, upgrade: Upgrade) -> int:
        if upgrade is self.upgrade and self.transfer is not None:
            return self.transfer.held_bytes
        size_bytes = upgrade.plan.target.size_bytes
        if upgrade.state in _HOLDS_ALL:
            return size_bytes
        return min(upgrade.have.count * 128 * 1024, size_bytes)

    def _save(self, facts: Facts | None) -> SaveTerminal:
        return SaveTerminal(
            terminal=self.id,
            epoch=self.epoch,
            online=self.online,
            seen_us=int(self.seen * 1e6),
            counter=self.counter,
            facts=facts,
        )

    def _entry(self, what: str, code: Code, now: float, evidence: PlainMap, upgrade: str) -> Append:
        return Append(
            at_us=int(now * 1e6),
            terminal=self.id,
            campaign="",
            upgrade=upgrade,
            actor="terminal",
            what=what,
            from_state="",
            to_state="",
            code=code.value,
            evidence=evidence,
        )


#: Phases in which a terminal can still drop an upgrade.
_DROPPABLE: Final = frozenset(
    {Phase.OFFERED, Phase.ACCEPTED, Phase.POSTPONED, Phase.PREPARING, Phase.READY, Phase.TRANSFERRING, Phase.STAGED}
)
_HOLDS_ALL: Final = frozenset(
    {
        UpgradeState.STAGED,
        UpgradeState.INSTALLING,
        UpgradeState.VERIFYING,
        UpgradeState.SOAKING,
        UpgradeState.SUCCEEDED,
        UpgradeState.ROLLING_BACK,
        UpgradeState.ROLLED_BACK,
    }
)
