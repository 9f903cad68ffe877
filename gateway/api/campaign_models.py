"""Bodies about campaigns: what one is to be, how one stands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from gateway.api.budget_models import BudgetOut
from gateway.api.shapes import Answer, Ask, Id, Name
from gateway.api.terminal_models import TerminalFilterIn
from gateway.api.transfer_models import TransferTotalsOut

NAMED_MAX: Final = 10_000
Note = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


class WindowIn(Ask):
    """A stretch of every named day. End before start: it crosses midnight; both equal: it lasts 24 hours."""

    days: list[str] | None = Field(default=None, max_length=7, description="`mon` to `sun`, by its start; default all.")
    start: str = Field(max_length=8, description="Such as `02:00`.")
    end: str = Field(max_length=8, description="First moment outside.")
    zone: str | None = Field(
        default=None, max_length=64, description="IANA name, or `terminal` (default): each terminal's own, UTC if unknown."
    )


class TermsIn(Ask):
    """Pace, stop rules and conditions; what is not given has the default that docs/operations.md names."""

    canary_count: int | None = Field(default=None, ge=0, le=1000, description="Upgrades that go first; 0 lets all go at once.")
    canary_needed: int | None = Field(default=None, ge=0, description="Canaries that have to pass; default four of five.")
    gate: Literal["verified", "succeeded"] | None = Field(
        default=None, description="What passing means for a canary: it works, or it also survived its soak (default)."
    )
    max_active: int | None = Field(
        default=None, ge=1, description="Most upgrades under way at once on terminals that are online."
    )
    failure_ratio: float | None = Field(
        default=None, ge=0, le=1, description="The campaign pauses above this share of failures."
    )
    failure_min: int | None = Field(default=None, ge=1, description="Judged upgrades before that share means anything.")
    duration_s: float | None = Field(default=None, gt=0, description="The campaign ends this long after its start.")
    ask_merchant: bool | None = Field(default=None, description="Whether the merchant must consent.")
    soak_s: float | None = Field(default=None, ge=0, description="How long a terminal is watched after its self-tests passed.")
    health_every_s: float | None = Field(default=None, gt=0, description="How often it reports its health meanwhile.")
    boot_budget_s: float | None = Field(default=None, gt=0, description="It falls back by itself when not proven by then.")
    attempts_max: int | None = Field(default=None, ge=1)
    recheck_s: float | None = Field(default=None, gt=0, description="How long to wait before asking again what was not ready.")
    retry_scale: float | None = Field(default=None, gt=0, description="Multiplies all retry delays; below 1 for rehearsals.")
    progress_every_s: float | None = Field(default=None, gt=0, description="How often a transfer's progress is stored.")
    first_chunk_kib: Literal[1, 4, 16] | None = Field(default=None, description="Chunk size before the link was measured.")
    deadlines_s: dict[str, float] | None = Field(default=None, max_length=16, description="Longest stay by upgrade state.")
    bytes_per_s: int | None = Field(default=None, ge=0, description="Most bytes per second of its transfers together.")
    bytes_per_day: int | None = Field(default=None, ge=0, description="Most bytes per day of its transfers together.")
    install_window: WindowIn | None = Field(default=None, description="Transfer at any time, install inside this window only.")
    install_on_release: bool | None = Field(default=None, description="Install only once an operator has released it.")


class CampaignIn(Ask):
    """A campaign to be drawn up."""

    name: Name
    package: Id
    terminals: Annotated[list[Id], Field(max_length=NAMED_MAX)] | TerminalFilterIn = Field(
        description="Ids (at most 10,000; all must be registered and of a model that the package is for), or a filter."
    )
    canaries: list[Id] = Field(default_factory=list, max_length=1000, description="Terminals that go first, by id.")
    ends_at: AwareDatetime | None = Field(default=None, description="A fixed end, instead of `duration_s`.")
    terms: TermsIn = Field(default_factory=TermsIn)

    @model_validator(mode="after")
    def _agree(self) -> CampaignIn:
        if not self.terminals:
            raise ValueError(f"name 1 to {NAMED_MAX} terminals, or use a filter")
        if self.canaries and self.terms.canary_count is not None:
            raise ValueError("give canaries or terms.canary_count, not both")
        if self.ends_at is not None and self.terms.duration_s is not None:
            raise ValueError("give ends_at or terms.duration_s, not both")
        return self


class NoteIn(Ask):
    """Why; kept in the ledger and shown with the campaign."""

    note: Note = ""


class ResumeIn(NoteIn):
    """Why, and whether what made the stop rule speak is accepted."""

    accept_failures: bool = False


class CampaignOut(Answer):
    """One campaign."""

    id: str
    name: str
    package: str
    state: str = Field(description="`draft`, `running`, `paused`, `aborted` or `finished`.")
    reason: str = Field(description="Why it was paused or ended last; begins with `operator:` when a person did it.")
    stopped_by_rule: bool = Field(description="Paused by its own stop rule, not by a person.")
    terms: dict[str, object]
    selection: dict[str, object] = Field(description="Which terminals were meant when it was drawn up.")
    created_at: datetime
    created_by: str
    started_at: datetime | None
    ends_at: datetime | None
    finished_at: datetime | None


class CreatedOut(CampaignOut):
    """A campaign that was just drawn up."""

    upgrades_count: int
    excluded_count: int = Field(description="Terminals that the filter meant and whose model the package is not for.")


class RangeOut(Answer):
    """A duration between two ends."""

    low_s: float
    high_s: float
    text: str = Field(description="The same in words, e.g. `4 min to 2 h`.")


class PhaseEstimateOut(RangeOut):
    """How long one phase takes, and what that is based on."""

    basis: str = Field(description="`usual`, `measured` in this campaign, or `computed` from size, rate and soak.")


class RemainingOut(RangeOut):
    """How long a campaign still takes, for 95 % of the terminals that can be reached."""

    reachable_count: int
    unreachable_count: int = Field(description="Upgrades whose terminal is away; nothing is promised for them.")
    ends_earliest_at: datetime
    ends_latest_at: datetime


class SpreadOut(Answer):
    """Measured durations of one phase."""

    count: int
    low_s: float = Field(description="A tenth took less.")
    median_s: float
    high_s: float = Field(description="A tenth took more.")


class WaveOut(Answer):
    """How one wave stands."""

    wave: int
    name: str
    total_count: int
    by_state: dict[str, int]


class CodeOut(Answer):
    """So many upgrades in one state carry one code."""

    state: str
    code: str
    count: int


class ProgressOut(Answer):
    """How a campaign stands."""

    campaign: CampaignOut
    at: datetime
    total_count: int
    settled_count: int
    by_state: dict[str, int]
    waves: list[WaveOut]
    places_taken_count: int
    places_count: int
    package_bytes: int
    verified_bytes: int = Field(description="Bytes verified on all terminals together.")
    wanted_bytes: int = Field(description="What that would be, had every terminal the whole package.")
    codes: list[CodeOut] = Field(description="Why upgrades failed, were refused or wait; most frequent first.")
    why: str = Field(description="What the campaign does now or waits for.")
    why_code: str
    install_waits: str = Field(description="What staged upgrades wait for; empty when none is staged.")
    upgrade_phases: dict[str, PhaseEstimateOut] = Field(description="One upgrade from its offer on, by phase.")
    remaining: RemainingOut
    measured: dict[str, SpreadOut] = Field(description="What this campaign's phases really took.")
    budget: BudgetOut = Field(description="What its transfers may cost together.")
    transfers: TransferTotalsOut = Field(description="What its transfers cost together; at most a few seconds old.")


class PreviewOut(Answer):
    """How long a campaign would take, were it started now."""

    terminals_count: int
    excluded_count: int
    online_count: int
    package_bytes: int
    upgrade_phases: dict[str, PhaseEstimateOut]
    remaining: RemainingOut
