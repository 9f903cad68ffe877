"""Which seconds count to which phase, and which phases are not over yet."""

from __future__ import annotations

import pytest

from gateway.core.durations import Step, by_phase, phase_durations
from gateway.core.estimate import Phase
from gateway.core.states import UpgradeState

S = UpgradeState

#: Every state of a good way, each entered ten seconds after the last but the soak, which lasts a hundred.
GOOD: list[Step] = [
    (S.SCHEDULED, 0),
    (S.OFFERED, 10),
    (S.PREPARING, 20),
    (S.READY, 30),
    (S.TRANSFERRING, 30),
    (S.STAGED, 50),
    (S.INSTALLING, 60),
    (S.VERIFYING, 70),
    (S.SOAKING, 80),
    (S.SUCCEEDED, 180),
]


def test_a_finished_upgrade_measures_every_phase() -> None:
    measured = phase_durations(GOOD)

    assert measured == {Phase.PLAN: 10, Phase.PREPARE: 20, Phase.EXECUTE: 40, Phase.VERIFY: 10, Phase.OPERATE: 100}
    assert sum(measured.values()) == 180


@pytest.mark.parametrize(
    ("steps", "phases"),
    [
        (0, []),
        (1, []),
        (2, [Phase.PLAN]),
        (4, [Phase.PLAN]),
        (6, [Phase.PLAN, Phase.PREPARE]),
        (9, [Phase.PLAN, Phase.PREPARE, Phase.EXECUTE, Phase.VERIFY]),
    ],
)
def test_the_phase_that_is_going_on_is_not_measured(steps: int, phases: list[Phase]) -> None:
    assert list(phase_durations(GOOD[:steps])) == phases


def test_a_second_try_counts_once_and_with_both_tries() -> None:
    tried_again = [*GOOD[:5], (S.SCHEDULED, 100.0), *[(state, at + 200) for state, at in GOOD[1:]]]

    measured = phase_durations(tried_again)

    assert measured[Phase.PREPARE] == 20 + 20
    assert measured[Phase.EXECUTE] == 70 + 40
    assert measured[Phase.PLAN] == 10 + 110


def test_during_a_second_try_the_earlier_one_is_not_over() -> None:
    assert list(phase_durations([*GOOD[:5], (S.SCHEDULED, 100.0), (S.OFFERED, 110.0)])) == [Phase.PLAN]


def test_the_phase_in_which_it_ended_badly_is_not_measured() -> None:
    failed = [*GOOD[:7], (S.ROLLED_BACK, 90.0)]

    assert list(phase_durations(failed)) == [Phase.PLAN, Phase.PREPARE]


def test_phases_jumped_over_are_missing() -> None:
    assert phase_durations([(S.SCHEDULED, 0), (S.SOAKING, 10), (S.SUCCEEDED, 30)]) == {Phase.PLAN: 10, Phase.OPERATE: 20}


def test_a_clock_set_back_never_gives_negative_seconds() -> None:
    assert phase_durations([(S.SCHEDULED, 50), (S.OFFERED, 10)]) == {Phase.PLAN: 0}


def test_a_proof_after_a_wrong_guess_is_measured() -> None:
    """A terminal that was given up boots after all: the time as ``failed`` belongs to no phase."""
    assert phase_durations([*GOOD[:7], (S.FAILED, 500), (S.VERIFYING, 900), (S.SOAKING, 910), (S.SUCCEEDED, 930)]) == {
        Phase.PLAN: 10,
        Phase.PREPARE: 20,
        Phase.EXECUTE: 30 + 440,
        Phase.VERIFY: 10,
        Phase.OPERATE: 20,
    }


def test_many_upgrades_are_collected_by_the_name_of_the_phase() -> None:
    samples = by_phase([GOOD, GOOD[:3], []])

    assert samples == {"plan": [10, 10], "prepare": [20], "execute": [40], "verify": [10], "operate": [100]}
