"""The deadlines of a plan."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.plan import DEADLINES_S
from gateway.core.states import UpgradeState
from tests.unit.core.build import PLAN


def test_a_campaign_may_shorten_one_deadline_and_keeps_the_others() -> None:
    """A missing state keeps its usual one."""
    plan = replace(PLAN, deadlines_s={UpgradeState.OFFERED: 60.0})

    assert plan.deadline_s(UpgradeState.OFFERED) == 60.0
    assert plan.deadline_s(UpgradeState.INSTALLING) == DEADLINES_S[UpgradeState.INSTALLING]


def test_states_that_end_with_the_campaign_have_no_deadline_of_their_own() -> None:
    """Waiting is no failure."""
    assert PLAN.deadline_s(UpgradeState.SCHEDULED) == float("inf")
    assert PLAN.deadline_s(UpgradeState.DEFERRED) == float("inf")
