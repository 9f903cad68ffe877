"""The verdicts of a campaign: which rule speaks, and what the operator reads."""

from __future__ import annotations

import pytest

from gateway.core import rollout as rollout_module
from gateway.core.pace import Rollout
from gateway.core.rollout import RULES, Decision, Verdict, WaveCounts, decide
from gateway.core.states import ACTIVE, UpgradeState
from gateway.errors import RequestError

S = UpgradeState


def rollout(**changes: object) -> Rollout:
    settings: dict[str, object] = {
        "canary_count": 3,
        "canary_needed": 2,
        "max_active": 10,
        "failure_ratio": 0.2,
        "failure_min": 5,
        "gate": "verified",
    }
    return Rollout(**(settings | changes))  # type: ignore[arg-type]  # the test names the fields


def wave(number: int, *, startable: int | None = None, **counts: int) -> WaveCounts:
    by_state = {UpgradeState(name): count for name, count in counts.items()}
    holding = sum(count for state, count in by_state.items() if state in ACTIVE)
    return WaveCounts(wave=number, by_state=by_state, holding=holding, startable=startable)


def ask(settings: Rollout, *waves: WaveCounts, now: float = 0.0, ends_at: float | None = 100.0) -> Decision:
    return decide(settings, waves, now=now, ends_at=ends_at)


# -- starting


def test_the_canaries_start_first_and_alone() -> None:
    decision = ask(rollout(), wave(0, scheduled=3), wave(1, scheduled=50))

    assert (decision.verdict, decision.start) == (Verdict.RUN, {0: 3})
    assert decision.reason == "starting 3 canaries; 10 of 10 places are free"


def test_without_a_canary_wave_everyone_starts_up_to_the_cap() -> None:
    decision = ask(rollout(canary_count=0, canary_needed=0), wave(1, scheduled=50))

    assert decision.start == {1: 10}


def test_the_rest_starts_once_enough_canaries_have_passed() -> None:
    decision = ask(rollout(), wave(0, soaking=2, scheduled=1), wave(1, scheduled=50))

    assert decision.start == {0: 1, 1: 9}


def test_later_waves_start_in_ascending_order() -> None:
    decision = ask(rollout(), wave(2, scheduled=50), wave(0, succeeded=3), wave(1, scheduled=4))

    assert decision.start == {1: 4, 2: 6}


def test_places_are_not_set_aside_for_terminals_that_are_away() -> None:
    decision = ask(rollout(max_active=3), wave(0, soaking=2, scheduled=1, startable=0), wave(1, scheduled=50, startable=20))

    assert decision.start == {1: 3}


def test_an_offline_terminal_in_an_active_state_frees_its_place() -> None:
    away = WaveCounts(wave=1, by_state={S.TRANSFERRING: 10, S.SCHEDULED: 5}, holding=4)

    decision = ask(rollout(canary_count=0, canary_needed=0), away)

    assert decision.start == {1: 5}


def test_returning_terminals_may_overfill_the_places_and_nothing_starts_then() -> None:
    full = WaveCounts(wave=1, by_state={S.TRANSFERRING: 14, S.SCHEDULED: 5}, holding=14)

    decision = ask(rollout(canary_count=0, canary_needed=0), full)

    assert (decision.verdict, decision.code) == (Verdict.HOLD, "waiting_for_place")
    assert decision.reason == "all 10 places are taken; 5 upgrades waiting for one"


# -- the gate


def test_the_rest_waits_for_the_canaries_and_says_how_many_are_missing() -> None:
    decision = ask(rollout(gate="succeeded"), wave(0, soaking=2, succeeded=1), wave(1, scheduled=50))

    assert (decision.verdict, decision.code) == (Verdict.HOLD, "waiting_for_canaries")
    assert decision.reason == "waiting for 2 of 3 canaries to survive their soak; 1 did so far"


def test_an_offline_canary_is_named_while_the_gate_waits_for_it() -> None:
    decision = ask(rollout(), wave(0, soaking=1, scheduled=2, startable=0), wave(1, scheduled=50))

    assert decision.reason.startswith("waiting for 2 of 3 canaries to prove that they work; 1 did so far, 2 cannot start now")


@pytest.mark.parametrize("state", [S.INSTALLING, S.VERIFYING, S.ROLLING_BACK])
def test_a_canary_between_install_and_proof_holds_the_gate_shut(state: UpgradeState) -> None:
    decision = ask(rollout(), wave(0, soaking=2, **{state.value: 1}), wave(1, scheduled=50))

    assert (decision.verdict, decision.code) == (Verdict.HOLD, "waiting_for_canaries")


@pytest.mark.parametrize("state", [S.SCHEDULED, S.OFFERED, S.DEFERRED, S.TRANSFERRING, S.STAGED, S.REJECTED, S.EXPIRED])
def test_a_canary_that_is_away_undecided_or_out_does_not_hold_the_gate_shut(state: UpgradeState) -> None:
    decision = ask(rollout(), wave(0, soaking=2, **{state.value: 1}), wave(1, scheduled=50))

    assert decision.verdict is Verdict.RUN
    assert decision.start[1] > 0


def test_a_canary_whose_soak_ends_badly_shuts_the_gate_again() -> None:
    """The gate is a level: it is judged anew from the counts each time."""
    tolerant = rollout(failure_ratio=0.5)

    opened = ask(tolerant, wave(0, soaking=2, transferring=1), wave(1, scheduled=50))
    shut = ask(tolerant, wave(0, soaking=1, rolled_back=1, transferring=1), wave(1, scheduled=50))

    assert (opened.verdict, shut.verdict) == (Verdict.RUN, Verdict.HOLD)


def test_a_fleet_smaller_than_the_canary_wave_needs_all_of_it() -> None:
    decision = ask(rollout(canary_count=5, canary_needed=4), wave(0, soaking=2), wave(1, scheduled=1))

    assert decision.start == {1: 1}


# -- stopping


def test_one_failed_canary_pauses_at_once() -> None:
    decision = ask(rollout(), wave(0, rolled_back=1, offered=2), wave(1, scheduled=50))

    assert (decision.verdict, decision.code) == (Verdict.PAUSE, "canary_failed")
    assert decision.reason == "1 of 3 canaries failed; 20% are tolerated"


def test_a_tolerated_canary_failure_does_not_depend_on_who_answers_first() -> None:
    decision = ask(rollout(failure_ratio=0.5), wave(0, failed=1, offered=2), wave(1, scheduled=50))

    assert decision.verdict is Verdict.HOLD


def test_canaries_that_decline_leave_the_question_open_and_pause() -> None:
    decision = ask(rollout(), wave(0, rejected=2, offered=1), wave(1, scheduled=50))

    assert (decision.verdict, decision.code) == (Verdict.PAUSE, "canary_inconclusive")
    assert "0 failed, 2 rejected, expired or cancelled" in decision.reason


def test_too_few_canaries_left_because_of_failures_is_a_failed_canary() -> None:
    decision = ask(rollout(failure_ratio=0.9), wave(0, failed=2, succeeded=1), wave(1, scheduled=50))

    assert (decision.verdict, decision.code) == (Verdict.PAUSE, "canary_failed")


def test_the_failure_share_counts_only_from_its_minimum_on() -> None:
    settings = rollout(canary_count=0, canary_needed=0)

    few = ask(settings, wave(1, failed=2, succeeded=2, scheduled=9))
    enough = ask(settings, wave(1, failed=2, succeeded=3, scheduled=9))

    assert (few.verdict, enough.verdict) == (Verdict.RUN, Verdict.PAUSE)
    assert (enough.code, enough.reason) == ("too_many_failures", "2 of 5 judged upgrades failed; 20% are tolerated")


def test_the_tolerated_share_itself_is_still_tolerated() -> None:
    decision = ask(rollout(canary_count=0, canary_needed=0), wave(1, failed=2, succeeded=8, scheduled=9))

    assert decision.verdict is Verdict.RUN


def test_a_long_soak_does_not_make_the_first_failures_look_like_all() -> None:
    decision = ask(rollout(canary_count=0, canary_needed=0), wave(1, failed=5, soaking=500, scheduled=9))

    assert decision.verdict is Verdict.RUN


def test_refusals_say_nothing_about_the_package() -> None:
    decision = ask(rollout(canary_count=0, canary_needed=0), wave(1, rejected=400, expired=9, succeeded=5, scheduled=9))

    assert decision.verdict is Verdict.RUN


def test_resuming_forgives_the_failures_seen_so_far_but_not_new_ones() -> None:
    resumed = rollout(canary_count=0, canary_needed=0, forgiven_count=4)

    before = ask(resumed, wave(1, failed=4, succeeded=6, scheduled=9))
    after = ask(resumed, wave(1, failed=6, succeeded=6, scheduled=9))

    assert (before.verdict, after.verdict) == (Verdict.RUN, Verdict.PAUSE)


def test_a_waived_canary_wave_no_longer_holds_anyone() -> None:
    decision = ask(rollout(canary_waived=True), wave(0, rolled_back=2, verifying=1), wave(1, scheduled=50))

    assert decision.start == {1: 9}


# -- ending


def test_it_finishes_when_every_upgrade_is_settled_and_tells_the_outcome() -> None:
    decision = ask(rollout(), wave(0, succeeded=3), wave(1, succeeded=4, rolled_back=3, rejected=1), now=500.0)

    assert Verdict.FINISH is decision.verdict
    assert decision.reason == "every upgrade is settled: 7 succeeded, 1 rejected, 3 rolled back"


def test_an_empty_campaign_is_finished() -> None:
    assert Verdict.FINISH is ask(rollout()).verdict


def test_the_end_expires_what_is_not_yet_installing() -> None:
    decision = ask(rollout(), wave(0, succeeded=3), wave(1, scheduled=2, transferring=1, soaking=1), now=100.0)

    assert (decision.verdict, decision.code) == (Verdict.EXPIRE, "campaign_ended")
    assert decision.reason == "the campaign's end has come; 3 upgrades not yet installing will expire"


def test_the_end_waits_for_what_already_installs() -> None:
    decision = ask(rollout(), wave(0, succeeded=3), wave(1, installing=1, soaking=1, expired=3), now=100.0)

    assert (decision.verdict, decision.code) == (Verdict.HOLD, "campaign_ending")


def test_a_campaign_without_an_end_never_expires() -> None:
    decision = ask(rollout(canary_count=0, canary_needed=0), wave(1, scheduled=2), now=1e12, ends_at=None)

    assert Verdict.RUN is decision.verdict


def test_with_nothing_left_to_start_it_says_what_is_under_way() -> None:
    decision = ask(rollout(), wave(0, succeeded=3), wave(1, transferring=2, soaking=4, deferred=1))

    assert Verdict.HOLD is decision.verdict
    assert decision.reason == "waiting for upgrades: 2 under way, 4 soaking, 1 deferred (postponed, or a data budget used up)"


def test_terminals_that_cannot_start_now_are_waited_for() -> None:
    decision = ask(rollout(), wave(0, succeeded=3), wave(1, scheduled=1, startable=0))

    assert (decision.verdict, decision.code) == (Verdict.HOLD, "waiting_for_terminals")


# -- settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_active", 0),
        ("canary_count", -1),
        ("canary_needed", 4),
        ("canary_needed", 0),
        ("failure_ratio", 1.01),
        ("failure_ratio", float("nan")),
        ("failure_min", 0),
        ("gate", "hope"),
        ("forgiven_count", -1),
    ],
)
def test_contradictory_settings_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(RequestError) as caught:
        rollout(**{field: value})

    assert caught.value.code == "rollout_invalid"
    assert caught.value.facts["field"] in {field, "canary_needed"}


def test_every_rule_is_explained_in_the_table_of_the_module() -> None:
    rows = [line for line in (rollout_module.__doc__ or "").splitlines() if line.startswith("    ``_")]

    assert [row.split("``")[1] for row in rows] == [rule.__name__ for rule in RULES]


def test_staged_upgrades_install_before_others_start_and_within_the_places() -> None:
    counts = WaveCounts(wave=1, by_state={S.STAGED: 5, S.SCHEDULED: 20}, holding=2, installable=3)
    decision = decide(rollout(canary_count=0, canary_needed=0, max_active=6), [counts], now=0, ends_at=None)

    assert (decision.install, decision.start) == ({1: 3}, {1: 1})
    assert decision.reason == "starting 1 upgrade and letting install 3 upgrades; 4 of 6 places are free"


def test_a_canary_that_waits_staged_keeps_the_gate_closed_and_is_named() -> None:
    canary = rollout(canary_count=1, canary_needed=1)
    waves = [
        WaveCounts(wave=0, by_state={S.STAGED: 1}, holding=0),
        WaveCounts(wave=1, by_state={S.SCHEDULED: 9, S.STAGED: 1}, holding=0, installable=1),
    ]
    decision = decide(canary, waves, now=0, ends_at=None)

    assert (decision.verdict, decision.code) == (Verdict.HOLD, "waiting_for_canaries")
    assert "1 staged and waiting to install" in decision.reason
