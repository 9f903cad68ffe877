"""How budgets of bytes lengthen an estimate: a rate caps the goodput, a day's budget adds whole days.

``services`` gather the limits in force as ``Allowance``s and pass them to ``capped`` before an estimate and to ``nightly`` and
``no_sooner`` after it. A limit that several transfers share is assumed whole for the fast end and divided for the slow one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.budgets import Limit
from gateway.core.estimate import ZERO, CampaignEstimate, Estimate, Goodput, Phase, Range
from gateway.core.holding import SPREAD_S
from gateway.core.purse import cost_of
from gateway.wire.messages import SEGMENT_BYTES

DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One budget as an estimate sees it."""

    limit: Limit
    used_bytes: int = 0
    """Of today."""
    day_left_s: float = DAY_S
    shared_by: int = 1
    """How many transfers may draw on it at once."""

    def midnights(self, size_bytes: int, *, slow: bool = False) -> int:
        """How many days have to begin before ``size_bytes`` have been sent.

        ``slow``: shared by as many as may be, an eighth more for envelopes and what goes twice, a segment of each day unused.
        """
        if not self.limit.bytes_per_day or size_bytes <= 0:
            return 0
        spare_bytes = cost_of(SEGMENT_BYTES) if slow else 0
        whole = max(self.limit.bytes_per_day - spare_bytes, SEGMENT_BYTES // 2)
        today = max(0, self.limit.bytes_per_day - self.used_bytes - spare_bytes)
        wanted = (size_bytes + size_bytes // 8) * self.shared_by if slow else size_bytes
        return math.ceil(max(0, wanted - today) / whole)

    def wait_s(self, midnights: int) -> float:
        """How long until that many days have begun."""
        return self.day_left_s + (midnights - 1) * DAY_S if midnights else 0.0


def capped(link: Goodput, allowances: Iterable[Allowance]) -> Goodput:
    """The rate that a link reaches under these budgets."""
    low, high = link.low_bytes_per_s, link.high_bytes_per_s
    for one in allowances:
        if one.limit.bytes_per_s:
            low = min(low, one.limit.bytes_per_s / one.shared_by)
            high = min(high, one.limit.bytes_per_s)
    return Goodput(low_bytes_per_s=low, high_bytes_per_s=high)


def limits_rate(allowances: Iterable[Allowance]) -> bool:
    """Whether ``capped`` would say anything."""
    return any(one.limit.bytes_per_s for one in allowances)


def nightly(estimate: Estimate, size_bytes: int, bytes_left: int, allowances: Sequence[Allowance]) -> Estimate:
    """An upgrade's estimate with the days that it waits for; they belong to the phase that transfers.

    Measured phases know of them already.
    """
    if estimate.basis[Phase.EXECUTE] == "measured":
        return estimate
    whole = _wait(size_bytes, estimate.phases[Phase.EXECUTE], allowances)
    left = _wait(bytes_left, estimate.left[Phase.EXECUTE], allowances)
    if whole == ZERO == left:
        return estimate
    return replace(
        estimate,
        phases={**estimate.phases, Phase.EXECUTE: estimate.phases[Phase.EXECUTE] + whole},
        left={**estimate.left, Phase.EXECUTE: estimate.left[Phase.EXECUTE] + left},
        remaining=estimate.remaining + left,
    )


def no_sooner(found: CampaignEstimate, bytes_left: int, allowances: Iterable[Allowance]) -> CampaignEstimate:
    """What a campaign still takes, when all of its ``bytes_left`` have to pass through budgets that its terminals share."""
    remaining = found.remaining
    for one in allowances:
        least_s = one.wait_s(one.midnights(bytes_left))
        if one.limit.bytes_per_s:
            least_s = max(least_s, bytes_left / one.limit.bytes_per_s)
        # Envelopes and repeated chunks count too, and not every byte of a day is used.
        most_s = least_s * 1.25 + (DAY_S if one.limit.bytes_per_day and least_s else 0.0)
        remaining = Range(max(remaining.low_s, least_s), max(remaining.high_s, most_s))
    return replace(found, remaining=remaining)


def _wait(size_bytes: int, phase: Range, allowances: Iterable[Allowance]) -> Range:
    """What the wait for new days adds to a phase that takes ``phase`` without them."""
    low_s = high_s = 0.0
    for one in allowances:
        most = one.midnights(size_bytes, slow=True)
        low_s = max(low_s, one.wait_s(one.midnights(size_bytes)) - phase.low_s)
        high_s = max(high_s, one.wait_s(most) + most * SPREAD_S)
    return Range(min(low_s, high_s), high_s)
