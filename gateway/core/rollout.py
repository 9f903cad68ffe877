"""How fast a campaign goes on, and when it stops by itself: counts in, one verdict out.

Called by the campaign engine after every change and at least every few seconds; ``decide`` looks only at the counts it is
given, never remembers, and never starts anything itself. ``RULES`` is asked from top to bottom; the first rule with an
opinion wins:

    ========================  =======  ====================================================================================
    rule                      verdict  speaks when
    ========================  =======  ====================================================================================
    ``_all_settled``          FINISH   every upgrade is final
    ``_time_is_up``           EXPIRE   the campaign's end has come; what already installs is waited for (HOLD)
    ``_too_many_failures``    PAUSE    the share of failures among all judged upgrades is above what is tolerated
    ``_canaries_fail``        PAUSE    the same share within the canary wave, from the first failure on, no minimum
    ``_canaries_fall_short``  PAUSE    so many canaries have dropped out that the gate can never be passed
    ``_start_more``           RUN      places are free and upgrades are waiting that may install or start
    ``_wait``                 HOLD     always; says what is being waited for
    ========================  =======  ====================================================================================

Words: an upgrade is *judged* once it works (soaking or succeeded; a soak that ends badly turns it into a failure) or has
failed (failed or rolled back). Rejected, expired and cancelled upgrades say nothing about the package and are neither.
Without the soaking ones every campaign would look bad: failures show within minutes, successes only after days.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.core.pace import GATES, WORKING, Rollout
from gateway.core.states import ACTIVE, FINAL, REVOCABLE, UpgradeState

CANARY_WAVE: Final = 0
#: The package has shown that it harms, or that it cannot be proven harmless.
FAILURES: Final = frozenset({UpgradeState.FAILED, UpgradeState.ROLLED_BACK})
#: The terminal is past the point of no return and has not shown yet whether it works.
IN_DOUBT: Final = frozenset({UpgradeState.INSTALLING, UpgradeState.VERIFYING, UpgradeState.ROLLING_BACK})
_STAGED: Final = "staged and waiting to install"


class Verdict(StrEnum):
    """What the campaign does next."""

    RUN = "run"
    """Start what ``Decision.start`` names."""
    HOLD = "hold"
    """Start nothing now; look again after the next change."""
    PAUSE = "pause"
    """Start nothing until an operator resumes; what is under way goes on."""
    FINISH = "finish"
    """Nothing is left to do."""
    EXPIRE = "expire"
    """Expire every upgrade that is still revocable, then look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveCounts:
    """How the upgrades of one wave stand now."""

    wave: int
    by_state: Mapping[UpgradeState, int]
    holding: int
    """Upgrades that occupy a place: in an ``ACTIVE`` state and with their terminal online."""
    startable: int | None = None
    """Scheduled upgrades that could start this moment (terminal online, window open, retry due); ``None`` means all of them.
    Given, it keeps places from being set aside for terminals that are away."""
    installable: int = 0
    """Staged upgrades that may install this moment (released, their time come, terminal online)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict, and the sentence and code that the operator sees with it."""

    verdict: Verdict
    start: Mapping[int, int] = field(default_factory=dict)
    """How many more to start, by wave; empty unless the verdict is RUN."""
    install: Mapping[int, int] = field(default_factory=dict)
    """The same for staged ones that may install."""
    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class _Tally:
    """What the rules ask of the counts of one wave, or of all waves together."""

    counts: Mapping[UpgradeState, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def of(self, states: Iterable[UpgradeState]) -> int:
        return sum(self.counts.get(state, 0) for state in states)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One look at the campaign."""

    rollout: Rollout
    waves: Sequence[WaveCounts]
    everyone: _Tally
    canary: _Tally
    ended: bool

    @property
    def room(self) -> int:
        return max(0, self.rollout.max_active - sum(wave.holding for wave in self.waves))

    @property
    def needed(self) -> int:
        """A fleet smaller than the canary wave has to pass whole."""
        return min(self.rollout.canary_needed, self.canary.total)

    @property
    def passed(self) -> int:
        return self.canary.of(GATES[self.rollout.gate])

    @property
    def gate_open(self) -> bool:
        """Enough canaries have passed, and none is somewhere between install and proof."""
        return self.rollout.canary_waived or (self.passed >= self.needed and self.canary.of(IN_DOUBT) == 0)


Rule = Callable[[_View], Decision | None]


def decide(rollout: Rollout, waves: Sequence[WaveCounts], *, now: float, ends_at: float | None) -> Decision:
    """What the campaign does next. ``now`` and ``ends_at`` (``None``: no end) are in the same unit, from the same origin.

    The sum of ``Decision.start`` and ``install`` never exceeds ``max_active`` less what all waves hold together.
    """
    ordered = sorted(waves, key=lambda wave: wave.wave)
    view = _View(
        rollout=rollout,
        waves=ordered,
        everyone=_together(ordered),
        canary=_together([wave for wave in ordered if wave.wave == CANARY_WAVE]) if rollout.canary_count else _Tally({}),
        ended=ends_at is not None and now >= ends_at,
    )
    for rule in RULES:
        decision = rule(view)
        if decision is not None:
            return decision
    raise AssertionError("the last rule always has an opinion")


# -- the rules


def _all_settled(view: _View) -> Decision | None:
    """Nothing is left to do: finish, whatever the outcome was."""
    if view.everyone.of(FINAL) < view.everyone.total:
        return None

    outcome = ", ".join(
        f"{view.everyone.of([state])} {state.value.replace('_', ' ')}"
        for state in UpgradeState
        if state in FINAL and view.everyone.of([state])
    )
    return Decision(
        verdict=Verdict.FINISH, reason=f"every upgrade is settled: {outcome or 'there was none'}", code="all_settled"
    )


def _time_is_up(view: _View) -> Decision | None:
    """The end has come: what is revocable expires; what already installs is never cut off."""
    if not view.ended:
        return None

    revocable = view.everyone.of(REVOCABLE)
    if revocable:
        reason = f"the campaign's end has come; {_count(revocable, 'upgrade')} not yet installing will expire"
        return Decision(verdict=Verdict.EXPIRE, reason=reason, code="campaign_ended")

    late = view.everyone.total - view.everyone.of(FINAL)
    reason = f"the campaign's end has come; waiting for {_count(late, 'upgrade')} already past the start of the install"
    return Decision(verdict=Verdict.HOLD, reason=reason, code="campaign_ending")


def _too_many_failures(view: _View) -> Decision | None:
    """Stop when too large a share of all judged upgrades has failed."""
    failed = max(0, view.everyone.of(FAILURES) - view.rollout.forgiven_count)
    judged = failed + view.everyone.of(WORKING)
    if judged < view.rollout.failure_min or failed <= view.rollout.failure_ratio * judged:
        return None

    reason = f"{failed} of {_count(judged, 'judged upgrade')} failed; {view.rollout.failure_ratio:.0%} are tolerated"
    return Decision(verdict=Verdict.PAUSE, reason=reason, code="too_many_failures")


def _canaries_fail(view: _View) -> Decision | None:
    """A canary's failure counts at once: against the whole wave, so that it does not matter which canary answers first."""
    failed = view.canary.of(FAILURES)
    if view.rollout.canary_waived or failed <= view.rollout.failure_ratio * view.canary.total:
        return None

    wave = _count(view.canary.total, "canary", "canaries")
    reason = f"{failed} of {wave} failed; {view.rollout.failure_ratio:.0%} are tolerated"
    return Decision(verdict=Verdict.PAUSE, reason=reason, code="canary_failed")


def _canaries_fall_short(view: _View) -> Decision | None:
    """Even if every canary still under way passed, there would be too few: waiting longer cannot help."""
    can_still_pass = view.canary.total - view.canary.of(FINAL) + view.canary.of([UpgradeState.SUCCEEDED])
    if view.rollout.canary_waived or can_still_pass >= view.needed:
        return None

    failed = view.canary.of(FAILURES)
    silent = view.canary.of(FINAL) - failed - view.canary.of([UpgradeState.SUCCEEDED])
    dropped = f"{failed} failed, {silent} rejected, expired or cancelled"
    reason = f"{view.needed} of {_count(view.canary.total, 'canary', 'canaries')} had to pass and cannot any more: {dropped}"
    code = "canary_failed" if can_still_pass + failed >= view.needed else "canary_inconclusive"
    return Decision(verdict=Verdict.PAUSE, reason=reason, code=code)


def _start_more(view: _View) -> Decision | None:
    """Fill the free places: installs before starts, for windows close; canaries first, the others once the gate is open."""
    waves = [wave for wave in view.waves if _may_start(view, wave)]
    install = _shared({wave.wave: wave.installable for wave in waves}, view.room)
    start = _shared({wave.wave: _startable(wave) for wave in waves}, view.room - sum(install.values()))
    if not start and not install:
        return None

    only_canaries = {*start, *install} == {CANARY_WAVE} and view.rollout.canary_count
    what = ("canary", "canaries") if only_canaries else ("upgrade",)
    steps = {"starting": sum(start.values()), "letting install": sum(install.values())}
    doing = " and ".join(f"{verb} {_count(number, *what)}" for verb, number in steps.items() if number)
    reason = f"{doing}; {view.room} of {view.rollout.max_active} places are free"
    return Decision(verdict=Verdict.RUN, start=start, install=install, reason=reason, code="starting")


def _wait(view: _View) -> Decision:
    """Say what is being waited for, the narrowest place first."""
    startable = sum(_startable(wave) + wave.installable for wave in view.waves if _may_start(view, wave))
    if startable and not view.room:
        reason = f"all {view.rollout.max_active} places are taken; {_count(startable, 'upgrade')} waiting for one"
        return Decision(verdict=Verdict.HOLD, reason=reason, code="waiting_for_place")
    if not view.gate_open:
        return Decision(verdict=Verdict.HOLD, reason=_gate_reason(view), code="waiting_for_canaries")

    scheduled = view.everyone.of([UpgradeState.SCHEDULED])
    if scheduled:
        reason = f"waiting for {_count(scheduled, 'terminal')} that cannot start now (offline or not ready)"
        reason += f"; {staged} {_STAGED}" if (staged := view.everyone.of([UpgradeState.STAGED])) else ""
        return Decision(verdict=Verdict.HOLD, reason=reason, code="waiting_for_terminals")

    stands = {
        "under way": ACTIVE,
        _STAGED: [UpgradeState.STAGED],
        "soaking": [UpgradeState.SOAKING],
        "deferred (postponed, or a data budget used up)": [UpgradeState.DEFERRED],
    }
    parts = [f"{view.everyone.of(states)} {words}" for words, states in stands.items() if view.everyone.of(states)]
    return Decision(verdict=Verdict.HOLD, reason=f"waiting for upgrades: {', '.join(parts)}", code="waiting_for_upgrades")


RULES: Final[tuple[Rule, ...]] = (
    _all_settled,
    _time_is_up,
    _too_many_failures,
    _canaries_fail,
    _canaries_fall_short,
    _start_more,
    _wait,
)


# -- what the rules share


def _shared(wanted: Mapping[int, int], room: int) -> dict[int, int]:
    """``room`` places given to the waves in order."""
    given: dict[int, int] = {}
    for wave, count in wanted.items():
        given[wave] = min(count, room - sum(given.values()))
    return {wave: count for wave, count in given.items() if count > 0}


def _may_start(view: _View, wave: WaveCounts) -> bool:
    return view.gate_open or (wave.wave == CANARY_WAVE and view.rollout.canary_count > 0)


def _startable(wave: WaveCounts) -> int:
    scheduled = wave.by_state.get(UpgradeState.SCHEDULED, 0)
    return scheduled if wave.startable is None else min(scheduled, wave.startable)


def _gate_reason(view: _View) -> str:
    in_doubt = view.canary.of(IN_DOUBT)
    if view.passed >= view.needed:
        return f"enough canaries passed; waiting for {_count(in_doubt, 'canary', 'canaries')} between install and proof"

    what = "survive their soak" if view.rollout.gate == "succeeded" else "prove that they work"
    canaries = _count(view.canary.total, "canary", "canaries")
    away = view.canary.of([UpgradeState.SCHEDULED, UpgradeState.DEFERRED])
    staged = view.canary.of([UpgradeState.STAGED])
    parts = {"cannot start now (offline, not ready or postponed)": away, _STAGED: staged}
    waiting = "".join(f", {number} {words}" for words, number in parts.items() if number)
    return f"waiting for {view.needed} of {canaries} to {what}; {view.passed} did so far{waiting}"


def _together(waves: Iterable[WaveCounts]) -> _Tally:
    counts: Counter[UpgradeState] = Counter()
    for wave in waves:
        counts.update(wave.by_state)
    return _Tally(counts)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
