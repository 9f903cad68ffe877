"""Plans are what the campaign's row and its signed package say, read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.states import UpgradeState
from gateway.engine.plans import Plans
from gateway.errors import StoreError, TrustError
from gateway.trust.keys import KeyRing, new_private_key, public_of
from tests.unit.engine.rig import MANIFEST, NOW, SIZE, rigged


async def test_a_plan_holds_the_terms_of_its_campaign_and_package(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        await rig.campaign("T1", soak_s=7, first_chunk_kib=16, deadlines_s={"offered": 5.0})
        plan = await rig.plans.of("c1")

        assert (plan.soak_s, plan.first_chunk_blocks) == (7.0, 16)
        assert plan.deadline_s(UpgradeState.OFFERED) == 5.0
        assert plan.ends_at > NOW
        assert (plan.target.version, plan.target.size_bytes, plan.target.sha256) == ("2.0.0", SIZE, MANIFEST.sha256)
        assert await rig.plans.of("c1") is plan
        assert await rig.plans.manifest_of("c1") == MANIFEST


async def test_a_campaign_that_is_gone_is_an_error(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        with pytest.raises(StoreError, match="c9"):
            await rig.plans.of("c9")


async def test_a_publisher_that_is_believed_no_more_starts_nothing_but_leaves_the_plan_of_what_is_under_way(
    tmp_path: Path,
) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        await rig.campaign("T1")
        plans = Plans(rig.db, KeyRing([public_of(new_private_key())]))
        for _ in range(2):
            assert await plans.of("c1") == await rig.plans.of("c1")
            with pytest.raises(TrustError):
                await plans.manifest_of("c1")
