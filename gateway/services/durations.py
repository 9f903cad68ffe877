"""How long things really took, read from the steps in the ledger: per phase of one upgrade, and as samples over a campaign.

Pure; called by ``progress`` and ``upgrades``. A phase counts as measured only once a later one was entered (or it was the
last and the upgrade succeeded): what was cut short says nothing about how long it takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from gateway.core.estimate import STATES, Phase
from gateway.core.states import UpgradeState
from gateway.store.progress import Step

_PHASE_OF: Final[Mapping[str, Phase]] = {state.value: phase for phase, states in STATES.items() for state in states}
_ORDER: Final = list(Phase)
_US: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTime:
    """What one phase of one upgrade took so far."""

    phase: Phase
    entered_us: int
    """When it was entered first."""
    spent_s: float
    """Time in all its states together, tries included."""
    done: bool
    """Whether the upgrade has left it for a later one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Measured durations of one phase over a campaign, in seconds."""

    count: int
    low_s: float
    """A tenth took less."""
    median_s: float
    high_s: float
    """A tenth took more."""


def phases_of(steps: Sequence[Step], now_us: int, *, from_us: int = 0) -> list[PhaseTime]:
    """What each phase that was entered took, in order. Time before ``from_us`` (the campaign's start) is nobody's."""
    spent: dict[Phase, int] = {}
    entered: dict[Phase, int] = {}
    furthest = -1
    for step, following in zip_longest(steps, steps[1:]):
        phase = _PHASE_OF.get(step.state)
        if phase is None:
            if step.state == UpgradeState.SUCCEEDED.value:
                furthest = len(_ORDER)
            continue
        begin_us = max(step.entered_us, from_us)
        end_us = max(begin_us, following.entered_us if following else now_us)
        entered.setdefault(phase, begin_us)
        spent[phase] = spent.get(phase, 0) + end_us - begin_us
        furthest = max(furthest, _ORDER.index(phase))
    return [
        PhaseTime(phase=phase, entered_us=entered[phase], spent_s=spent[phase] / _US, done=place < furthest)
        for place, phase in enumerate(_ORDER)
        if phase in spent
    ]


def samples(timelines: Iterable[Sequence[Step]], now_us: int, *, from_us: int = 0) -> dict[str, list[float]]:
    """Finished durations by phase over many upgrades, as ``core.estimate.measured_ranges`` takes them."""
    found: dict[str, list[float]] = {}
    for steps in timelines:
        for one in phases_of(steps, now_us, from_us=from_us):
            if one.done:
                found.setdefault(one.phase.value, []).append(one.spent_s)
    return found


def transfer_times(timelines: Iterable[Sequence[Step]]) -> list[float]:
    """Seconds that each completed, uninterrupted transfer took."""
    found: list[float] = []
    for steps in timelines:
        moving = [at for at, step in enumerate(steps) if step.state == UpgradeState.TRANSFERRING.value]
        if len(moving) != 1 or moving[0] + 1 >= len(steps):
            continue
        begun, ended = steps[moving[0]], steps[moving[0] + 1]
        if ended.state == UpgradeState.STAGED.value and ended.entered_us > begun.entered_us:
            found.append((ended.entered_us - begun.entered_us) / _US)
    return found


def spread_of(durations_s: Sequence[float]) -> Spread:
    """The spread of at least one duration."""
    ordered = sorted(durations_s)
    return Spread(
        count=len(ordered),
        low_s=_quantile(ordered, 0.1),
        median_s=_quantile(ordered, 0.5),
        high_s=_quantile(ordered, 0.9),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest."""
    at = share * (len(ordered) - 1)
    low, high = math.floor(at), math.ceil(at)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
