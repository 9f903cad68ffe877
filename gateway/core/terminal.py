"""One terminal as the gateway knows it: presence, facts, its upgrade, its transfer and the orders under way.

``handle(event, now, jitter)`` is the whole core. What to send follows from the state, so nothing depends on a message that was
sent once (level, not edge): ``outgoing`` repeats orders, ``reports`` takes in what comes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gateway.core import decisions, hellos, reports, restored, snapshot
from gateway.core.attendance import Attendance, Terms
from gateway.core.effects import Append, CloseTransfer, Effect, OpenTransfer, SaveOrder, SaveTerminal, SendReceipt, SendWelcome
from gateway.core.events import Acked, Admitted, Decided, Event, Heard, Ordered, Tick, Unsure
from gateway.core.order_args import order_args
from gateway.core.outgoing import OpenOrder, Outgoing
from gateway.core.shedding import Note, Quota
from gateway.core.single import SingleTransfer
from gateway.core.states import UNDISTURBED, UpgradeState
from gateway.core.transfer.window import Transfer
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import CLOCK_WRONG, Code
from gateway.wire.messages import Ack, Facts, Hello, OpenUpgrade, PlainMap, Presence, Receipt, Report, Result

#: Reports and results about what does not exist here are kept too, but only so many of each of one terminal in one session.
STRAY_REPORTS_MAX: Final = 100
_NEVER: Final = float("inf")


@dataclass(slots=True)
class Terminal:
    """See the module. The engine holds one for every terminal that does something."""

    id: str
    terms: Terms
    presence: Attendance = field(init=False)
    seen: float = 0.0
    facts: Facts | None = None
    facts_at: float = 0.0
    upgrade: Upgrade | None = None
    past: dict[str, Upgrade] = field(default_factory=dict)
    """Other upgrades about which the terminal still reports."""
    transfer: Transfer | None = None
    out: Outgoing = field(init=False)
    waiting: bool = False
    """Its session has begun, and what that calls for waits until it is ``Admitted``: nothing is sent, and no deadline runs."""
    awaits_hello: bool = False
    """The store was restored since it was last heard: it is sent no order before it has shown how far it is."""
    _saved_at: float = 0.0
    _stray: int = 0
    _strays: Quota = field(default_factory=lambda: Quota(STRAY_REPORTS_MAX))
    _answered: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    def __post_init__(self) -> None:
        self.presence = Attendance(self.terms)
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
        facts, before = self.facts, (self.presence.epoch, self.online, self.out.counter)
        if self.upgrade is not None and facts is not None:
            self.upgrade.zone = facts.time_zone
        entries = self._dispatch(event, now, jitter, out)
        if isinstance(event, Heard):
            # As before while the question of ``restored`` is open, or the next start would take it for answered.
            self.seen = self.seen if self.awaits_hello else max(self.seen, now)
            self.waiting = self.waiting or event.waits
        sends = self._due(now)

        has_facts = self.facts is not facts
        if has_facts or before != (self.presence.epoch, self.online, self.out.counter):
            out.insert(0, self._save(self.facts if has_facts else None))
        if self.upgrade is not None and (entries or sends):
            out.append(snapshot.save(self.upgrade, self._have_bytes(self.upgrade)))
        return [*out, *entries, *sends]

    def deadline(self) -> float:
        """When a ``Tick`` is due (Unix seconds; infinity: never)."""
        if self.waiting:
            return min(self.presence.due_at, self._tell_at, self.out.deadline(None, online=False, undisturbed=True))
        at = min(self.presence.due_at, self.upgrade.deadline() if self.upgrade is not None else _NEVER, self._tell_at)
        hears = self.online and not self.awaits_hello
        return min(at, self.out.deadline(self.upgrade, online=hears, undisturbed=self._undisturbed))

    # -- what the engine asks besides

    @property
    def online(self) -> bool:
        """Whether it counts as here."""
        return self.presence.online

    @property
    def single(self) -> bool:
        """Whether it has one connection for everything, as its newest hello says: where chunks go and acks come from."""
        return self.facts is not None and self.facts.single_connection

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, so that the engine may forget it."""
        ended = self.upgrade is None or (self.upgrade.final and not self.upgrade.withdrawn)
        waits = min(self.presence.deadline, self._tell_at) != _NEVER
        return ended and not self.out.orders and self.transfer is None and not waits

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
        if isinstance(event, Decided):
            fresh = self.facts if self.upgrade is not None and now - self.facts_at < self.upgrade.plan.recheck_s else None
            return decisions.carry_out(self.upgrade, event, fresh, now, jitter)
        match event:
            case Heard(Presence() as presence):
                if self.presence.take(presence, now):
                    self.out.send_again()
                return []
            case Heard(Hello() as hello):
                return self._hello(hello, now, out)
            case Heard(Report() as report):
                return self._report(report, now, jitter, out)
            case Heard(Result() as result):
                return self._result(result, now, jitter, out)
            case Tick() | Admitted():
                self.waiting = self.waiting and isinstance(event, Tick)
                return self._tick(event, now, jitter, out)
            case Unsure():
                self._unsure(now, out)
                return []
            case Ordered():
                self.out.take(OpenOrder(event.order, event.kind, event.args, event.expires_at))
                out += self.out.expired(now)
                return []
            case _:
                raise AssertionError(event)  # acks take the short way

    def _hello(self, hello: Hello, now: float, out: list[Effect]) -> list[Append]:
        is_current = hello.epoch >= self.presence.epoch
        if self.presence.born(hello.epoch, now):
            self.out.send_again()
        # A terminal whose epoch was lost learns from the welcome the one to exceed, or it would stay unheard for ever.
        out.append(self._welcome(now))
        if not is_current:
            return []

        self.out.counter = max(self.out.counter, hello.counter)
        self.facts, self.facts_at = hello.facts, now
        entries = self._holds(hello.upgrade, now) if hello.upgrade is not None else []
        self.awaits_hello = False
        return entries + (hellos.shown(self.upgrade, hello, now) if self.upgrade is not None else [])

    def _recall(self, upgrade: str) -> None:
        """The terminal works on an upgrade that is not the present one here: unless another is under way, it is from now on."""
        if upgrade in self.past and self.may_swap and not (self.upgrade is not None and self.upgrade.id == upgrade):
            self.present(self.past[upgrade])

    def _holds(self, held: OpenUpgrade, now: float) -> list[Append]:
        """What the terminal's journal holds open: resume it, or have it dropped when it has ended here."""
        self._recall(held.id)
        if self.upgrade is None or self.upgrade.id != held.id:
            return []
        hellos.held(self.upgrade, held)
        if self.transfer is not None:
            self.transfer.claim(self.upgrade.have)
        return restored.catch_up(self.upgrade, held, now) if self.awaits_hello else []

    def _report(self, report: Report, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        if self.presence.should_ask(now, anyway=self.awaits_hello):
            out.append(self._welcome(now, hello=True))
        self._recall(report.upgrade)
        is_present = self.upgrade is not None and self.upgrade.id == report.upgrade
        upgrade = self.upgrade if is_present else self.past.get(report.upgrade)
        receipt = SendReceipt(terminal=self.id, receipt=Receipt(upgrade=report.upgrade, seqs=(report.seq,)))
        if upgrade is None:  # the store was restored from a backup, or nobody here ever heard of it: kept all the same
            out.append(receipt)
            entry = self._entry(report.what.value, report.code, now, {**report.detail, "seq": report.seq}, report.upgrade)
            return self._strays.sift(report.what, [entry], now, self._shed(now))

        out.append(receipt)
        if reports.known(upgrade, report.seq):
            return []
        entries = reports.sifted(upgrade, report, now, jitter=jitter)
        if not is_present and entries:
            out.append(snapshot.save(upgrade, self._have_bytes(upgrade)))
        return entries

    def _result(self, result: Result, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        if self.presence.should_ask(now, anyway=self.awaits_hello):
            out.append(self._welcome(now, hello=True))
        elif result.code in CLOCK_WRONG:
            out.append(self._welcome(now))  # or it would refuse every repetition too
        answer = f"{result.order}/{result.code}"
        upgrade, order = self.upgrade, self.out.close(result.order)
        is_repeat = answer in self._answered and order is None
        is_present = upgrade is not None and result.order == upgrade.order
        self._stray += not (is_repeat or is_present or order)
        if self._stray > STRAY_REPORTS_MAX and not (is_repeat or is_present or order):
            return []

        out.append(SendReceipt(terminal=self.id, receipt=Receipt(orders=(result.order,))))
        if is_repeat:
            return []
        self._answered.append(answer)
        evidence = {**result.data, "order": result.order, "status": result.status.value, "at_ms": result.at_ms}
        if upgrade is not None and is_present:
            return upgrade.order_refused(result.code, evidence, now, jitter=jitter)
        if order is not None:
            status, code, data = result.status.value, result.code.value, result.data
            at_us = int(now * 1e6)
            out.append(SaveOrder(order=order.id, terminal=self.id, status=status, code=code, at_us=at_us, data=data))
        return [self._entry(f"result:{result.status}", result.code, now, evidence, "")]

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
        upgrade.remember(transfer.held_segments, transfer.meter.pack(now))
        return [snapshot.save(upgrade, transfer.held_bytes), snapshot.cost(upgrade, transfer, now)]

    def _tick(self, event: Tick | Admitted, now: float, jitter: float, out: list[Effect]) -> list[Append]:
        if self.presence.tick(now):
            out.append(self._welcome(now, hello=True))
        out += self.out.expired(now)
        entries = self._strays.tell_due(now, self._shed(now))
        for past in self.past.values():
            if told := past.quota.tell_due(now, past.shed(now)):
                entries += told
                out.append(snapshot.save(past, self._have_bytes(past)))
        if self.upgrade is not None:
            entries += self.upgrade.quota.tell_due(now, self.upgrade.shed(now))
            if not self.waiting:
                self.upgrade.bear(event.patience_until)
                entries += self.upgrade.tick(now, online=self.online, jitter=jitter)
        return entries

    def _unsure(self, now: float, out: list[Effect]) -> None:
        """It was online when last heard of: ask for a hello, and believe it gone if none comes."""
        if self.online:
            self.presence.doubt(now)
            self.out.send_again()
            out.append(self._welcome(now, hello=True))

    # -- what is due now

    def _due(self, now: float) -> list[Effect]:
        out: list[Effect] = []
        upgrade = self.upgrade
        if self.online and not (self.waiting or self.awaits_hello):
            out += self.out.upgrade_order(
                upgrade,
                now,
                lambda present, kind: order_args(present, kind, self.facts),
                lambda: self._welcome(now, hello=True),
            )
            if not self._undisturbed:
                out += self.out.other_orders(now)
        self._keep_transfer(now, out)
        return out

    def _keep_transfer(self, now: float, out: list[Effect]) -> None:
        """A transfer exists exactly while the state is ``transferring`` and its order named it; on a new way it begins anew."""
        upgrade, transfer = self.upgrade, self.transfer
        wanted = upgrade.transfer if upgrade is not None and upgrade.state is UpgradeState.TRANSFERRING else 0
        if transfer is not None and transfer.id != wanted:
            if upgrade is not None:
                upgrade.have = transfer.held_segments
                upgrade.meter = None
                out.append(snapshot.cost(upgrade, transfer, now, ended=upgrade.state.value))
            self.transfer = None
            out.append(CloseTransfer(terminal=self.id))
        elif transfer is not None and upgrade is not None and isinstance(transfer, SingleTransfer) is not self.single:
            upgrade.remember(transfer.held_segments, transfer.meter.pack(now))
            self.transfer = None
            out.append(CloseTransfer(terminal=self.id))
        if upgrade is not None and wanted and self.transfer is None and not self.waiting:
            self.transfer = snapshot.resume(upgrade, self.terms, now, single=self.single)
            out.append(OpenTransfer(terminal=self.id))

    # -- small things

    @property
    def _undisturbed(self) -> bool:
        return self.upgrade is not None and self.upgrade.state in UNDISTURBED

    @property
    def _tell_at(self) -> float:
        """When the ledger must hear of reports that were only counted."""
        present = self.upgrade.quota.due_at if self.upgrade is not None else _NEVER
        return min(present, self._strays.due_at, *(past.quota.due_at for past in self.past.values()))

    def _shed(self, now: float) -> Note:
        return lambda evidence: self._entry("reports_shed", Code.OK, now, evidence, "", actor="gateway")

    def _welcome(self, now: float, *, hello: bool = False) -> SendWelcome:
        return SendWelcome(terminal=self.id, welcome=self.terms.welcome(self.presence.epoch, now, hello=hello))

    def _have_bytes(self, upgrade: Upgrade) -> int:
        return self.transfer.held_bytes if upgrade is self.upgrade and self.transfer is not None else upgrade.verified_bytes

    def _save(self, facts: Facts | None) -> SaveTerminal:
        return SaveTerminal(
            terminal=self.id,
            epoch=self.presence.epoch,
            online=self.online,
            seen_us=int(self.seen * 1e6),
            counter=self.out.counter,
            facts=facts,
        )

    def _entry(self, what: str, code: Code, now: float, evidence: PlainMap, upgrade: str, *, actor: str = "terminal") -> Append:
        return Append(
            at_us=int(now * 1e6),
            terminal=self.id,
            upgrade=upgrade,
            actor=actor,
            what=what,
            code=code.value,
            evidence=evidence,
        )
