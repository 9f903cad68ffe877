"""What no counts can bring a campaign to do, and that every campaign comes to an end."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.pace import Rollout
from gateway.core.rollout import FAILURES, Decision, Verdict, WaveCounts, decide
from gateway.core.states import ACTIVE, FINAL, REVOCABLE, TRANSITIONS, UpgradeState

S = UpgradeState
COUNTS = st.dictionaries(st.sampled_from(list(S)), st.integers(0, 40))


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    canary_count = draw(st.integers(0, 6))
    return Rollout(
        canary_count=canary_count,
        canary_needed=draw(st.integers(min(1, canary_count), canary_count)),
        max_active=draw(st.integers(1, 30)),
        failure_ratio=draw(st.floats(0, 1)),
        failure_min=draw(st.integers(1, 10)),
        gate=draw(st.sampled_from(["verified", "succeeded"])),
    )


@st.composite
def waves(draw: st.DrawFn) -> list[WaveCounts]:
    out = []
    for number in draw(st.lists(st.integers(0, 3), unique=True, max_size=4)):
        by_state = draw(COUNTS)
        active = sum(count for state, count in by_state.items() if state in ACTIVE)
        startable = draw(st.none() | st.integers(0, 50))
        out.append(WaveCounts(wave=number, by_state=by_state, holding=draw(st.integers(0, active)), startable=startable))
    return out


def started(decision: Decision) -> int:
    return sum(decision.start.values())


@given(rollouts(), waves(), st.sampled_from([0.0, 200.0]))
def test_nothing_ever_starts_above_the_cap_or_beyond_what_is_scheduled(
    rollout: Rollout, counts: list[WaveCounts], now: float
) -> None:
    decision = decide(rollout, counts, now=now, ends_at=100.0)

    assert started(decision) <= max(0, rollout.max_active - sum(wave.holding for wave in counts))
    for number, count in decision.start.items():
        wave = next(wave for wave in counts if wave.wave == number)
        assert 0 < count <= wave.by_state.get(S.SCHEDULED, 0)
    assert (decision.verdict is Verdict.RUN) == bool(decision.start)
    assert decision.reason
    assert decision.code


@given(rollouts(), waves())
def test_the_order_in_which_waves_are_told_does_not_matter(rollout: Rollout, counts: list[WaveCounts]) -> None:
    assert decide(rollout, counts, now=0, ends_at=1) == decide(rollout, counts[::-1], now=0, ends_at=1)


@given(rollouts(), waves(), st.integers(1, 10))
def test_more_terminals_holding_places_never_start_more(rollout: Rollout, counts: list[WaveCounts], more: int) -> None:
    fuller = [
        WaveCounts(wave=wave.wave, by_state=wave.by_state, holding=wave.holding + more, startable=wave.startable)
        for wave in counts
    ]

    assert started(decide(rollout, fuller, now=0, ends_at=1)) <= started(decide(rollout, counts, now=0, ends_at=1))


@given(rollouts(), waves(), st.data())
def test_a_failure_in_place_of_a_success_never_sets_a_campaign_going(
    rollout: Rollout, counts: list[WaveCounts], data: st.DataObject
) -> None:
    candidates = [wave for wave in counts if wave.by_state.get(S.SUCCEEDED)]
    if not candidates:
        return

    spoilt = data.draw(st.sampled_from(candidates))
    changed = Counter(spoilt.by_state)
    changed[S.SUCCEEDED] -= 1
    changed[data.draw(st.sampled_from(sorted(FAILURES)))] += 1
    worse = [
        WaveCounts(wave=wave.wave, by_state=changed, holding=wave.holding, startable=wave.startable) if wave is spoilt else wave
        for wave in counts
    ]

    assert started(decide(rollout, worse, now=0, ends_at=1)) <= started(decide(rollout, counts, now=0, ends_at=1))


@given(rollouts(), waves())
def test_a_campaign_never_waits_for_nothing(rollout: Rollout, counts: list[WaveCounts]) -> None:
    """HOLD always has something that moves by itself: a terminal that is away, or an upgrade with a deadline."""
    decision = decide(rollout, counts, now=0, ends_at=1)

    if decision.verdict is Verdict.HOLD:
        moving = [wave for wave in counts if any(count and state not in FINAL for state, count in wave.by_state.items())]
        stuck = all(
            state is S.SCHEDULED or state in FINAL for wave in moving for state, count in wave.by_state.items() if count
        )
        away = any(wave.startable is not None and wave.startable < wave.by_state.get(S.SCHEDULED, 0) for wave in counts)
        assert moving
        assert not stuck or away or sum(wave.holding for wave in counts) >= rollout.max_active


@settings(max_examples=40, deadline=None)
@given(rollout=rollouts(), others=st.integers(0, 25), chance=st.randoms(use_true_random=False), resumes=st.booleans())
def test_every_campaign_comes_to_an_end_whatever_its_terminals_do(
    *, rollout: Rollout, others: int, chance: Random, resumes: bool
) -> None:
    """A fleet that moves at random through the table: the cap holds at each step, and the campaign finishes or pauses."""
    fleet = [(0, S.SCHEDULED)] * rollout.canary_count + [(1, S.SCHEDULED)] * others
    for step in range(100):
        counts = [_counts(fleet, number) for number in (0, 1)]
        decision = decide(rollout, counts, now=step, ends_at=60)
        if decision.verdict is Verdict.PAUSE and resumes:
            rollout = _resumed(rollout, fleet)
            continue
        if decision.verdict in {Verdict.FINISH, Verdict.PAUSE}:
            return

        taken = sum(wave.holding for wave in counts)  # who rolls back after its soak began takes a place without asking
        fleet = _apply(fleet, decision)
        assert sum(state in ACTIVE for _, state in fleet) <= max(rollout.max_active, taken)
        fleet = [(number, _moved(state, chance)) for number, state in fleet]
    raise AssertionError(f"still going: {Counter(fleet)}")


def _counts(fleet: list[tuple[int, UpgradeState]], number: int) -> WaveCounts:
    by_state = Counter(state for wave, state in fleet if wave == number)
    holding = sum(by_state[state] for state in ACTIVE)
    return WaveCounts(wave=number, by_state=by_state, holding=holding, installable=by_state[S.STAGED])


def _apply(fleet: list[tuple[int, UpgradeState]], decision: Decision) -> list[tuple[int, UpgradeState]]:
    left, installs = Counter(decision.start), Counter(decision.install)
    out = []
    for number, state in fleet:
        after = state
        if decision.verdict is Verdict.EXPIRE and state in REVOCABLE:
            after = S.EXPIRED
        elif state is S.SCHEDULED and left[number]:
            left[number] -= 1
            after = S.OFFERED
        elif state is S.STAGED and installs[number]:
            installs[number] -= 1
            after = S.INSTALLING
        out.append((number, after))
    return out


def _moved(state: UpgradeState, chance: Random) -> UpgradeState:
    """One step along the table: deadlines forbid standing still. Only ``decide`` gives places, and an end is an end."""
    if state in FINAL or state in {S.SCHEDULED, S.DEFERRED, S.STAGED}:
        return S.SCHEDULED if state is S.DEFERRED else state
    targets = sorted({target for (origin, _), target in TRANSITIONS.items() if origin is state})
    return chance.choice(targets)


def _resumed(rollout: Rollout, fleet: list[tuple[int, UpgradeState]]) -> Rollout:
    return Rollout(
        canary_count=rollout.canary_count,
        canary_needed=rollout.canary_needed,
        max_active=rollout.max_active,
        failure_ratio=rollout.failure_ratio,
        failure_min=rollout.failure_min,
        gate=rollout.gate,
        forgiven_count=sum(state in FAILURES for _, state in fleet),
        canary_waived=True,
    )
