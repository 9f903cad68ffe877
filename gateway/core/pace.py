"""The pace and the stop rules that a campaign sets, checked; ``rollout`` decides by them. Decides nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.core.states import UpgradeState
from gateway.errors import RequestError

#: Booted into the new version and proved it by self-tests.
WORKING: Final = frozenset({UpgradeState.SOAKING, UpgradeState.SUCCEEDED})
#: What a canary has to reach, by the name of the gate.
GATES: Final[Mapping[str, frozenset[UpgradeState]]] = {
    "verified": WORKING,
    "succeeded": frozenset({UpgradeState.SUCCEEDED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The pace and the stop rules of one campaign. ``RequestError`` (``rollout_invalid``) when they contradict each other."""

    canary_count: int
    """How many upgrades go first; 0 means that all go at once."""
    canary_needed: int
    """How many of them have to pass the gate before the rest starts."""
    max_active: int
    failure_ratio: float
    """Largest tolerated share of failures, 0..1: above it the campaign pauses."""
    failure_min: int
    """Judged upgrades before that share means anything (the canary wave has no such minimum)."""
    gate: Literal["verified", "succeeded"]
    """What passing means for a canary: self-tests proved it works, or it also survived its soak."""
    forgiven_count: int = 0
    """Failures that the operator saw and accepted by resuming a paused campaign; they no longer count in the share."""
    canary_waived: bool = False
    """The operator resumed although the canaries did not pass: the rest no longer waits for them."""

    def __post_init__(self) -> None:
        _check(self.max_active >= 1, "max_active", self.max_active, "at least 1")
        _check(self.canary_count >= 0, "canary_count", self.canary_count, "0 or more")
        lowest = 1 if self.canary_count else 0
        needed = f"between {lowest} and canary_count ({self.canary_count})"
        _check(lowest <= self.canary_needed <= self.canary_count, "canary_needed", self.canary_needed, needed)
        _check(0.0 <= self.failure_ratio <= 1.0, "failure_ratio", self.failure_ratio, "between 0 and 1")
        _check(self.failure_min >= 1, "failure_min", self.failure_min, "at least 1")
        _check(self.gate in GATES, "gate", self.gate, f"one of {', '.join(GATES)}")
        _check(self.forgiven_count >= 0, "forgiven_count", self.forgiven_count, "0 or more")


def _check(holds: bool, name: str, found: object, expected: str) -> None:  # noqa: FBT001 - a check reads best with its condition first
    if not holds:
        raise RequestError(f"{name} must be {expected}; it is {found!r}", code="rollout_invalid", field=name, found=found)
