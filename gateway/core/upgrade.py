"""One terminal's upgrade: deadlines and the campaign's decisions in, state changes and the order that is due out.

What the terminal reports comes in through ``reports``, what its hellos show through ``hellos``; ``snapshot`` stores it.
``Upgrade`` never asks what time it is and sends nothing. ``due_order`` says, level-triggered, which order the present state
calls for; ``terminal.Terminal`` numbers and repeats it. Every change goes through ``states.advance`` and leaves an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.core.budgets import SPENT_CODES
from gateway.core.calls import ORDERS, RENUMBERED, RETURNABLE
from gateway.core.effects import Append
from gateway.core.plan import Plan
from gateway.core.readiness import unready
from gateway.core.retry import rule_for
from gateway.core.shedding import Quota
from gateway.core.staging import may_install, slot
from gateway.core.states import FINAL, HOLDS_PACKAGE, REVOCABLE, UNHEARD, Trigger, UpgradeState, advance, allowed
from gateway.wire.codes import AT_THE_DOOR, Code, OrderKind
from gateway.wire.messages import SEGMENT_BYTES, Facts
from gateway.wire.ranges import RangeSet

_S = UpgradeState
_NEVER: Final = float("inf")
#: Longest wait between two tries, however many have failed (seconds).
RETRY_MAX_S: Final = 6 * 3600.0


@dataclass(slots=True)
class Upgrade:
    """The state of one upgrade. Change it only through its methods; they return what must be stored."""

    id: str
    terminal: str
    plan: Plan
    state: UpgradeState = _S.SCHEDULED
    since: float = 0.0
    attempt: int = 1
    code: Code = Code.OK

    # Reports taken in.
    seqs: RangeSet = field(default_factory=RangeSet)
    top_seq: int = 0
    attempt_seq: int = 0
    """The youngest report of the attempts before this one."""
    quota: Quota = field(default_factory=Quota)
    """Of those that moved nothing."""

    # Waiting.
    not_before: float = 0.0
    """Neither offered (scheduled), asked again (deferred, preparing) nor installed (staged) before this time."""
    zone: str = ""
    """Where the terminal says it is; its window follows that clock."""
    progress_at: float = 0.0
    patience_until: float = 0.0
    """No deadline passes before: until then silence may be the gateway's own deafness. Lasts no longer than this process."""
    soak_until: float = 0.0
    begun: bool = False
    """The terminal has said that it installs: from then on its silence is a failure."""
    healthy: int = 0
    proven: bool = False
    """Since the boot of the new version, a hello has shown it too: a report alone may lie."""

    # The terminal's answers that later orders need.
    consented: bool = False
    withdrawn: bool = False
    """Ended by the gateway while the terminal may still hold it: it is to be told."""
    holding: bool = False
    """A day's budget is used up and the terminal may still wait for chunks: it is to be told (``holding.hold``)."""

    # The order due now: its number within the upgrade, and the transfer that it opened.
    step: int = 0
    transfer: int = 0
    have: RangeSet = field(default_factory=RangeSet)
    meter: Mapping[str, Any] | None = None
    """What the present transfer has cost so far (``transfer.meter``)."""
    least_step: int = 0
    """Steps after a restore of the store begin here: the lost gateway may have given out those between (``restored``)."""
    overtaken: bool = False
    """Reports were receipted by a gateway whose store is lost: the terminal is to say its newest again."""
    sent: tuple[str, str, int, float, float] | None = None
    """The newest order sent: its id and kind, how often by then, when, and when it is due again (``explain.Sent``)."""

    # -- what is due

    @property
    def final(self) -> bool:
        """Whether it has ended (a terminal's later proof may still correct an assumed end)."""
        return self.state in FINAL

    @property
    def verified_bytes(self) -> int:
        """How much of the package the terminal has verified, as far as is known."""
        size_bytes = self.plan.target.size_bytes
        return size_bytes if self.state in HOLDS_PACKAGE else min(self.have.count * SEGMENT_BYTES, size_bytes)

    def remember(self, have: RangeSet, meter: Mapping[str, Any]) -> None:
        """How far the transfer has come, and at what cost; not worth a commit of its own."""
        self.have = have
        self.meter = meter

    @property
    def order(self) -> str:
        """The id of the order that the state calls for."""
        return f"{self.id}-{self.step}"

    def deadline(self) -> float:
        """When ``tick`` has something to do next (Unix seconds; infinity: never)."""
        if self.final:
            return _NEVER

        at = self._state_deadline()
        if self.state is _S.DEFERRED or (self.state is _S.STAGED and not self.plan.staging.waits):
            at = min(at, self.not_before)
        if self.state in REVOCABLE:
            at = min(at, self.plan.ends_at)
        return at

    def due_order(self, now: float) -> OrderKind | None:
        """The order that the state calls for now, whether or not it was sent before."""
        if self.withdrawn:
            return OrderKind.UPGRADE_CANCEL
        if self.holding:
            return OrderKind.UPGRADE_HOLD
        if self.overtaken:
            return OrderKind.UPGRADE_OFFER
        if self.state is _S.SOAKING:
            return OrderKind.UPGRADE_COMMIT if now >= self.soak_until and self.healthy and self.proven else None
        if self.state is _S.PREPARING and now < self.not_before:
            return None
        return ORDERS.get(self.state)

    def order_due_at(self) -> float:
        """When a waiting state begins to call for its order (for timers; infinity when it does not wait)."""
        if self.state is _S.SOAKING:
            return self.soak_until if self.healthy and self.proven else _NEVER
        return self.not_before if self.state is _S.PREPARING else _NEVER

    # -- the campaign decides

    def start(self, facts: Facts | None, now: float) -> list[Append]:
        """It has a place: offer it, unless the terminal's fresh facts say that it is not ready."""
        if self.state is not _S.SCHEDULED or now < self.not_before or self.overtaken:
            return []

        missing = unready(facts, self.plan.need) if facts is not None else []
        if missing:
            code, needed, found = missing[0]
            self.code = code
            self.not_before = now + self.plan.recheck_s
            return [self.note("not_ready", "gateway", now, code, {"needed": needed, "found": found})]
        return self.move(Trigger.START, "campaign", "start", now)

    def install(self, actor: str, now: float, jitter: float) -> list[Append]:
        """It has a place to install: go, unless its window is closed or too short by now. ``actor`` let it."""
        if self.state is not _S.STAGED or now < self.not_before:
            return []

        staging = self.plan.staging
        window, _ = staging.window_for(self.zone)
        if window is not None and not may_install(window, int(now * 1e6), staging.need_s):
            return self._await_window(now, jitter)
        return self.move(Trigger.INSTALL, actor, "install", now)

    def end(self, code: Code, actor: str, now: float) -> list[Append]:
        """The campaign withdraws it: cancelled by a person, or expired. What already installs goes on to its proven end."""
        trigger = Trigger.EXPIRE if code is Code.CAMPAIGN_ENDED else Trigger.CANCEL
        if not allowed(self.state, trigger):
            return []

        told = self.state is not _S.SCHEDULED or self.top_seq > 0 or self.step > 0
        entries = self.move(trigger, actor, trigger.value, now, code)
        if told and not self.overtaken:  # else it is past being cancelled
            self.withdraw()
        return entries

    def refuse(self, code: Code, evidence: Mapping[str, Any], now: float) -> list[Append]:
        """The gateway itself sees that the package is not for this terminal; it is not bothered."""
        if self.state is not _S.SCHEDULED or self.overtaken:
            return []
        return self.move(Trigger.REFUSED, "gateway", "refused", now, code, evidence)

    def order_refused(self, code: Code, evidence: Mapping[str, Any], now: float, *, jitter: float) -> list[Append]:
        """The terminal refused the present order itself (``result``): begin again when it does not know the upgrade."""
        if code is Code.UPGRADE_UNKNOWN and not self.final:
            self.begin_anew()
            return self.fail(code, "terminal", "order_refused", now, jitter, evidence)
        if code is Code.BUSY and not self.overtaken and self.state in RETURNABLE and not self.begun:
            return self.fail(code, "terminal", "order_refused", now, jitter, evidence)  # it stands before this step
        if code not in AT_THE_DOOR:
            self.withdrawn = False  # it has nothing to cancel, or is past cancelling; its reports will say which
            self.holding = False  # the same: it has no transfer, or does not know how to hold one
            self.overtaken = False
        return [self.note("order_refused", "terminal", now, code, evidence)]

    def withdraw(self) -> None:
        """It has ended here, but the terminal still holds it: it is to be told (again)."""
        if self.final and not self.withdrawn:
            self.withdrawn = True
            self.next_step()

    def next_step(self) -> None:
        """What is ordered from now on is another order: it gets an id that no gateway has used for this upgrade."""
        self.step = max(self.step + 1, self.least_step)

    # -- time passes

    def bear(self, until: float) -> None:
        """What is heard of the terminal before ``until`` (Unix seconds) says nothing of it: deadlines wait so long."""
        self.patience_until = max(self.patience_until, until)

    def tick(self, now: float, *, online: bool, jitter: float) -> list[Append]:
        """Whatever is due by ``now``: a postponement is over, a window opens, a deadline has passed, the campaign ends."""
        if self.final:
            return []
        if now >= self.plan.ends_at and self.state in REVOCABLE:
            return self.end(Code.CAMPAIGN_ENDED, "gateway", now)
        if self.state is _S.DEFERRED and now >= self.not_before:
            what = "budget_renewed" if self.code in SPENT_CODES else "postponement_over"
            return self.move(Trigger.RESUME, "gateway", what, now)
        if self.state is _S.STAGED and not self.plan.staging.waits:
            return self.staged(now, jitter)
        if now < self._state_deadline():
            return []

        code = Code.DEADLINE_PASSED if online else Code.LINK_LOST
        if self.state is _S.SOAKING and online and not (self.healthy and self.proven):
            code = Code.HEALTH_REGRESSED
        return self.fail(code, "gateway", "deadline", now, jitter, {"waited_s": round(now - self.since, 3)})

    # -- the terminal shows what it runs

    @property
    def wants_proof(self) -> bool:
        """Whether a hello must still show the new version."""
        return self.state is _S.SOAKING and not self.proven

    def begin_anew(self) -> None:
        """The terminal was reset or replaced: its reports begin at 1 again, and it holds nothing of the package."""
        self.seqs, self.have = RangeSet(), RangeSet()
        self.top_seq = self.attempt_seq = 0
        self.overtaken = False

    def disprove(self, what: str, evidence: Mapping[str, Any], now: float) -> list[Append]:
        """The terminal claims or shows another version than the release's: no success, and back to the old one."""
        code = Code.VERSION_NOT_PROVEN
        if allowed(self.state, Trigger.ROLL_BACK):
            return self.move(Trigger.ROLL_BACK, "gateway", what, now, code, evidence)
        return [self.note(what, "terminal", now, code, evidence)]

    # -- how it moves: for this module and ``reports``

    def staged(self, now: float, jitter: float) -> list[Append]:
        """The terminal holds all of it: install at once, or wait until the campaign gives it a place (``install``)."""
        if self.plan.staging.waits:
            return self._await_window(now, jitter)
        return self.move(Trigger.INSTALL, "gateway", "install", now)

    def _await_window(self, now: float, jitter: float) -> list[Append]:
        staging = self.plan.staging
        window, source = staging.window_for(self.zone)
        evidence: dict[str, Any] = {"on_release": staging.on_release}
        if window is not None:
            self.not_before = slot(window, int(now * 1e6), staging.need_s, jitter=jitter) / 1e6
            evidence |= {"not_before_ms": int(self.not_before * 1000), "zone": window.zone, "zone_from": source}
        return [self.note("install_waits", "gateway", now, Code.OK, evidence)]

    def fail(self, code: Code, actor: str, what: str, now: float, jitter: float, evidence: Mapping[str, Any]) -> list[Append]:
        """It failed: try again where the failure's class allows it, else end here."""
        rule = rule_for(code)
        again = rule.again and (not rule.costs_attempt or self.attempt < self.plan.attempts_max)
        if again and self.state is _S.SCHEDULED:
            return [self.note(what, actor, now, code, evidence)]  # it waits for its next try already
        if again and allowed(self.state, Trigger.RETRY) and not self._silent_install(code):
            self.attempt += rule.costs_attempt
            self.attempt_seq = self.top_seq
            entries = self.move(Trigger.RETRY, actor, what, now, code, evidence)
            base_s = min(rule.delay_s * 2 ** (self.attempt - 1), RETRY_MAX_S) * self.plan.retry_scale
            self.not_before = now + base_s * (0.5 + jitter / 2)
            return entries
        if allowed(self.state, Trigger.FAIL):
            return self.move(Trigger.FAIL, actor, what, now, code, evidence)
        return [self.note(what, actor, now, code, evidence)]

    def _silent_install(self, code: Code) -> bool:
        """A terminal that fell silent while it installed may run anything: that is a failure, not a reason to begin again.

        One that was away before it said so may never have heard of it, and runs its old version.
        """
        return self.state is _S.INSTALLING and self.begun and code in {Code.LINK_LOST, Code.DEADLINE_PASSED}

    def _state_deadline(self) -> float:
        since = max(self.since, self.progress_at) if self.state is _S.TRANSFERRING else self.since
        if self.state is _S.SOAKING:
            since = self.soak_until
        return max(since + self.plan.deadline_s(self.state), self.patience_until)

    def move(
        self,
        trigger: Trigger,
        actor: str,
        what: str,
        now: float,
        code: Code = Code.OK,
        evidence: Mapping[str, Any] | None = None,
    ) -> list[Append]:
        """The one place where the state changes."""
        old = self.state
        self.state = advance(old, trigger)
        self.since = now
        self.code = code
        self.not_before = 0.0
        self.withdrawn = self.begun = self.holding = False
        self.overtaken &= trigger in UNHEARD
        if self.state in RENUMBERED:
            self.next_step()
        if self.state is _S.TRANSFERRING:
            self.transfer = 0
            self.meter = None
            self.progress_at = now
        return [self._entry(what, actor, now, code, evidence or {}, old)]

    def note(self, what: str, actor: str, now: float, code: Code, evidence: Mapping[str, Any]) -> Append:
        """An entry about something that did not change the state."""
        return self._entry(what, actor, now, code, evidence, self.state)

    def shed(self, now: float) -> Callable[[Mapping[str, int]], Append]:
        """Makes the entry about reports that were counted instead of kept, while it was in the state of now."""
        state = self.state
        return lambda evidence: replace(
            self._entry("reports_shed", "gateway", now, Code.OK, evidence, state), to_state=state.value
        )

    def _entry(self, what: str, actor: str, now: float, code: Code, evidence: Mapping[str, Any], old: UpgradeState) -> Append:
        return Append(
            at_us=int(now * 1e6),
            terminal=self.terminal,
            campaign=self.plan.campaign,
            upgrade=self.id,
            actor=actor,
            what=what,
            from_state=old.value,
            to_state=self.state.value,
            code=code.value,
            evidence=evidence,
        )
