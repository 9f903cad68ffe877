"""Durations as answers: ranges, phases and remaining times; used by the routes of campaigns and upgrades."""

from __future__ import annotations

from datetime import timedelta

from gateway.api.campaign_models import PhaseEstimateOut, RangeOut, RemainingOut
from gateway.api.shapes import moment
from gateway.core.estimate import ZERO, CampaignEstimate, Estimate, Range


def range_out(span: Range) -> RangeOut:
    """A range as an answer."""
    return RangeOut(low_s=round(span.low_s, 3), high_s=round(span.high_s, 3), text=str(span))


def phases_out(estimate: Estimate) -> dict[str, PhaseEstimateOut]:
    """The whole length of every phase, each with its basis."""
    return {
        phase.value: PhaseEstimateOut(**range_out(span).model_dump(), basis=estimate.basis[phase])
        for phase, span in estimate.phases.items()
    }


def left_out(estimate: Estimate) -> dict[str, RangeOut]:
    """What is left of every phase."""
    return {phase.value: range_out(span) for phase, span in estimate.left.items()}


def remaining_out(estimate: CampaignEstimate, at_us: int) -> RemainingOut:
    """What a campaign still takes, and when that would be over."""
    now = moment(at_us)
    span = estimate.remaining
    return RemainingOut(
        **range_out(span).model_dump(exclude={"text"}),
        text=_words(estimate),
        reachable_count=estimate.reachable_count,
        unreachable_count=estimate.unreachable_count,
        ends_earliest_at=now + timedelta(seconds=span.low_s),
        ends_latest_at=now + timedelta(seconds=span.high_s),
    )


def _words(estimate: CampaignEstimate) -> str:
    """The range, and for how many it does not hold: "0 s" alone would promise an end that nobody knows."""
    away = estimate.unreachable_count
    if not away:
        return str(estimate.remaining)
    unknown = f"unknown for {away} out of reach"
    return unknown if estimate.remaining == ZERO else f"{estimate.remaining}, {unknown}"
