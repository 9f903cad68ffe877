"""The terms of a campaign: what may be said of it, what holds when nothing is said, and how the store keeps it.

``services.campaigns`` checks terms before anything is stored; the engine reads the stored form back into the core's plan and
rollout. The keys of ``as_settings`` are that form: they are never renamed, and a missing key means the default given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from gateway.core.budgets import Limit
from gateway.core.pace import Rollout
from gateway.core.plan import DEADLINES_S
from gateway.core.states import UpgradeState
from gateway.errors import RequestError
from gateway.services import windows

CANARY_MAX: Final = 1000
YEAR_S: Final = 366 * 86_400.0
#: Share of the canaries that has to pass when nothing is said: one shop that declines must not hold up the fleet.
CANARY_NEEDED_SHARE: Final = 0.8
FIRST_CHUNK_KIB: Final = (1, 4, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Pace, stop rules and conditions. ``RequestError`` (``terms_invalid`` or ``rollout_invalid``) when they make no sense."""

    # who goes first
    canary_count: int = 0
    canary_needed: int | None = None
    """Canaries that have to pass; by default four of five, rounded up."""
    gate: Literal["verified", "succeeded"] = "succeeded"
    """What passing means: self-tests proved that it works, or it also survived its soak."""

    # how fast, and when to stop
    max_active: int = 50
    failure_ratio: float = 0.1
    failure_min: int = 5
    duration_s: float = 30 * 86_400.0
    """The campaign ends this long after its start, unless it has a fixed end."""

    # what each terminal goes through
    ask_merchant: bool = True
    soak_s: float = 86_400.0
    health_every_s: float = 900.0
    boot_budget_s: float = 600.0
    attempts_max: int = 3
    recheck_s: float = 300.0
    retry_scale: float = 1.0
    progress_every_s: float = 5.0
    first_chunk_kib: int = 4
    deadlines_s: Mapping[str, float] = field(default_factory=dict)
    """Longest stay by state; a state that is missing keeps its usual one."""

    # what its transfers may take together
    bytes_per_s: int = 0
    bytes_per_day: int = 0
    """0 sets no limit; a person may set another while it runs (``budgets``)."""

    # what comes between staged and install
    install_window: Mapping[str, Any] | None = None
    """Installs begin inside it only (``windows``); ``None``: at any time."""
    install_on_release: bool = False
    """Installs begin only once an operator has released them."""
    install_released_by: str = ""
    """Who did."""

    # what the operator saw and accepted when resuming
    forgiven_count: int = 0
    canary_waived: bool = False

    def __post_init__(self) -> None:
        _check(self.canary_count <= CANARY_MAX, "canary_count", f"at most {CANARY_MAX}")
        for name, low_s, high_s in _DURATIONS:
            value = getattr(self, name)
            _check(low_s <= value <= high_s, name, f"{low_s:g} to {high_s:g} seconds")
        _check(1 <= self.attempts_max <= 20, "attempts_max", "1 to 20")
        _check(0.001 <= self.retry_scale <= 10, "retry_scale", "0.001 to 10")
        _check(self.first_chunk_kib in FIRST_CHUNK_KIB, "first_chunk_kib", "1, 4 or 16")
        _check(self.max_active <= 1_000_000, "max_active", "at most 1000000")
        for state, longest_s in self.deadlines_s.items():
            known = ", ".join(DEADLINES_S)
            _check(state in {one.value for one in DEADLINES_S}, "deadlines_s", f"states with a deadline: {known}")
            _check(1 <= longest_s <= YEAR_S, "deadlines_s", f"1 to {YEAR_S:g} seconds for each state")
        windows.normal(self.install_window)
        self.rollout()
        self.limit()

    @property
    def needed(self) -> int:
        """Canaries that have to pass."""
        if self.canary_needed is not None:
            return self.canary_needed
        return -int(-self.canary_count * CANARY_NEEDED_SHARE // 1)

    def rollout(self) -> Rollout:
        """The core's view of pace and stop rules."""
        return Rollout(
            canary_count=self.canary_count,
            canary_needed=self.needed,
            max_active=self.max_active,
            failure_ratio=self.failure_ratio,
            failure_min=self.failure_min,
            gate=self.gate,
            forgiven_count=self.forgiven_count,
            canary_waived=self.canary_waived,
        )

    def limit(self) -> Limit:
        """The core's view of its budget; ``RequestError`` (``budget_invalid``)."""
        return Limit(bytes_per_s=self.bytes_per_s, bytes_per_day=self.bytes_per_day)

    def deadline_s(self, state: UpgradeState) -> float | None:
        """The longest stay in ``state``; ``None`` where only the campaign's end counts."""
        return self.deadlines_s.get(state.value, DEADLINES_S.get(state))

    def as_settings(self) -> dict[str, Any]:
        """The stored form."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {
            "canary_needed": self.needed,
            "deadlines_s": dict(self.deadlines_s),
            "install_window": windows.normal(self.install_window),
        }


def of_settings(settings: Mapping[str, Any]) -> Terms:
    """The terms in a stored form; keys that are not terms are left out."""
    known = {one.name for one in fields(Terms)}
    return Terms(**{key: value for key, value in settings.items() if key in known})


#: Field, and what it may be between, in seconds.
_DURATIONS: Final[tuple[tuple[str, float, float], ...]] = (
    ("duration_s", 1, YEAR_S),
    ("soak_s", 0, 30 * 86_400),
    ("health_every_s", 1, 86_400),
    ("boot_budget_s", 1, 86_400),
    ("recheck_s", 0.1, 7 * 86_400),
    ("progress_every_s", 0.1, 3600),
)


def _check(holds: bool, name: str, expected: str) -> None:  # noqa: FBT001 - a check reads best with its condition first
    if not holds:
        raise RequestError(f"{name} must be {expected}", code="terms_invalid", field=name)
