"""What one transfer cost: bytes, pauses, and how fast and how late its chunks came, in a few hundred bytes however long it ran.

``Histogram`` is what the transfer's driver measures with; ``Account`` is the figure that is stored, shown and used by later
estimates. Nothing here knows the clock or keeps a sample: a transfer of a week costs what one of a minute costs.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Final, Self

RATIO: Final = 1.08
"""Upper over lower edge of a bucket: a quantile is off by at most its square root, 4 %."""
BUCKETS: Final = 120
"""So one histogram spans four decades above ``low``."""
GOODPUT_LOW_BPS: Final = 500.0
"""Goodput is told apart from 500 B/s (a dying GPRS link) to 5 MB/s."""
DELAY_LOW_MS: Final = 1.0
"""Queueing delay is told apart from 1 ms to 10 s."""

_LOG_RATIO: Final = math.log(RATIO)


class PauseCause(StrEnum):
    """Why a transfer stood still. Time in them is no part of its goodput."""

    PAYMENT = "payment"
    """The terminal braked for its merchant."""
    BUDGET = "budget"
    """A budget of bytes was empty."""
    CREDIT = "credit"
    """The terminal had no room, or wrote to flash, and no payment ran."""
    SILENCE = "silence"
    """Nothing came back: the terminal was away, or its link was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """All pauses of one cause together."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Of ``count`` samples; each figure is within 4 % of the sample of that rank."""

    p10: float
    p50: float
    p90: float
    p95: float
    p99: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One transfer so far. ``sent_bytes`` = useful on the terminal or still in flight + ``resent_bytes``."""

    useful_bytes: int
    """Bytes of the package that the terminal acknowledged, each counted once."""
    sent_bytes: int
    """Bytes of the package that were published, again or not."""
    resent_bytes: int
    """Of ``sent_bytes``, those that had been published in this transfer before."""
    overhead_bytes: int
    """Headers of chunks, and acks: what the transfer cost besides the package."""
    chunks: int
    acks: int
    probes: int
    connections: int
    """Bulk connections that it went through; every one after the first followed a break or a pause."""
    pauses: Mapping[str, Pause]
    """By ``PauseCause``; a cause that never occurred is left out."""
    goodput_bps: Quantiles | None
    """Bytes per second, over time neither idle nor paused."""
    delay_ms: Quantiles | None
    """One-way delay over the smallest known, so the queue that the transfer itself stood in."""


class Histogram:
    """Counters over ``BUCKETS`` logarithmic buckets from ``low`` upward; what lies outside counts to the nearest edge's.

    Thousands are alive at once, so only the buckets up to the highest used one are kept, as machine words.
    """

    __slots__ = ("_counts", "_total", "low")

    def __init__(self, low: float) -> None:
        if not (math.isfinite(low) and low > 0):
            raise ValueError(f"the lowest edge must be above 0, not {low}")
        self.low = low
        self._counts = array("Q")
        self._total = 0

    @classmethod
    def of(cls, low: float, counts: Sequence[int]) -> Self:
        """Return what ``counts()`` was taken from."""
        if len(counts) > BUCKETS or any(count < 0 for count in counts):
            raise ValueError(f"not the counters of a histogram: {len(counts)} of them, the least {min(counts, default=0)}")
        histogram = cls(low)
        histogram._counts = array("Q", counts)
        histogram._total = sum(counts)
        return histogram

    def __len__(self) -> int:
        """How many samples were added."""
        return self._total

    def add(self, value: float, times: int = 1) -> None:
        """Count ``value`` ``times``: a weight, for example the milliseconds for which a rate held."""
        above = value / self.low
        index = min(int(math.log(above) / _LOG_RATIO), BUCKETS - 1) if above > 1 else 0
        self._reach(index + 1)
        self._counts[index] += times
        self._total += times

    def merge(self, other: Histogram) -> None:
        """Add all that ``other`` holds; both must begin at the same edge."""
        if other.low != self.low:
            raise ValueError(f"histograms from {self.low} and from {other.low} do not add up")
        self._reach(len(other._counts))
        for index, count in enumerate(other._counts):
            self._counts[index] += count
        self._total += other._total

    def counts(self) -> tuple[int, ...]:
        """Return the counters without the zeros at the end: what a snapshot keeps."""
        last = next((index for index in range(len(self._counts) - 1, -1, -1) if self._counts[index]), -1)
        return tuple(self._counts[: last + 1])

    def quantile(self, part: float) -> float:
        """Return the value that ``part`` (0..1) of the samples do not exceed; ``ValueError`` when there are none."""
        if not self._total:
            raise ValueError("an empty histogram has no quantiles")
        rank = max(1, math.ceil(part * self._total))
        index = next(place for place, below in enumerate(accumulate(self._counts)) if below >= rank)
        return self.low * math.exp((index + 0.5) * _LOG_RATIO)

    def quantiles(self) -> Quantiles | None:
        """Return the figures that are stored; None when nothing was measured."""
        if not self._total:
            return None
        p10, p50, p90, p95, p99 = (self.quantile(part) for part in (0.10, 0.50, 0.90, 0.95, 0.99))
        return Quantiles(p10=p10, p50=p50, p90=p90, p95=p95, p99=p99, count=self._total)

    def _reach(self, buckets: int) -> None:
        """Have at least so many counters."""
        missing = buckets - len(self._counts)
        if missing > 0:
            self._counts.extend([0] * missing)
