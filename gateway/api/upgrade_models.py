"""Bodies about single upgrades."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.api.campaign_models import PhaseEstimateOut, RangeOut
from gateway.api.shapes import Answer, EntryOut


class UpgradeOut(Answer):
    """One terminal's share of a campaign."""

    id: str
    campaign: str
    terminal: str
    wave: int
    state: str
    state_since_at: datetime
    attempt: int
    code: str = Field(description="Why it failed, was refused or waits; `ok` or empty when nothing is wrong.")
    verified_bytes: int
    waits: str = Field(description="What it waits for and until when: install, next try, offer, new bytes; else empty.")


class PhaseTimeOut(Answer):
    """What one phase took."""

    phase: str
    entered_at: datetime
    spent_s: float
    done: bool


class UpgradeEstimateOut(Answer):
    """How long it still takes."""

    remaining: RangeOut
    left: dict[str, RangeOut] = Field(description="What is left, by phase.")
    phases: dict[str, PhaseEstimateOut] = Field(description="The whole length, by phase.")


class UpgradeDetailOut(UpgradeOut):
    """One upgrade with its phases, estimate and history."""

    package: str
    package_bytes: int
    received_bytes: int | None = Field(
        description="What came over the air, as the terminal counted it; null before it was staged."
    )
    wasted_bytes: int | None = Field(description="Of these, what it held already.")
    phases: list[PhaseTimeOut]
    estimate: UpgradeEstimateOut | None = Field(description="Null once it has ended.")
    history: list[EntryOut] = Field(description="The newest 500 entries, oldest first.")
