"""What an upgrade and a campaign are said to take, and on what basis."""

from __future__ import annotations

import pytest

from gateway.core import usual
from gateway.core.estimate import (
    MEASURED_MIN,
    STATES,
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
from gateway.core.states import FINAL, UpgradeState

S = UpgradeState
LINK = Goodput(low_bytes_per_s=50_000, high_bytes_per_s=100_000)


def estimate(state: UpgradeState = S.OFFERED, **changes: object) -> Estimate:
    facts: dict[str, object] = {
        "size_bytes": 5_000_000,
        "bytes_left": 5_000_000,
        "goodput": None,
        "ask_merchant": False,
        "model": "lakala-4g-esign",
        "soak_s": 3600.0,
        "measured": None,
        "state": state,
        "in_state_s": 0.0,
        "rat": "lte",
    }
    return estimate_upgrade(**(facts | changes))  # type: ignore[arg-type]  # the test names the fields


# -- ranges


def test_ranges_add_and_scale_at_both_ends() -> None:
    assert Range(1, 2) + Range(10, 20) == Range(11, 22)
    assert Range(1, 2).scale(3) == Range(3, 6)
    assert Range(1, 5).union(Range(3, 9)) == Range(1, 9)


@pytest.mark.parametrize(("low", "high"), [(2, 1), (-1, 1), (0, float("inf")), (float("nan"), 1), (0, float("nan"))])
def test_a_range_that_promises_nothing_honest_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="0 <= low <= high"):
        Range(low, high)


@pytest.mark.parametrize(
    ("elapsed", "left"),
    [(0, (60, 120)), (50, (10, 70)), (100, (0, 30)), (120, (0, 30)), (150, (0, 30)), (400, (0, 280))],
)
def test_what_is_left_shrinks_to_a_quarter_and_grows_again_with_the_overdue_time(
    elapsed: float, left: tuple[float, float]
) -> None:
    assert Range(60, 120).after(elapsed) == Range(*left)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ((0, 0), "0 s"),
        ((20, 60), "20 s to 60 s"),
        ((95, 3600), "1.58 min to 60 min"),
        ((5400, 200_000), "1.5 h to 2.31 d"),
        ((0.25, 12_345), "0.25 s to 3.43 h"),
    ],
)
def test_a_range_reads_in_units_of_its_size(span: tuple[float, float], words: str) -> None:
    assert str(Range(*span)) == words


# -- goodput


def test_goodput_is_the_outer_quantiles_spread_by_how_few_samples_there_are() -> None:
    steady = Goodput.of([100_000.0] * 10)

    assert steady is not None
    assert steady.low_bytes_per_s == pytest.approx(100_000 / 1.1)
    assert steady.high_bytes_per_s == pytest.approx(100_000 * 1.1)


def test_one_sample_alone_is_doubted_by_half() -> None:
    assert Goodput.of([80_000.0]) == Goodput(low_bytes_per_s=40_000, high_bytes_per_s=160_000)


def test_without_a_usable_sample_there_is_no_goodput() -> None:
    assert Goodput.of([]) is None
    assert Goodput.of([0.0, -5.0, 1e-300, 1e300, float("nan"), float("inf")]) is None


def test_an_unknown_radio_technology_may_be_any() -> None:
    unknown = Goodput.usual("6G")

    assert all(unknown.low_bytes_per_s <= Goodput.usual(rat).low_bytes_per_s for rat in usual.RATE_KB_PER_S)
    assert all(unknown.high_bytes_per_s >= Goodput.usual(rat).high_bytes_per_s for rat in usual.RATE_KB_PER_S)
    assert Goodput.usual("LTE") == Goodput.usual("lte")


# -- one upgrade


def test_every_waiting_state_belongs_to_one_phase() -> None:
    listed = [state for states in STATES.values() for state in states]

    assert sorted(listed) == sorted(set(UpgradeState) - FINAL)


def test_the_transfer_is_computed_from_the_terminals_own_goodput() -> None:
    fast = estimate(goodput=LINK)
    slow = estimate(goodput=Goodput(low_bytes_per_s=5_000, high_bytes_per_s=10_000))

    assert fast.basis[Phase.EXECUTE] == "computed"
    assert slow.phases[Phase.EXECUTE].low_s - fast.phases[Phase.EXECUTE].low_s == pytest.approx(500 - 50)
    assert slow.phases[Phase.EXECUTE].high_s - fast.phases[Phase.EXECUTE].high_s == pytest.approx(1000 - 100)


def test_only_the_bytes_still_missing_take_time_but_all_are_written() -> None:
    whole, half = (
        estimate(S.TRANSFERRING, goodput=LINK, bytes_left=left).left[Phase.EXECUTE] for left in (5_000_000, 2_500_000)
    )

    assert whole.low_s - half.low_s == pytest.approx(25)
    assert whole.high_s - half.high_s == pytest.approx(50)


def test_asking_the_merchant_takes_longer_than_telling() -> None:
    asked, told = estimate(ask_merchant=True), estimate(ask_merchant=False)

    assert asked.phases[Phase.PREPARE].high_s > told.phases[Phase.PREPARE].high_s


def test_the_soak_is_what_the_campaign_says_plus_its_last_report() -> None:
    assert estimate(soak_s=7200).phases[Phase.OPERATE] == Range(7200, 7200 + usual.SOAK_GRACE_S)
    assert estimate(soak_s=7200).basis[Phase.OPERATE] == "computed"


def test_passed_phases_keep_their_length_and_have_nothing_left() -> None:
    verifying = estimate(S.VERIFYING)

    assert verifying.phases[Phase.EXECUTE] == estimate().phases[Phase.EXECUTE]
    assert [verifying.left[phase] for phase in (Phase.PLAN, Phase.PREPARE, Phase.EXECUTE)] == [ZERO] * 3
    assert verifying.remaining == verifying.left[Phase.VERIFY] + verifying.left[Phase.OPERATE]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_final_upgrade_has_nothing_left(state: UpgradeState) -> None:
    assert estimate(state).remaining == ZERO


def test_time_spent_in_a_state_shortens_what_is_left_of_it() -> None:
    assert estimate(S.SOAKING, in_state_s=600).remaining == Range(3000, 3120)


def test_a_state_that_is_overdue_does_not_promise_an_end_that_has_passed() -> None:
    late = estimate(S.INSTALLING, in_state_s=10_000).left[Phase.EXECUTE]

    assert late.low_s == 0
    assert late.high_s > 5000


def test_a_postponed_upgrade_still_has_its_preparation_ahead() -> None:
    left = estimate(S.DEFERRED, ask_merchant=True).left[Phase.PREPARE]

    assert left.high_s == usual.CONSENT_S[1] + usual.SETTLE_S[1] + usual.HANDOVER_S[1]


def test_an_upgrade_on_its_way_back_never_soaks() -> None:
    left = estimate(S.ROLLING_BACK).left

    assert left[Phase.VERIFY] == Range(*usual.PACES["lakala-4g-esign"].reboot_s)
    assert left[Phase.OPERATE] == ZERO


def test_an_unknown_model_has_the_usual_pace() -> None:
    assert estimate(model="newland-x").phases[Phase.VERIFY] == Range(*usual.USUAL_PACE.self_tests_s)


def test_silence_widens_the_upper_end_alone() -> None:
    heard, silent = estimate(S.TRANSFERRING), estimate(S.TRANSFERRING, silent_s=1800)

    assert silent.remaining == heard.remaining + Range(0, 1800)


# -- measured


def test_durations_count_from_five_samples_on() -> None:
    ranges = measured_ranges({"prepare": [10.0] * MEASURED_MIN, "verify": [10.0] * (MEASURED_MIN - 1)})

    assert list(ranges) == ["prepare"]
    assert (ranges["prepare"].low_s, ranges["prepare"].high_s) == pytest.approx((10 / 1.2, 10 * 1.2))


def test_samples_that_are_no_durations_do_not_count() -> None:
    assert measured_ranges({"prepare": [10.0] * 4 + [-1.0, 1e300, float("nan"), float("inf")]}) == {}


def test_measured_durations_replace_the_usual_ones() -> None:
    measured = {"prepare": Range(8, 12), "execute": Range(30, 60), "verify": Range(3, 5)}

    told = estimate(measured=measured)

    assert {phase.value: told.phases[phase] for phase in (Phase.PREPARE, Phase.EXECUTE, Phase.VERIFY)} == measured
    assert [told.basis[phase] for phase in Phase] == ["usual", "measured", "measured", "measured", "computed"]


def test_a_terminals_own_link_beats_what_its_neighbours_measured() -> None:
    told = estimate(goodput=LINK, measured={"execute": Range(30, 60)})

    assert told.basis[Phase.EXECUTE] == "computed"
    assert told.phases[Phase.EXECUTE] == estimate(goodput=LINK).phases[Phase.EXECUTE]


def test_past_the_first_state_of_a_measured_phase_the_low_end_is_open() -> None:
    measured = {"prepare": Range(100, 200)}

    assert estimate(S.OFFERED, measured=measured, in_state_s=40).left[Phase.PREPARE] == Range(60, 160)
    assert estimate(S.PREPARING, measured=measured, in_state_s=40).left[Phase.PREPARE] == Range(0, 160)
    assert estimate(S.SCHEDULED, measured=measured, in_state_s=40).left[Phase.PREPARE] == Range(100, 200)
    assert estimate(S.STAGED, measured=measured, in_state_s=40).left[Phase.PREPARE] == ZERO


# -- on the air


def test_the_offer_carries_whole_seconds_rounded_outwards_and_no_planning() -> None:
    told = estimate(goodput=LINK)
    wire = as_wire(told)

    assert list(wire) == ["plan", "prepare", "execute", "verify", "operate"]
    assert wire["plan"] == (0, 0)
    assert all(isinstance(end, int) for span in wire.values() for end in span)
    for phase in list(Phase)[1:]:
        low, high = wire[phase.value]
        assert low <= told.phases[phase].low_s <= told.phases[phase].high_s <= high


# -- a campaign

#: 100 to 200 s in a place, then 1000 s of soak.
ONE = Estimate(
    phases={
        Phase.PLAN: Range(0, 9999),
        Phase.PREPARE: Range(20, 40),
        Phase.EXECUTE: Range(70, 140),
        Phase.VERIFY: Range(10, 20),
        Phase.OPERATE: Range(1000, 1000),
    },
    left={},
    remaining=ZERO,
    basis={},
)


def test_a_campaign_takes_rounds_of_its_places_and_one_soak() -> None:
    told = estimate_campaign({S.SCHEDULED: 100}, ONE, max_active=10)

    assert told.remaining == Range(10 * 100 + 1000, 10 * 200 + 1000)
    assert (told.reachable_count, told.unreachable_count) == (100, 0)


def test_ninety_five_percent_are_enough() -> None:
    assert estimate_campaign({S.SCHEDULED: 5, S.SUCCEEDED: 95}, ONE, max_active=10).remaining == ZERO
    assert estimate_campaign({S.SCHEDULED: 6, S.SUCCEEDED: 94}, ONE, max_active=10).remaining == Range(1100, 1200)


def test_terminals_that_are_away_are_counted_apart_and_not_averaged_in() -> None:
    told = estimate_campaign({S.SCHEDULED: 500}, ONE, max_active=10, unreachable_count=400)

    assert told.remaining == estimate_campaign({S.SCHEDULED: 100}, ONE, max_active=10).remaining
    assert (told.reachable_count, told.unreachable_count) == (100, 400)


def test_a_fleet_that_is_away_as_a_whole_is_promised_nothing() -> None:
    told = estimate_campaign({S.SCHEDULED: 50}, ONE, max_active=10, unreachable_count=50)

    assert (told.remaining, told.reachable_count, told.unreachable_count) == (ZERO, 0, 50)


def test_upgrades_under_way_may_be_nearly_through_or_have_it_all_ahead() -> None:
    assert estimate_campaign({S.TRANSFERRING: 10}, ONE, max_active=10).remaining == Range(1000, 1200)
    assert estimate_campaign({S.SOAKING: 10}, ONE, max_active=10).remaining == Range(0, 1000)


def test_the_canaries_may_keep_the_rest_waiting_for_a_place_and_a_soak() -> None:
    fleet = {S.SCHEDULED: 100}
    base = estimate_campaign(fleet, ONE, max_active=10).remaining

    soaked = estimate_campaign(fleet, ONE, max_active=10, canary_left=3).remaining
    verified = estimate_campaign(fleet, ONE, max_active=10, canary_left=3, canary_soaks=False).remaining

    assert soaked == base + Range(0, 1200)
    assert verified == base + Range(0, 200)


def test_an_empty_campaign_takes_no_time() -> None:
    assert estimate_campaign({}, ONE, max_active=1).remaining == ZERO
