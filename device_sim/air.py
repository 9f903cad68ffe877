"""How well a link carries over time: log-normal changes of its rate, stalls and hand-overs, drawn over time alone.

What is sent changes nothing of what comes: ``Air`` is a function of its seed and the time. So twice the same seed is twice the
same link, whatever goes over it; a lane with nothing but payments beside the real one says what each of them would have taken
without a transfer; and ``moved_s`` says what a perfect sender could have got through.

Time is cut into blocks. Each is drawn from the seed and its number when it is first asked for, and only the newest are kept, so
that a terminal that is silent for a day costs nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from random import Random
from typing import Final, NamedTuple

from device_sim.profiles import LinkProfile, Span

BLOCK_S: Final = 64.0
STEP_S: Final = 1.0  # the rate changes so often
_KEPT: Final = 4  # blocks; a queue of 3 s needs two
_LEAST_S: Final = 1e-9  # of air time: what takes no time of it still waits for the end of a stall


class _Block(NamedTuple):
    """Edges of the pieces of a block, the air time that has passed by each edge, and how well each piece carries."""

    times: list[float]
    moved: list[float]
    factors: list[float]


class Air:
    """The air round one terminal, for both directions.

    *Air time* is time weighted by how well the link carries: in one second of it a lane moves what its mean rate moves in a
    second. ``origin`` is the moment of the caller's clock at which the first block begins; no other may be before it.
    """

    __slots__ = ("_blocks", "_link", "_memory", "_origin", "_seed")

    def __init__(self, link: LinkProfile, seed: int, origin: float) -> None:
        self._link = link
        self._seed = seed
        self._origin = origin
        self._memory = math.exp(-STEP_S / link.rate_memory_s)
        self._blocks: dict[int, _Block] = {}

    @staticmethod
    def changes(link: LinkProfile) -> bool:
        """Whether a link has air that ever changes; a lane without it is plain arithmetic."""
        return link.rate_sigma > 0 or link.stalls_per_h > 0 or link.handovers_per_h > 0

    def after(self, start: float, air_s: float) -> float:
        """The moment at which so much air time has passed since ``start``."""
        air_s = max(air_s, _LEAST_S)
        at = start - self._origin
        number = int(at / BLOCK_S)
        while True:
            times, moved, factors = self._block(number)
            place = min(bisect_right(times, at), len(factors)) - 1
            factor = factors[place]
            if factor > 0 and at + air_s / factor <= times[place + 1]:  # nearly always
                return self._origin + at + air_s / factor
            target = moved[place] + (at - times[place]) * factor + air_s
            if target <= moved[-1]:
                place = bisect_left(moved, target) - 1
                return self._origin + times[place] + (target - moved[place]) / factors[place]
            air_s = target - moved[-1]
            number += 1
            at = number * BLOCK_S

    def moved_s(self, start: float, end: float) -> float:
        """The air time between two moments."""
        start, end = start - self._origin, end - self._origin
        whole = range(int(start / BLOCK_S), int(end / BLOCK_S))
        return sum(self._block(number).moved[-1] for number in whole) + self._within(end) - self._within(start)

    def _within(self, at: float) -> float:
        """The air time since the beginning of the block of a moment."""
        times, moved, factors = self._block(int(at / BLOCK_S))
        place = min(bisect_right(times, at), len(factors)) - 1
        return moved[place] + (at - times[place]) * factors[place]

    def _block(self, number: int) -> _Block:
        found = self._blocks.get(number)
        if found is None:
            if len(self._blocks) >= _KEPT:
                del self._blocks[min(self._blocks)]
            found = self._blocks[number] = self._draw(number)
        return found

    def _draw(self, number: int) -> _Block:
        link, rng = self._link, Random(self._seed << 32 | number)
        start = number * BLOCK_S
        pauses = _united(
            _pauses(link.stalls_per_h, link.stall_s, start, rng) + _pauses(link.handovers_per_h, link.handover_s, start, rng)
        )
        block = _Block([start], [0.0], [])
        level = rng.gauss(0.0, 1.0)
        for step in range(round(BLOCK_S / STEP_S)):
            at, end = start + step * STEP_S, start + (step + 1) * STEP_S
            factor = math.exp(link.rate_sigma * level - link.rate_sigma**2 / 2)  # its mean is 1
            level = self._memory * level + math.sqrt(1 - self._memory**2) * rng.gauss(0.0, 1.0)
            for begins, ends in pauses:
                if begins < end and ends > at:
                    _add(block, begins, factor)
                    _add(block, min(ends, end), 0.0)
            _add(block, end, factor)
        return block


def _pauses(per_h: float, lengths_s: Span, start: float, rng: Random) -> list[tuple[float, float]]:
    """Times of one kind in which nothing moves; one that would reach into the next block ends with its own."""
    found: list[tuple[float, float]] = []
    if per_h > 0:
        at = start + rng.expovariate(per_h / 3600)
        while at < start + BLOCK_S:
            end = at + rng.uniform(*lengths_s)
            found.append((at, min(end, start + BLOCK_S)))
            at = end + rng.expovariate(per_h / 3600)
    return found


def _united(pauses: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """In order, and none within another."""
    out: list[tuple[float, float]] = []
    for begins, ends in sorted(pauses):
        if out and begins <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], ends))
        else:
            out.append((begins, ends))
    return out


def _add(block: _Block, end: float, factor: float) -> None:
    """One more piece; none when it would be empty."""
    if end > block.times[-1]:
        block.moved.append(block.moved[-1] + (end - block.times[-1]) * factor)
        block.times.append(end)
        block.factors.append(factor)
