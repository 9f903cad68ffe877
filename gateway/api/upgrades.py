"""Routes about single upgrades."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.api.estimates import left_out, phases_out, range_out
from gateway.api.given import CampaignId, Cursor, Given, Limit, PageLimit, UpgradeId, problems
from gateway.api.shapes import Page, moment
from gateway.api.terminals import entry_out
from gateway.api.upgrade_models import PhaseTimeOut, UpgradeDetailOut, UpgradeEstimateOut, UpgradeOut
from gateway.core.estimate import Estimate
from gateway.services import upgrades
from gateway.store.upgrades import UpgradeRow

router = APIRouter(tags=["upgrades"])


@router.get(
    "/campaigns/{campaign}/upgrades",
    operation_id="listUpgrades",
    summary="List the upgrades of a campaign",
    responses=problems(s404="No such campaign"),
)
async def listing(
    campaign: CampaignId,
    services: Given,
    state: Annotated[list[str] | None, Query(max_length=20, description="May be given several times.")] = None,
    wave: Annotated[int | None, Query(ge=0, le=1_000, description="0 are the canaries, 1 the rest.")] = None,
    cursor: Cursor = None,
    limit: Limit = PageLimit,
) -> Page[UpgradeOut]:
    """The upgrades of one campaign by terminal id."""
    page = await upgrades.listing(services, campaign, states=state or (), wave=wave, cursor=cursor, limit=limit)
    return Page(items=[upgrade_out(seen.row, seen.waits) for seen in page.rows], next=page.next)


@router.get(
    "/upgrades/{upgrade}",
    operation_id="showUpgrade",
    summary="Show one upgrade with its history",
    responses=problems(s404="There is none"),
)
async def show(upgrade: UpgradeId, services: Given) -> UpgradeDetailOut:
    """One upgrade: what its phases took, how long it still takes, and everything that happened."""
    detail = await upgrades.show(services, upgrade)
    return UpgradeDetailOut(
        **upgrade_out(detail.row, detail.waits).model_dump(),
        package=detail.package.id,
        package_bytes=detail.package.size_bytes,
        received_bytes=detail.received_bytes,
        wasted_bytes=detail.wasted_bytes,
        phases=[
            PhaseTimeOut(phase=one.phase.value, entered_at=moment(one.entered_us), spent_s=round(one.spent_s, 3), done=one.done)
            for one in detail.phases
        ],
        estimate=None if detail.estimate is None else _estimate(detail.estimate),
        history=[entry_out(one) for one in detail.history],
    )


def upgrade_out(row: UpgradeRow, waits: str) -> UpgradeOut:
    """One upgrade as an answer."""
    return UpgradeOut(
        id=row.id,
        campaign=row.campaign,
        terminal=row.terminal,
        wave=row.wave,
        state=row.state.value,
        state_since_at=moment(row.state_since_us),
        attempt=row.attempt,
        code=row.code,
        verified_bytes=row.have_bytes,
        waits=waits,
    )


def _estimate(estimate: Estimate) -> UpgradeEstimateOut:
    return UpgradeEstimateOut(remaining=range_out(estimate.remaining), left=left_out(estimate), phases=phases_out(estimate))
