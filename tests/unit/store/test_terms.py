"""What a campaign's row says is what the core gets, with the usual where it says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.states import UpgradeState
from gateway.services.terms import Terms
from gateway.store.campaigns import CampaignRow
from gateway.store.terms import DEFAULT_DURATION_S, plan_of, rollout_of
from tests.integration.store.build import package
from tests.unit.engine.rig import MANIFEST, NOW

NOW_US = int(NOW * 1e6)


def campaign(*, ends_us: int | None = None, **settings: Any) -> CampaignRow:  # noqa: ANN401 - any setting
    """A campaign's row with these settings in place of the usual."""
    given = Terms().as_settings() | settings
    return CampaignRow(
        id="c1",
        name="spring",
        package="p1",
        state="running",
        settings=given,
        created_us=NOW_US - 1,
        created_by="operator:li",
        started_us=NOW_US,
        ends_us=ends_us,
    )


def test_a_plan_is_the_campaigns_terms_and_its_package() -> None:
    plan = plan_of(campaign(soak_s=7, first_chunk_kib=16, deadlines_s={"offered": 5.0}), package(), MANIFEST)

    assert (plan.campaign, plan.soak_s, plan.first_chunk_blocks, plan.attempts_max) == ("c1", 7.0, 16, 3)
    assert (plan.deadline_s(UpgradeState.OFFERED), plan.deadline_s(UpgradeState.VERIFYING)) == (5.0, 3600.0)
    assert (plan.target.package, plan.target.version, plan.target.sha256) == ("p1", "2.0.0", MANIFEST.sha256)


def test_a_campaign_without_an_end_ends_a_month_after_its_start() -> None:
    assert plan_of(campaign(), package(), MANIFEST).ends_at == NOW + DEFAULT_DURATION_S
    assert plan_of(campaign(ends_us=NOW_US + 5_000_000), package(), MANIFEST).ends_at == NOW + 5


def test_a_damaged_row_is_no_plan() -> None:
    with pytest.raises(ValueError, match="sleeping"):
        plan_of(campaign(deadlines_s={"sleeping": 5.0}), package(), MANIFEST)


def test_pace_and_stop_rules_come_from_the_terms() -> None:
    rollout = rollout_of(campaign(canary_count=3, canary_needed=2, max_active=9))

    assert (rollout.canary_count, rollout.canary_needed, rollout.max_active, rollout.forgiven_count) == (3, 2, 9, 0)
