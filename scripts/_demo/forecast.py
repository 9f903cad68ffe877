"""The gateway's estimate on the demo's clock, where shops and terminals run faster than in the field and radio does not.

The gateway estimates for the field: a merchant may take hours. The scenario divides what people and machines take by
``speed``; so does this, for everything but the bytes on the air and the soak, which the campaign's terms fix in real seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.api.campaign_models import PreviewOut
from gateway.core.estimate import Estimate, Goodput, Phase, Range, estimate_campaign
from gateway.core.states import UpgradeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What was said beforehand, for the field and for here."""

    field: Mapping[str, Range]
    here: Mapping[str, Range]
    campaign_field: Range
    campaign_here: Range


def forecast(preview: PreviewOut, *, speed: float, canary_count: int, max_active: int) -> Forecast:
    """The preview of ``tillgate campaign create --estimate``, on both clocks."""
    field = {Phase(name): Range(one.low_s, one.high_s) for name, one in preview.upgrade_phases.items()}
    air = Goodput.usual("lte").seconds_for(preview.package_bytes)
    here = {phase: span.scale(1 / speed) for phase, span in field.items()}
    execute = field[Phase.EXECUTE]
    rest = Range(max(0.0, execute.low_s - air.low_s), max(0.0, execute.high_s - air.high_s, execute.low_s - air.low_s))
    here |= {Phase.OPERATE: field[Phase.OPERATE], Phase.EXECUTE: air + rest.scale(1 / speed)}
    total = sum((here[phase] for phase in Phase), Range(0.0, 0.0))
    campaign = estimate_campaign(
        {UpgradeState.SCHEDULED: preview.terminals_count},
        Estimate(phases=here, left=here, remaining=total, basis=dict.fromkeys(Phase, "usual")),
        max_active=max_active,
        canary_left=canary_count,
    )
    return Forecast(
        field={phase.value: span for phase, span in field.items()},
        here={phase.value: span for phase, span in here.items()},
        campaign_field=Range(preview.remaining.low_s, preview.remaining.high_s),
        campaign_here=campaign.remaining,
    )
