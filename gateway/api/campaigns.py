"""Routes about campaigns: draw up, preview, start, pause, resume, install, abort, list, show, progress."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query

from gateway.api.budgets import budget_out
from gateway.api.campaign_models import (
    CampaignIn,
    CampaignOut,
    CodeOut,
    CreatedOut,
    NoteIn,
    PreviewOut,
    ProgressOut,
    ResumeIn,
    SpreadOut,
    WaveOut,
)
from gateway.api.estimates import phases_out, remaining_out
from gateway.api.given import Actor, CampaignId, Cursor, Given, InTime, Limit, PageLimit, problems
from gateway.api.shapes import Page, moment, moment_or_none
from gateway.api.terminals import filter_of
from gateway.api.transfers import totals_out
from gateway.core.rollout import CANARY_WAVE
from gateway.services import campaigns, lifecycle, progress
from gateway.services.campaigns import Draft
from gateway.services.progress import CampaignProgress
from gateway.services.terms import Terms
from gateway.store.campaigns import CampaignRow

router = APIRouter(tags=["campaigns"])

_WRONG_STATE = problems(s404="There is none", s409="Not in the state that this needs")


@router.post(
    "/campaigns",
    operation_id="createCampaign",
    summary="Draw up a campaign",
    status_code=201,
    responses=problems(s404="No such package", s409="Package withdrawn", s422="Invalid, or no terminal fits"),
)
async def create(body: CampaignIn, services: Given, actor: Actor) -> CreatedOut:
    """Draw up a campaign: which package goes where, how fast, and when it stops by itself. Nothing moves before its start."""
    created = await campaigns.create(services, _draft(body), actor=actor)
    return CreatedOut(
        **campaign_out(created.row).model_dump(),
        upgrades_count=created.upgrades_count,
        excluded_count=created.excluded_count,
    )


@router.post(
    "/campaigns:estimate",
    operation_id="estimateCampaign",
    summary="Estimate a campaign beforehand",
    responses=problems(s404="No such package", s409="Package withdrawn", s422="Invalid"),
    dependencies=[InTime],
)
async def estimate(body: CampaignIn, services: Given) -> PreviewOut:
    """How many terminals a campaign would reach and how long it would take, were it started now. Stores nothing."""
    preview = await progress.preview(services, _draft(body))
    return PreviewOut(
        terminals_count=preview.terminals_count,
        excluded_count=preview.excluded_count,
        online_count=preview.online_count,
        package_bytes=preview.package.size_bytes,
        upgrade_phases=phases_out(preview.upgrade),
        remaining=remaining_out(preview.remaining, services.now_us()),
    )


@router.get("/campaigns", operation_id="listCampaigns", summary="List campaigns", responses=problems(s422="Invalid"))
async def listing(
    services: Given,
    state: Annotated[list[str] | None, Query(max_length=8, description="May be given several times.")] = None,
    cursor: Cursor = None,
    limit: Limit = PageLimit,
) -> Page[CampaignOut]:
    """Campaigns, newest first."""
    page = await campaigns.listing(services, states=state or (), cursor=cursor, limit=limit)
    return Page(items=[campaign_out(row) for row in page.rows], next=page.next)


@router.get(
    "/campaigns/{campaign}",
    operation_id="showCampaign",
    summary="Show one campaign and its terms",
    responses=problems(s404="There is none"),
)
async def show(campaign: CampaignId, services: Given) -> CampaignOut:
    """One campaign and its terms."""
    return campaign_out(await campaigns.show(services, campaign))


@router.get(
    "/campaigns/{campaign}/progress",
    operation_id="showCampaignProgress",
    summary="Show how a campaign stands",
    responses=problems(s404="There is none"),
)
async def show_progress(campaign: CampaignId, services: Given) -> ProgressOut:
    """How it stands: counts, bytes, failures by code, why it waits, what it measured, how long it still takes."""
    return progress_out(await progress.look(services, campaign))


@router.post("/campaigns/{campaign}/start", operation_id="startCampaign", summary="Start a campaign", responses=_WRONG_STATE)
async def start(campaign: CampaignId, services: Given, actor: Actor) -> CampaignOut:
    """Let a draft run: from now on its terminals are offered the upgrade, as its terms allow."""
    return campaign_out(await lifecycle.start(services, campaign, actor=actor))


@router.post("/campaigns/{campaign}/pause", operation_id="pauseCampaign", summary="Pause a campaign", responses=_WRONG_STATE)
async def pause(
    campaign: CampaignId, services: Given, actor: Actor, body: Annotated[NoteIn | None, Body()] = None
) -> CampaignOut:
    """Start no more upgrades until it is resumed; what is under way goes on."""
    return campaign_out(await lifecycle.pause(services, campaign, actor=actor, note=body.note if body else ""))


@router.post("/campaigns/{campaign}/resume", operation_id="resumeCampaign", summary="Resume a campaign", responses=_WRONG_STATE)
async def resume(
    campaign: CampaignId, services: Given, actor: Actor, body: Annotated[ResumeIn | None, Body()] = None
) -> CampaignOut:
    """Go on. A campaign that its stop rule paused goes on only with `accept_failures`."""
    asked = body or ResumeIn()
    row = await lifecycle.resume(services, campaign, actor=actor, accept_failures=asked.accept_failures, note=asked.note)
    return campaign_out(row)


@router.post(
    "/campaigns/{campaign}/install",
    operation_id="installCampaign",
    summary="Release the installs of a campaign",
    responses=_WRONG_STATE,
)
async def install(
    campaign: CampaignId, services: Given, actor: Actor, body: Annotated[NoteIn | None, Body()] = None
) -> CampaignOut:
    """Release the installs of a campaign with `install_on_release`; its window, if it has one, still holds."""
    return campaign_out(await lifecycle.install(services, campaign, actor=actor, note=body.note if body else ""))


@router.post("/campaigns/{campaign}/abort", operation_id="abortCampaign", summary="Abort a campaign", responses=_WRONG_STATE)
async def abort(
    campaign: CampaignId, services: Given, actor: Actor, body: Annotated[NoteIn | None, Body()] = None
) -> CampaignOut:
    """End it: what does not install yet is cancelled; what does goes on to its proven end."""
    return campaign_out(await lifecycle.abort(services, campaign, actor=actor, note=body.note if body else ""))


def campaign_out(row: CampaignRow) -> CampaignOut:
    """One campaign as an answer."""
    terms = dict(row.settings)
    selection = terms.pop("selection", {})
    return CampaignOut(
        id=row.id,
        name=row.name,
        package=row.package,
        state=row.state,
        reason=row.reason,
        stopped_by_rule=lifecycle.stopped_by_rule(row),
        terms=terms,
        selection=selection,
        created_at=moment(row.created_us),
        created_by=row.created_by,
        started_at=moment_or_none(row.started_us),
        ends_at=moment_or_none(row.ends_us),
        finished_at=moment_or_none(row.finished_us),
    )


def progress_out(look: CampaignProgress) -> ProgressOut:
    """How a campaign stands, as an answer."""
    return ProgressOut(
        campaign=campaign_out(look.row),
        at=moment(look.at_us),
        total_count=look.total,
        settled_count=look.settled,
        by_state={state.value: count for state, count in look.by_state.items()},
        waves=[
            WaveOut(
                wave=wave.wave,
                name="canary" if wave.wave == CANARY_WAVE else "rest",
                total_count=wave.total,
                by_state={state.value: count for state, count in wave.by_state.items()},
            )
            for wave in look.waves
        ],
        places_taken_count=look.places_taken,
        places_count=look.max_active,
        package_bytes=look.package.size_bytes,
        verified_bytes=look.verified_bytes,
        wanted_bytes=look.package.size_bytes * look.total,
        codes=[CodeOut(state=one.state.value, code=one.code, count=one.count) for one in look.codes],
        why=look.why,
        why_code=look.why_code,
        install_waits=look.install_waits,
        upgrade_phases=phases_out(look.upgrade),
        remaining=remaining_out(look.remaining, look.at_us),
        budget=budget_out(look.budget),
        transfers=totals_out(look.transfers),
        measured={
            phase: SpreadOut(
                count=spread.count,
                low_s=round(spread.low_s, 3),
                median_s=round(spread.median_s, 3),
                high_s=round(spread.high_s, 3),
            )
            for phase, spread in look.measured.items()
        },
    )


def _draft(body: CampaignIn) -> Draft:
    named = {"canary_count": len(set(body.canaries))} if body.canaries else {}
    return Draft(
        name=body.name,
        package=body.package,
        selection=body.terminals if isinstance(body.terminals, list) else filter_of(body.terminals),
        terms=Terms(**body.terms.model_dump(exclude_none=True) | named),
        canaries=tuple(dict.fromkeys(body.canaries)),
        ends_us=None if body.ends_at is None else int(body.ends_at.timestamp() * 1e6),
    )
