"""One terminal as the gateway knows it: presence, facts, its upgrade, its transfer and the orders under way.

``handle(event, now, jitter)`` is the whole core: it decides and returns effects. What to send follows from the state, so nothing
depends on a message that was sent once (level, not edge): ``outgoing`` repeats orders, ``reports`` takes in what comes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, assert_never

from gateway.core import reports, snapshot
from gateway.core.effects import (
    Append,
    CloseTransfer,
    Effect,
    OpenTransfer,
    SaveOrder,
    SaveTerminal,
    SendReceipt,
    SendWelcome,
)
from gateway.core.estimate import as_wire, estimate_upgrade
from gateway.core.events import Acked, End, Event, Heard, Ordered, Refuse, Start, Tick, Unsure
from gateway.core.outgoing import OpenOrder, Outgoing
from gateway.core.states import HOLDS_PACKAGE, UNDISTURBED, UpgradeState
from gateway.core.transfer.pacing import FixedWindow
from gateway.core.transfer.window import Transfer
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import DROPPABLE, Code, OrderKind
from gateway.wire.messages import (
    SEGMENT_BYTES,
    Ack,
    Facts,
    Hello,
    OpenUpgrade,
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
#: Reports about upgrades that do not exist here are kept too, but only so many of one terminal in one session.
STRAY_REPORTS_MAX: Final = 100
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Settings that hold for all terminals; most go out in the welcome."""

    keepalive_s: int = 60
    reconnect_hint_ms: int = 5_000
    ack_every: int = 8
    ack_delay_ms: int = 100
    chunk_max_bytes: int = 16 * 1024
    shard_epoch: int = 1
    resend_min_s: float = RESEND_MIN_S
    offline_grace_s: float = OFFLINE_GRACE_S


@dataclass(slots=True)
class Terminal:
    """See the module. The engine holds one for every terminal that does something."""

    id: str
    terms: Terms
    epoch: int = 0
    online: bool = False
    seen: float = 0.0
    facts: Facts | None = None
    facts_at: float = 0.0
    upgrade: Upgrade | None = None
    past: dict[str, Upgrade] = field(default_factory=dict)
    """Other upgrades about which the terminal still reports."""
    transfer: Transfer | None = None
    out: Outgoing = field(init=False)

    _offline_at: float = _NEVER
    _asked_at: float = 0.0
    _saved_at: float = 0.0
    _stray: int = 0
    _answered: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    def __post_init__(self) -> None:
        self.out = Outgoing(self.id, self.terms.shard_epoch, self.terms.resend_min_s)

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
        facts, before = self.facts, (self.epoch, self.online, self.out.counter)
        entries = self._dispatch(event, now, jitter, out)
        if not isinstance(event, Tick):
            self.seen = max(self.seen, now)
        sends = self._due(now)

        has_facts = self.facts is not facts
        if has_facts or before != (self.epoch, self.online, self.out.counter):
            out.insert(0, self._save(self.facts if has_facts else None))
        if self.upgrade is not None and (entries or sends):
            out.append(snapshot.save(self.upgrade, self._have_bytes(self.upgrade)))
        return [*out, *entries, *sends]

    def deadline(self) -> float:
        """When a ``Tick`` is due (Unix seconds; infinity: never)."""
        at = min(self._offline_at, self.upgrade.deadline() if self.upgrade is not None else _NEVER)
        return min(at, self.out.deadline(self.upgrade, online=self.online, undisturbed=self._undisturbed))

    # -- what the engine asks besides

    @property
    def holds_place(self) -> bool:
        """Whether it counts against its campaign's concurrency cap: an offline terminal does not."""
        return self.online and self.upgrade is not None and self.upgrade.active

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, so that the engine may forget it."""
        ended = self.upgrade is None or (self.upgrade.final and not self.upgrade.withdrawn)
        return ended and not self.out.orders and self.transfer is None and self._offline_at == _NEVER

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
                order = OpenOrder(event.order, event.kind, event.args, event.expires_at)
                self.out.orders.setdefault(event.order, order)
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
            self.out.send_again()
        self.epoch = epoch
        self.online = True
        self._offline_at = _NEVER

    def _hello(self, hello: Hello, now: float, out: list[Effect]) -> list[Append]:
        out_of_date = hello.epoch < self.epoch
        if not out_of_date:
            self._born(hello.epoch)
            self.out.counter = max(self.out.counter, hello.counter)
            self.facts = hello.facts
            self.facts_at = now
        # A terminal whose epoch was lost learns from the welcome the one to exceed, or it would stay unheard for ever.
        out.append(self._welcome(now))
        if out_of_date:
            return []

        if hello.upgrade is not None:
            self._holds(hello.upgrade)
        upgrade = self.upgrade
        return upgrade.shown(hello.facts.components.get(upgrade.plan.target.component), now) if upgrade is not None else []

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
        if held.phase in DROPPABLE:
            upgrade.withdraw()

    def _report(self, report: Report, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        self._ask_if_offline(now, out)
        self._recall(report.upgrade)
        is_present = self.upgrade is not None and self.upgrade.id == report.upgrade
        upgrade = self.upgrade if is_present else self.past.get(report.upgrade)
        receipt = SendReceipt(terminal=self.id, receipt=Receipt(upgrade=report.upgrade, seqs=(report.seq,)))
        if upgrade is None:
            return self._stray_report(report, receipt, now, out)

        out.append(receipt)
        if reports.known(upgrade, report.seq):
            return []
        entries = reports.take(upgrade, report, now, jitter=jitter)
        if not is_present:
            out.append(snapshot.save(upgrade, self._have_bytes(upgrade)))
        return entries

    def _stray_report(self, report: Report, receipt: SendReceipt, now: float, out: list[Effect]) -> list[Append]:
        """About an upgrade that is not in the store (it was restored from a backup): kept in the ledger all the same."""
        self._stray += 1
        if self._stray > STRAY_REPORTS_MAX:
            return []
        out.append(receipt)
        return [self._entry(report.what.value, report.code, now, {**report.detail, "seq": report.seq}, report.upgrade)]

    def _result(self, result: Result, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        self._ask_if_offline(now, out)
        out.append(SendReceipt(terminal=self.id, receipt=Receipt(orders=(result.order,))))
        if result.order in self._answered:
            return []

        self._answered.append(result.order)
        evidence = {**result.data, "order": result.order, "status": result.status.value, "at_ms": result.at_ms}
        upgrade = self.upgrade
        if upgrade is not None and result.order == upgrade.order:
            return upgrade.order_refused(result.code, evidence, now, jitter=jitter)

        entry = self._entry(f"result:{result.status}", result.code, now, evidence, "")
        if self.out.orders.pop(result.order, None) is not None:
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
        return [entry]

    def _acked(self, ack: Ack, now: float) -> list[Effect]:
        """The short way: nothing is stored but, now and then, how far it has come."""
        transfer, upgrade = self.transfer, self.upgrade
        if transfer is None or upgrade is None or ack.transfer != transfer.id:
            return []

        if transfer.acked(ack, now):
            upgrade.progress_at = now
        self.out.put_off(now)
        if now - self._saved_at < upgrade.plan.progress_every_s:
            return []
        self._saved_at = now
        self._remember(upgrade, transfer)
        return [snapshot.save(upgrade, transfer.held_bytes)]

    def _tick(self, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        if now >= self._offline_at:
            self.online = False
            self._offline_at = _NEVER
        out += self.out.expired(now)
        return self.upgrade.tick(now, online=self.online, jitter=jitter) if self.upgrade is not None else []

    def _unsure(self, now: float, out: list[Effect]) -> None:
        """It was online when last heard of: ask for a hello, and believe it gone if none comes."""
        if self.online:
            self._offline_at = now + UNSURE_S
            self.out.send_again()
            out.append(self._welcome(now, hello=True))

    # -- what is due now

    def _due(self, now: float) -> list[Effect]:
        out: list[Effect] = []
        upgrade = self.upgrade
        if self.online:
            out += self.out.upgrade_order(upgrade, now, self._order_args, lambda: self._welcome(now, hello=True))
            if not self._undisturbed:
                out += self.out.other_orders(now)
        self._keep_transfer(now, out)
        return out

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
                FixedWindow(),
                have_segments=upgrade.have,
                first_number=int(now * 1000),
                first_chunk_blocks=upgrade.plan.first_chunk_blocks,
            )
            out.append(OpenTransfer(terminal=self.id))

    def _order_args(self, kind: OrderKind) -> PlainMap:
        if self.upgrade is None:
            raise AssertionError(kind)
        return self.upgrade.order_args(kind, self._estimate(self.upgrade) if kind is OrderKind.UPGRADE_OFFER else {})

    def _estimate(self, upgrade: Upgrade) -> dict[str, Plain]:
        plan, facts = upgrade.plan, self.facts
        estimate = estimate_upgrade(
            size_bytes=plan.target.size_bytes,
            bytes_left=plan.target.size_bytes,
            goodput=None,
            ask_merchant=plan.ask_merchant,
            model=facts.model if facts is not None else "",
            soak_s=plan.soak_s,
            measured=None,
            state=UpgradeState.SCHEDULED,
            in_state_s=0.0,
            rat=facts.rat if facts is not None else "",
        )
        return dict(as_wire(estimate))

    # -- small things

    @property
    def _undisturbed(self) -> bool:
        return self.upgrade is not None and self.upgrade.state in UNDISTURBED

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

    def _remember(self, upgrade: Upgrade, transfer: Transfer) -> None:
        upgrade.have = transfer.held_segments
        upgrade.sent_bytes = transfer.tally.sent_bytes

    def _have_bytes(self, upgrade: Upgrade) -> int:
        if upgrade is self.upgrade and self.transfer is not None:
            return self.transfer.held_bytes
        size_bytes = upgrade.plan.target.size_bytes
        return size_bytes if upgrade.state in HOLDS_PACKAGE else min(upgrade.have.count * SEGMENT_BYTES, size_bytes)

    def _save(self, facts: Facts | None) -> SaveTerminal:
        return SaveTerminal(
            terminal=self.id,
            epoch=self.epoch,
            online=self.online,
            seen_us=int(self.seen * 1e6),
            counter=self.out.counter,
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
