"""Whatever is known of a terminal: ranges stay honest, and knowing that more is left never shortens an estimate."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.estimate import (
    ZERO,
    Estimate,
    Goodput,
    Phase,
    Range,
    as_wire,
    estimate_campaign,
    estimate_upgrade,
    measured_ranges,
)
from gateway.core.states import UpgradeState

S = UpgradeState
SECONDS = st.floats(0, 1e7)
SAMPLES = st.lists(st.floats(allow_nan=True), max_size=12)
MEASURED = st.dictionaries(st.sampled_from([phase.value for phase in Phase]), SAMPLES).map(measured_ranges)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    low, high = sorted((draw(SECONDS), draw(SECONDS)))
    return Range(low, high)


@st.composite
def goodputs(draw: st.DrawFn) -> Goodput:
    low, high = sorted((draw(st.floats(10, 1e7)), draw(st.floats(10, 1e7))))
    return Goodput(low_bytes_per_s=low, high_bytes_per_s=high)


def told(
    state: UpgradeState,
    *,
    in_state_s: float = 0.0,
    goodput: Goodput | None = None,
    bytes_left: int = 10**7,
    measured: dict[str, Range] | None = None,
    silent_s: float = 0.0,
) -> Estimate:
    return estimate_upgrade(
        size_bytes=10**7,
        bytes_left=bytes_left,
        goodput=goodput,
        ask_merchant=True,
        model="shengpay-4g-esign",
        soak_s=600,
        measured=measured,
        state=state,
        in_state_s=in_state_s,
        rat="lte",
        silent_s=silent_s,
    )


@given(ranges(), st.floats(0, 1e8))
def test_what_is_left_of_a_range_never_ends_in_the_past(whole: Range, elapsed: float) -> None:
    left = whole.after(elapsed)

    assert 0 <= left.low_s <= left.high_s
    assert left.high_s > 0 or whole.high_s == elapsed == 0 or whole.high_s < 1e-300


@given(st.sampled_from(list(S)), SECONDS, st.none() | goodputs(), st.integers(0, 10**7), MEASURED, SECONDS)
def test_every_estimate_is_a_sum_of_honest_ranges(
    state: UpgradeState, in_state: float, goodput: Goodput | None, bytes_left: int, measured: dict[str, Range], silent: float
) -> None:
    estimate = told(state, in_state_s=in_state, goodput=goodput, bytes_left=bytes_left, measured=measured, silent_s=silent)

    assert list(estimate.phases) == list(estimate.left) == list(estimate.basis) == list(Phase)
    assert math.isclose(estimate.remaining.low_s, sum(left.low_s for left in estimate.left.values()), abs_tol=1e-6)
    assert math.isclose(estimate.remaining.high_s, sum(left.high_s for left in estimate.left.values()), abs_tol=1e-6)
    for low, high in as_wire(estimate).values():
        assert 0 <= low <= high


@given(goodputs(), st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_bytes_left_never_shorten_an_estimate(goodput: Goodput, one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    short, long = (told(S.TRANSFERRING, goodput=goodput, bytes_left=left).remaining for left in (fewer, more))

    assert short.low_s <= long.low_s
    assert short.high_s <= long.high_s


@given(st.lists(st.floats(1, 1e7), min_size=1, max_size=30))
def test_measured_goodput_brackets_its_middle_sample(samples: list[float]) -> None:
    goodput = Goodput.of(samples)

    assert goodput is not None
    middle = sorted(samples)[len(samples) // 2]
    assert goodput.low_bytes_per_s <= middle <= goodput.high_bytes_per_s


@given(
    st.dictionaries(st.sampled_from(list(S)), st.integers(0, 500)),
    st.integers(1, 60),
    st.integers(0, 800),
    st.integers(0, 9),
)
def test_a_campaigns_range_is_honest_and_more_places_never_make_it_longer(
    by_state: dict[UpgradeState, int], places: int, away: int, canaries: int
) -> None:
    one = told(S.OFFERED)
    few, many = (
        estimate_campaign(by_state, one, max_active=count, unreachable_count=away, canary_left=canaries)
        for count in (places, 2 * places)
    )

    assert few.reachable_count + few.unreachable_count == sum(by_state.values())
    assert few.unreachable_count <= by_state.get(S.SCHEDULED, 0)
    assert many.remaining.low_s <= few.remaining.low_s
    assert many.remaining.high_s <= few.remaining.high_s


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 50), st.data())
def test_no_schedule_of_a_fresh_campaign_falls_outside_its_range(fleet: int, places: int, data: st.DataObject) -> None:
    """Play it: each upgrade takes its place for some time within its range, and the freed place goes to the next."""
    one = told(S.OFFERED)
    place = sum((one.phases[phase] for phase in (Phase.PREPARE, Phase.EXECUTE, Phase.VERIFY)), ZERO)
    soak = one.phases[Phase.OPERATE]
    lengths = data.draw(st.lists(st.floats(place.low_s, place.high_s), min_size=1, max_size=20))
    need = math.ceil(0.95 * fleet)

    free_at = [0.0] * places
    done = []
    for number in range(fleet):
        free_at.sort()
        free_at[0] += lengths[number % len(lengths)]
        done.append(free_at[0])
    last = sorted(done)[need - 1]

    remaining = estimate_campaign({S.SCHEDULED: fleet}, one, max_active=places).remaining
    assert remaining.low_s <= last + soak.low_s + 1e-6
    assert last + soak.low_s <= remaining.high_s + 1e-6
