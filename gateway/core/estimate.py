"""How long an upgrade and a campaign take: ranges, never a single number. Pure arithmetic over what is known at that moment.

Method of this first version. Each state of an upgrade has a range of seconds; a phase is the sum of its states, an upgrade
the sum of its phases. A range comes from the best of three bases, and the estimate says which:

    computed   follows from numbers: package bytes over the terminal's measured goodput; the soak that the campaign sets
    measured   the 10 % to 90 % quantiles of at least ``MEASURED_MIN`` durations of the same phase in the same campaign
    usual      the field's usual lengths by state, and its usual goodput by radio technology (``usual``)

Sums of ranges add both ends, as if every part were late at once; that makes the upper end pessimistic and the lower end
optimistic. A state that lasts longer than its range, and a terminal that is silent, widen what is left instead of promising
an end that has passed already. A campaign's range is for 95 % of the terminals that can be reached; those that cannot are
counted apart and never averaged in. Coverage of these ranges has not been calibrated; the estimate from the fleet's own
statistics replaces the bases later, behind the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from gateway.core import usual
from gateway.core.states import ACTIVE, FINAL, UpgradeState

Basis = Literal["usual", "measured", "computed"]

MEASURED_MIN: Final = 5  # samples before measured durations replace the usual ones
REACHED_SHARE: Final = 0.95  # of the reachable terminals; an estimate for the last one would be a guess about one shop
_QUANTILES: Final = (0.1, 0.9)
_LONGEST_S: Final = 1e9  # samples beyond this (30 years), or rates outside the next, are broken clocks, not measurements
_RATES_BYTES_PER_S: Final = (1.0, 1e12)


class Phase(StrEnum):
    """The five phases of an upgrade, in order."""

    PLAN = "plan"
    PREPARE = "prepare"
    EXECUTE = "execute"
    VERIFY = "verify"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Range:
    """A duration between two ends, in seconds: ``0 <= low_s <= high_s``, both finite, or ``ValueError``."""

    low_s: float
    high_s: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.low_s <= self.high_s < math.inf):
            raise ValueError(f"a range needs 0 <= low <= high, finite; got {self.low_s} to {self.high_s}")

    def __add__(self, other: Range) -> Range:
        return Range(self.low_s + other.low_s, self.high_s + other.high_s)

    def union(self, other: Range) -> Range:
        """The smallest range that holds both."""
        return Range(min(self.low_s, other.low_s), max(self.high_s, other.high_s))

    def scale(self, factor: float) -> Range:
        """Both ends ``factor`` (0 or more) times as long."""
        return Range(self.low_s * factor, self.high_s * factor)

    def after(self, elapsed_s: float) -> Range:
        """What is left once ``elapsed_s`` have passed.

        The upper end never falls below a quarter of itself, and past the range's end it grows with the overdue time: who is
        late by an hour may well need another.
        """
        overdue_s = max(0.0, elapsed_s - self.high_s)
        high_s = max(self.high_s - elapsed_s, self.high_s / 4, overdue_s)
        return Range(min(max(0.0, self.low_s - elapsed_s), high_s), high_s)

    def __str__(self) -> str:
        low, high = _words(self.low_s), _words(self.high_s)
        return low if low == high else f"{low} to {high}"


ZERO: Final = Range(0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """Package bytes that really arrive per second, pauses for payments included: a slow and a fast quantile."""

    low_bytes_per_s: float
    high_bytes_per_s: float

    @staticmethod
    def usual(rat: str) -> Goodput:
        """The table's rate for a radio technology; as wide as the whole table for an unknown one."""
        return _rate(usual.RATE_KB_PER_S.get(rat.lower(), usual.ANY_RATE_KB_PER_S))

    @classmethod
    def of(cls, samples: Iterable[float]) -> Goodput | None:
        """The 10 % and 90 % quantiles of ``samples`` (bytes per second), spread by 1 + 1/n because few samples know little.

        ``None`` when no sample is a rate that a link can have.
        """
        slowest, fastest = _RATES_BYTES_PER_S
        usable = sorted(sample for sample in samples if slowest <= sample <= fastest)
        if not usable:
            return None

        spread = 1.0 + 1.0 / len(usable)
        slow, fast = (_quantile(usable, share) for share in _QUANTILES)
        return cls(low_bytes_per_s=slow / spread, high_bytes_per_s=fast * spread)

    def seconds_for(self, size_bytes: int) -> Range:
        """How long ``size_bytes`` take."""
        return Range(size_bytes / self.high_bytes_per_s, size_bytes / self.low_bytes_per_s)


#: The states whose ranges make up a phase, in the order in which they are passed.
STATES: Final[Mapping[Phase, tuple[UpgradeState, ...]]] = {
    Phase.PLAN: (UpgradeState.SCHEDULED,),
    Phase.PREPARE: (UpgradeState.OFFERED, UpgradeState.DEFERRED, UpgradeState.PREPARING, UpgradeState.READY),
    Phase.EXECUTE: (UpgradeState.TRANSFERRING, UpgradeState.STAGED, UpgradeState.INSTALLING),
    Phase.VERIFY: (UpgradeState.VERIFYING, UpgradeState.ROLLING_BACK),
    Phase.OPERATE: (UpgradeState.SOAKING,),
}
#: States beside the straight way: they take time only for those who are in them.
_DETOURS: Final = frozenset({UpgradeState.DEFERRED, UpgradeState.ROLLING_BACK})
#: While an upgrade is in these phases it takes one of the campaign's places.
_PLACE_PHASES: Final = (Phase.PREPARE, Phase.EXECUTE, Phase.VERIFY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one upgrade takes."""

    phases: Mapping[Phase, Range]
    """The whole length of every phase, passed ones included."""
    left: Mapping[Phase, Range]
    """What is left of every phase; zero for passed ones."""
    remaining: Range
    """The sum of ``left``: until the upgrade is final."""
    basis: Mapping[Phase, Basis]


def estimate_upgrade(  # noqa: PLR0913 - all that moves the estimate, each by its name
    *,
    size_bytes: int,
    bytes_left: int,
    goodput: Goodput | None,
    ask_merchant: bool,
    model: str,
    soak_s: float,
    measured: Mapping[str, Range] | None,
    state: UpgradeState,
    in_state_s: float,
    rat: str = "",
    silent_s: float = 0.0,
) -> Estimate:
    """What one upgrade takes from ``state`` on, in which it has been for ``in_state_s``.

    ``goodput`` is this terminal's own, measured; ``None`` takes the table by ``rat``. ``measured`` comes from
    ``measured_ranges``. ``silent_s`` is how long an offline terminal has been away: it may stay away as long again.
    """
    link = goodput or Goodput.usual(rat)
    by_state = _by_state(size_bytes, link, usual.PACES.get(model, usual.USUAL_PACE), ask_merchant=ask_merchant, soak_s=soak_s)
    phases: dict[Phase, Range] = {}
    left: dict[Phase, Range] = {}
    basis: dict[Phase, Basis] = {}
    for phase in Phase:
        basis[phase] = _basis(phase, goodput, measured)
        if measured and basis[phase] == "measured":
            phases[phase] = measured[phase]
            left[phase] = _left_of_measured(phase, measured[phase], state, in_state_s)
        else:
            phases[phase] = _straight(by_state, STATES[phase])
            ahead = by_state | {UpgradeState.TRANSFERRING: link.seconds_for(bytes_left) + Range(*usual.HANDOVER_S)}
            left[phase] = _left_of_states(phase, ahead, state, in_state_s)
    now_in = _phase_of(state)
    if now_in is not None and silent_s > 0.0:
        left[now_in] += Range(0.0, silent_s)
    return Estimate(phases=phases, left=left, remaining=_total(left.values()), basis=basis)


def measured_ranges(durations_s: Mapping[str, Sequence[float]]) -> dict[str, Range]:
    """Phases with ``MEASURED_MIN`` samples or more, as their 10 % to 90 % quantiles spread by 1 + 1/n."""
    ranges: dict[str, Range] = {}
    for phase, samples in durations_s.items():
        usable = sorted(sample for sample in samples if 0.0 <= sample <= _LONGEST_S)
        if len(usable) >= MEASURED_MIN:
            spread = 1.0 + 1.0 / len(usable)
            low_s, high_s = (_quantile(usable, share) for share in _QUANTILES)
            ranges[phase] = Range(low_s / spread, high_s * spread)
    return ranges


def as_wire(estimate: Estimate) -> dict[str, tuple[int, int]]:
    """The ``est`` argument of ``upgrade.offer``: whole seconds by phase, low ends rounded down and high ends up.

    Planning is over when an offer is made, so ``plan`` is zero.
    """
    whole = dict(estimate.phases) | {Phase.PLAN: ZERO}
    return {phase.value: (math.floor(whole[phase].low_s), math.ceil(whole[phase].high_s)) for phase in Phase}


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEstimate:
    """What a campaign takes."""

    remaining: Range
    """Until ``REACHED_SHARE`` of the reachable upgrades are final."""
    reachable_count: int
    unreachable_count: int
    """Upgrades whose terminal is away; nothing is promised for them."""


def estimate_campaign(
    by_state: Mapping[UpgradeState, int],
    upgrade: Estimate,
    *,
    max_active: int,
    unreachable_count: int = 0,
    canary_left: int = 0,
    canary_soaks: bool = True,
) -> CampaignEstimate:
    """What a campaign takes from the counts of its upgrades and the estimate of one that has just been offered.

    ``unreachable_count`` of the scheduled ones are offline. ``canary_left`` canaries have not passed the gate yet, which with
    ``canary_soaks`` includes their soak. No schedule is faster than the lower end; none that keeps all places busy is slower.
    """
    unreachable_count = min(unreachable_count, by_state.get(UpgradeState.SCHEDULED, 0))
    reachable_count = sum(by_state.values()) - unreachable_count
    settled, active = (sum(by_state.get(state, 0) for state in states) for states in (FINAL, ACTIVE))
    soaking = by_state.get(UpgradeState.SOAKING, 0)
    need = max(0, math.ceil(REACHED_SHARE * reachable_count) - settled)

    place = _total(upgrade.phases[phase] for phase in _PLACE_PHASES)
    soak = upgrade.phases[Phase.OPERATE]
    if need == 0:
        remaining = ZERO
    elif need <= soaking:
        remaining = Range(0.0, soak.high_s)
    elif need <= soaking + active:
        remaining = Range(soak.low_s, place.high_s + soak.high_s)
    else:
        to_start = need - soaking - active
        rounds = Range(math.ceil(to_start / max_active), math.ceil((to_start + active) / max_active))
        remaining = Range(rounds.low_s * place.low_s, rounds.high_s * place.high_s) + soak
        remaining += _canary_wait(min(canary_left, to_start + active), place, soak if canary_soaks else ZERO, max_active)
    return CampaignEstimate(remaining=remaining, reachable_count=reachable_count, unreachable_count=unreachable_count)


# -- the parts


def _by_state(
    size_bytes: int, link: Goodput, pace: usual.Pace, *, ask_merchant: bool, soak_s: float
) -> dict[UpgradeState, Range]:
    """The whole length of every state that is not final."""
    handover, reboot = Range(*usual.HANDOVER_S), Range(*pace.reboot_s)
    write = _rate(pace.write_kb_per_s).seconds_for(size_bytes)
    return {
        UpgradeState.SCHEDULED: Range(*usual.PLAN_S),
        UpgradeState.OFFERED: Range(*(usual.CONSENT_S if ask_merchant else usual.TOLD_S)),
        UpgradeState.DEFERRED: Range(*usual.CONSENT_S),
        UpgradeState.PREPARING: Range(*usual.SETTLE_S),
        UpgradeState.READY: handover,
        UpgradeState.TRANSFERRING: link.seconds_for(size_bytes) + handover,
        UpgradeState.STAGED: handover,
        UpgradeState.INSTALLING: write + reboot,
        UpgradeState.VERIFYING: Range(*pace.self_tests_s),
        UpgradeState.ROLLING_BACK: reboot,
        UpgradeState.SOAKING: Range(soak_s, soak_s + usual.SOAK_GRACE_S),
    }


def _basis(phase: Phase, goodput: Goodput | None, measured: Mapping[str, Range] | None) -> Basis:
    """A terminal's own link beats what its neighbours measured; the soak is what the campaign says."""
    if phase is Phase.OPERATE or (phase is Phase.EXECUTE and goodput is not None):
        return "computed"
    return "measured" if measured and phase in measured else "usual"


def _straight(by_state: Mapping[UpgradeState, Range], states: Iterable[UpgradeState]) -> Range:
    return _total(by_state[state] for state in states if state not in _DETOURS)


def _phase_of(state: UpgradeState) -> Phase | None:
    return next((phase for phase, states in STATES.items() if state in states), None)


def _left_of_states(phase: Phase, by_state: Mapping[UpgradeState, Range], state: UpgradeState, in_state_s: float) -> Range:
    """The states of ``phase`` still ahead, and what is left of the one it is in."""
    now_in = _phase_of(state)
    if now_in is None or _is_passed(phase, now_in, state):
        return ZERO
    if phase is not now_in:
        return _straight(by_state, STATES[phase])

    current = by_state[state]
    if state is not UpgradeState.TRANSFERRING:  # there, the bytes that have arrived say all that the time spent could say
        current = current.after(in_state_s)
    return current + _straight(by_state, STATES[phase][STATES[phase].index(state) + 1 :])


def _left_of_measured(phase: Phase, measured: Range, state: UpgradeState, in_state_s: float) -> Range:
    """The time in the state is the least that has passed of its phase: past the first state the low end is open."""
    now_in = _phase_of(state)
    if now_in is None or _is_passed(phase, now_in, state):
        return ZERO
    if phase is not now_in:
        return measured

    left = measured.after(in_state_s)
    return left if state is STATES[phase][0] else Range(0.0, left.high_s)


def _is_passed(phase: Phase, now_in: Phase, state: UpgradeState) -> bool:
    """Whether nothing of ``phase`` is ahead: it lies behind, or the upgrade is on its way back and never soaks."""
    order = list(Phase)
    return order.index(phase) < order.index(now_in) or (state is UpgradeState.ROLLING_BACK and phase is Phase.OPERATE)


def _canary_wait(canary_left: int, place: Range, soak: Range, max_active: int) -> Range:
    """Rounds that the canaries take before the rest starts; they may be nearly through, so the low end is open."""
    rounds = math.ceil(canary_left / max_active)
    return Range(0.0, rounds * place.high_s + soak.high_s) if rounds else ZERO


def _total(ranges: Iterable[Range]) -> Range:
    return sum(ranges, ZERO)


def _rate(kb_per_s: usual.Span) -> Goodput:
    return Goodput(low_bytes_per_s=kb_per_s[0] * 1000, high_bytes_per_s=kb_per_s[1] * 1000)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest of ``ordered`` (ascending, not empty)."""
    at = share * (len(ordered) - 1)
    low, high = ordered[math.floor(at)], ordered[math.ceil(at)]
    return low + (high - low) * (at - math.floor(at))


def _words(seconds: float) -> str:
    """A duration in the largest unit that leaves a number of at least one and a half."""
    for unit_s, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * unit_s:
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds:.3g} s"
