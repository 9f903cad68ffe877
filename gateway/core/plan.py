"""What a campaign wants of each of its terminals: the package, the conditions and the deadlines. Shared by all its upgrades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.core.budgets import Limit
from gateway.core.readiness import Need
from gateway.core.staging import Staging
from gateway.core.states import UpgradeState

_HOUR_S: Final = 3600.0

#: How long each waiting state may last before silence or indecision ends it (seconds). In ``transferring`` it runs from the
#: last progress; ``scheduled`` and ``deferred`` end with the campaign; ``soaking`` counts from the end of the soak.
DEADLINES_S: Final[Mapping[UpgradeState, float]] = {
    UpgradeState.OFFERED: 24 * _HOUR_S,
    UpgradeState.PREPARING: 12 * _HOUR_S,
    UpgradeState.READY: 1 * _HOUR_S,
    UpgradeState.TRANSFERRING: 6 * _HOUR_S,
    UpgradeState.INSTALLING: 1 * _HOUR_S,
    UpgradeState.VERIFYING: 1 * _HOUR_S,
    UpgradeState.SOAKING: 72 * _HOUR_S,
    UpgradeState.ROLLING_BACK: 2 * _HOUR_S,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The package, as far as an upgrade needs to know it."""

    package: str
    component: str
    version: str
    size_bytes: int
    sha256: bytes
    manifest: bytes
    """The publisher's signed manifest, passed on to terminals untouched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The terms of one campaign, fixed while it runs."""

    campaign: str
    target: Target
    need: Need
    ask_merchant: bool
    soak_s: float
    health_every_s: float
    boot_budget_s: float
    ends_at: float
    """Unix seconds; what has not begun to install by then expires."""
    attempts_max: int = 3
    recheck_s: float = 300.0
    """How long to wait before asking again a terminal that was not ready."""
    retry_scale: float = 1.0
    """Multiplies the delays of ``core.retry``; below 1 for rehearsals."""
    progress_every_s: float = 5.0
    """How often the stored progress of a transfer is refreshed."""
    deadlines_s: Mapping[UpgradeState, float] = field(default_factory=lambda: DEADLINES_S)
    staging: Staging = field(default_factory=Staging)
    """What comes between staged and install."""
    first_chunk_blocks: int = 4
    limit: Limit = field(default_factory=Limit)
    """Of all its transfers together, unless a person has set another meanwhile."""

    def deadline_s(self, state: UpgradeState) -> float:
        """The longest stay in ``state``; infinity where only the campaign's end counts."""
        return self.deadlines_s.get(state, DEADLINES_S.get(state, float("inf")))
