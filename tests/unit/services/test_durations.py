"""Measured durations: what counts as a finished phase, and what does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.estimate import Phase
from gateway.core.states import FINAL, UpgradeState
from gateway.services.durations import phases_of, samples, spread_of, transfer_times
from gateway.store.progress import Step

S = UpgradeState
US = 1_000_000


def way(*states: UpgradeState, every_s: int = 10) -> list[Step]:
    """A timeline in which each state lasts ``every_s``; it begins at second 0."""
    return [Step(state=state.value, entered_us=number * every_s * US) for number, state in enumerate(states)]


GOOD = way(
    S.SCHEDULED, S.OFFERED, S.PREPARING, S.READY, S.TRANSFERRING, S.STAGED, S.INSTALLING, S.VERIFYING, S.SOAKING, S.SUCCEEDED
)


def test_every_phase_of_a_good_upgrade_is_measured() -> None:
    found = {one.phase: (one.spent_s, one.done) for one in phases_of(GOOD, 1000 * US)}

    assert found == {
        Phase.PLAN: (10, True),
        Phase.PREPARE: (30, True),
        Phase.EXECUTE: (30, True),
        Phase.VERIFY: (10, True),
        Phase.OPERATE: (10, True),
    }


def test_the_phase_under_way_grows_with_the_clock_and_is_no_sample() -> None:
    steps = way(S.SCHEDULED, S.OFFERED, S.PREPARING)

    assert [(one.phase, one.spent_s, one.done) for one in phases_of(steps, 100 * US)] == [
        (Phase.PLAN, 10, True),
        (Phase.PREPARE, 90, False),
    ]
    assert samples([steps], 100 * US) == {"plan": [10.0]}


def test_a_phase_that_failed_is_no_sample() -> None:
    steps = way(S.SCHEDULED, S.OFFERED, S.PREPARING, S.READY, S.TRANSFERRING, S.FAILED)

    assert samples([steps], 1000 * US) == {"plan": [10.0], "prepare": [30.0]}


def test_tries_add_up() -> None:
    steps = way(S.SCHEDULED, S.OFFERED, S.PREPARING, S.SCHEDULED, S.OFFERED, S.PREPARING, S.READY, S.TRANSFERRING)
    found = {one.phase: one.spent_s for one in phases_of(steps, 80 * US)}

    assert found == {Phase.PLAN: 20, Phase.PREPARE: 50, Phase.EXECUTE: 10}


def test_time_before_the_start_is_nobodys() -> None:
    [plan, prepare] = phases_of(way(S.SCHEDULED, S.OFFERED, every_s=100), 130 * US, from_us=95 * US)

    assert (plan.spent_s, prepare.spent_s) == (5, 30)


def test_only_whole_and_uninterrupted_transfers_are_timed() -> None:
    again = way(S.READY, S.TRANSFERRING, S.SCHEDULED, S.READY, S.TRANSFERRING, S.STAGED)
    broken = way(S.READY, S.TRANSFERRING, S.FAILED)
    open_ = way(S.READY, S.TRANSFERRING)

    assert transfer_times([GOOD, again, broken, open_]) == [10.0]


def test_a_spread_is_what_most_took() -> None:
    spread = spread_of([float(number) for number in range(101)])

    assert (spread.count, spread.low_s, spread.median_s, spread.high_s) == (101, 10, 50, 90)
    assert spread_of([7.0]).low_s == spread_of([7.0]).high_s == 7


@given(st.lists(st.sampled_from(list(S)), max_size=12), st.integers(0, 200))
def test_no_way_is_too_strange(states: list[UpgradeState], now_s: int) -> None:
    """Whatever a ledger holds: no negative time, and no more time than has passed."""
    steps = way(*states)
    found = phases_of(steps, now_s * US)

    assert all(one.spent_s >= 0 for one in found)
    final = sum(1 for state in states if state in FINAL)
    assert sum(one.spent_s for one in found) <= max(now_s, 10 * (len(states) - 1)) or final
