"""What a terminal's report does to its upgrade. ``take`` is the only way in; every report ends as a ledger entry, most as one.

A report about what is past or already known is kept and moves nothing: the table of ``states`` has no row for it. Progress may
jump forward over states whose reports were lost. Of the rest, only the youngest report counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.effects import Append
from gateway.core.retry import rule_for
from gateway.core.states import Trigger, UpgradeState, allowed
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, What
from gateway.wire.messages import Report

#: A merchant may postpone by no less than this, and not past the campaign's end (seconds).
POSTPONE_MIN_S: Final = 1.0
#: Report numbers remembered as gaps; a terminal that leaves more is not following the protocol.
SEQ_GAPS_MAX: Final = 64

#: Reports that count even when a younger one came first: their proof may have been lost on the way and come again.
_PROGRESS: Final[Mapping[What, Trigger]] = {
    What.ACCEPTED: Trigger.ACCEPTED,
    What.READY: Trigger.READY,
    What.STAGED: Trigger.STAGED,
    What.INSTALLING: Trigger.INSTALLING,
    What.BOOTED: Trigger.BOOTED,
    What.VERIFIED: Trigger.VERIFIED,
    What.COMMITTED: Trigger.COMMITTED,
    What.ROLLED_BACK: Trigger.ROLLED_BACK,
}


#: Reports that no order asks for.
_NO_ANSWER: Final = frozenset({What.HEALTH, What.SELFTEST})


def known(upgrade: Upgrade, seq: int) -> bool:
    """Whether the report of this number was taken in before."""
    return seq in upgrade.seqs


def sifted(upgrade: Upgrade, report: Report, now: float, *, jitter: float) -> list[Append]:
    """As ``take``, within the upgrade's quota: what of it the ledger gets."""
    shed, before = upgrade.shed(now), _marks(upgrade)  # told before the report, so of the state before it
    entries = take(upgrade, report, now, jitter=jitter)
    return upgrade.quota.sift(report.what, entries, now, shed, decides=_marks(upgrade) != before)


def take(upgrade: Upgrade, report: Report, now: float, *, jitter: float) -> list[Append]:
    """Take in a report that is new; ask ``known`` first. Those of an attempt that is over are recorded and move nothing."""
    late = report.seq < upgrade.top_seq
    over = report.seq <= upgrade.attempt_seq
    _remember(upgrade, report.seq)
    upgrade.overtaken &= report.what in _NO_ANSWER
    evidence = {**report.detail, "seq": report.seq, "at_ms": report.at_ms}
    if over or (late and report.what not in _PROGRESS):
        evidence["late"] = True
        return [upgrade.note(report.what.value, "terminal", now, report.code, evidence)]
    return _Intake(upgrade, report, evidence, now, jitter).apply()


def _marks(upgrade: Upgrade) -> tuple[bool, ...]:
    """What a report may settle without moving the state: stored before its receipt, or a restart would forget it for good."""
    one = upgrade
    return (one.begun, one.healthy > 0, one.consented, one.withdrawn, one.holding, one.overtaken)


def _remember(upgrade: Upgrade, seq: int) -> None:
    upgrade.seqs.add(seq, seq + 1)
    while len(upgrade.seqs) > SEQ_GAPS_MAX:
        first, second = list(upgrade.seqs)[:2]
        upgrade.seqs.add(first[1], second[0])
    upgrade.top_seq = max(upgrade.top_seq, seq)


@dataclass(frozen=True, slots=True)
class _Intake:
    """One report that counts, on its way into one upgrade."""

    upgrade: Upgrade
    report: Report
    evidence: dict[str, Any]
    now: float
    jitter: float

    def apply(self) -> list[Append]:
        """The entries that it leaves."""
        upgrade, what = self.upgrade, self.report.what
        match what:
            case What.POSTPONED:
                return self._postponed()
            case What.DECLINED | What.REJECTED | What.FAILED:
                return self._refused()
            case What.NOT_READY:
                return self._not_ready()
            case What.BOOTED | What.VERIFIED:
                return self._proof()
            case What.HEALTH:
                return self._health()
            case What.CANCELLED:
                upgrade.withdrawn = False
                return self._move_or_note(Trigger.CANCEL)
            case What.HELD:
                upgrade.holding = False
                return self._note()
            case What.SELFTEST:
                return self._note()
            case What.ACCEPTED | What.READY | What.STAGED | What.INSTALLING | What.COMMITTED | What.ROLLED_BACK:
                entries = self._move_or_note(_PROGRESS[what])
                return entries + self._go_on()

    def _go_on(self) -> list[Append]:
        """What the gateway does at once after the terminal's step."""
        upgrade, now = self.upgrade, self.now
        upgrade.consented = True  # who has gone further had accepted, whether or not that report came through
        upgrade.begun |= self.report.what is What.INSTALLING and upgrade.state is UpgradeState.INSTALLING
        if upgrade.state is UpgradeState.READY:
            return upgrade.move(Trigger.TRANSFER, "gateway", "transfer", now)
        if upgrade.state is UpgradeState.STAGED and self.report.what is What.STAGED:
            return upgrade.staged(now, self.jitter)
        return []

    def _postponed(self) -> list[Append]:
        upgrade, now = self.upgrade, self.now
        if not allowed(upgrade.state, Trigger.POSTPONED):
            return self._note()

        until_ms = self.report.detail.get("until_ms")
        until = until_ms / 1000 if isinstance(until_ms, int) and until_ms > 0 else now + upgrade.plan.recheck_s
        entries = self._move_or_note(Trigger.POSTPONED)
        upgrade.not_before = min(max(until, now + POSTPONE_MIN_S), upgrade.plan.ends_at)
        return entries

    def _refused(self) -> list[Append]:
        """Declined, rejected or failed: the code's class says whether to try again."""
        upgrade, report = self.upgrade, self.report
        if upgrade.withdrawn and upgrade.final:
            upgrade.withdrawn = False  # it has let go of it by itself
        if report.what is not What.FAILED and not rule_for(report.code).again:
            return self._move_or_note(Trigger.REFUSED)
        return upgrade.fail(report.code, "terminal", report.what.value, self.now, self.jitter, self.evidence)

    def _not_ready(self) -> list[Append]:
        upgrade = self.upgrade
        if upgrade.state is UpgradeState.PREPARING:
            upgrade.code = self.report.code
            upgrade.not_before = self.now + upgrade.plan.recheck_s
            upgrade.next_step()  # asked again by a new order: the old one has been answered
        return self._note()

    def _proof(self) -> list[Append]:
        """Booted or verified: believed only with the version that the release asks for."""
        expected = self.upgrade.plan.target.version
        if self.report.detail.get("version") != expected:
            evidence = {**self.evidence, "expected_version": expected}
            return self.upgrade.disprove(self.report.what.value, evidence, self.now)
        return self._move_or_note(Trigger.BOOTED) if self.report.what is What.BOOTED else self._soak()

    def _soak(self) -> list[Append]:
        """It works, and is watched from now on."""
        upgrade = self.upgrade
        if not allowed(upgrade.state, Trigger.VERIFIED):
            return self._note()

        upgrade.soak_until = self.now + upgrade.plan.soak_s
        upgrade.proven = False
        upgrade.healthy = 0 if upgrade.plan.soak_s > upgrade.plan.health_every_s else 1
        return self._move_or_note(Trigger.VERIFIED)

    def _health(self) -> list[Append]:
        """Who reports health soaks, whether or not its ``verified`` has come through; a hello must show the version anyway."""
        upgrade = self.upgrade
        entries = self._soak() if allowed(upgrade.state, Trigger.VERIFIED) else []
        if upgrade.state is not UpgradeState.SOAKING or self.report.code is Code.OK:
            upgrade.healthy += upgrade.state is UpgradeState.SOAKING
            return entries or self._note()
        return entries + upgrade.move(
            Trigger.ROLL_BACK, "terminal", self.report.what.value, self.now, Code.HEALTH_REGRESSED, self.evidence
        )

    def _move_or_note(self, trigger: Trigger) -> list[Append]:
        if not allowed(self.upgrade.state, trigger):
            return self._note()
        return self.upgrade.move(trigger, "terminal", self.report.what.value, self.now, self.report.code, self.evidence)

    def _note(self) -> list[Append]:
        report = self.report
        return [self.upgrade.note(report.what.value, "terminal", self.now, report.code, self.evidence)]
