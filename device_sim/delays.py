"""Delays of payments, counted in bounded space: with a transfer beside them, and what the same would have been without."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

STEPS_PER_OCTAVE: Final = 24  # buckets of 2.9 %
LEAST_S: Final = 1e-4
QUANTILES: Final = (50, 95, 99)


class Delays:
    """Two histograms with logarithmic buckets; what is below ``LEAST_S`` counts as 0."""

    __slots__ = ("_alone", "_with", "count")

    def __init__(self) -> None:
        self._with: Counter[int] = Counter()
        self._alone: Counter[int] = Counter()
        self.count = 0

    def note(self, delay_s: float, alone_s: float) -> None:
        """One payment's answer."""
        self.count += 1
        self._with[_bucket(delay_s)] += 1
        self._alone[_bucket(alone_s)] += 1

    def summary(self) -> dict[str, int | dict[str, float]]:
        """How many, and quantiles in ms: as they were, alone on the link, and the difference of the two."""
        with_it, alone = (_quantiles(counts) for counts in (self._with, self._alone))
        added = {name: round(with_it[name] - alone[name], 1) for name in with_it}
        return {"count": self.count, "delay_ms": with_it, "alone_ms": alone, "added_ms": added}


def _bucket(delay_s: float) -> int:
    return round(STEPS_PER_OCTAVE * math.log2(delay_s / LEAST_S)) if delay_s > LEAST_S else 0


def _quantiles(counts: Mapping[int, int]) -> dict[str, float]:
    """The smallest delay that so many percent do not exceed; nothing without any."""
    found: dict[str, float] = {}
    total, seen = sum(counts.values()), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        for percent in QUANTILES:
            if f"p{percent}" not in found and seen >= percent / 100 * total:
                found[f"p{percent}"] = round(1000 * LEAST_S * 2 ** (bucket / STEPS_PER_OCTAVE), 1) if bucket else 0.0
    return found
