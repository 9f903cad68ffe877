"""The bearer of the benchmarks: rate and stalls drawn over time alone, so that twice the same seed is twice the same link.

What is sent never changes what comes next. So a second bearer of the same seed, on which only the payments go, says what each
of them would have taken without a transfer, and ``capacity_bytes`` what a perfect sender could have moved. Each direction is
one FIFO (3 s deep) for all connections of a terminal, in front of a log-normal rate; stalls stop both directions.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from random import Random
from typing import Final

from device_sim import radio as sim_radio
from device_sim.profiles import LinkProfile
from device_sim.radio import OVERHEAD, QUEUE_S, Lane, Radio

BASE_MS: Final = 40.0
SIGMA: Final = 0.35
STEP_S: Final = 1.0  # the rate changes so often
MEMORY: Final = 0.8  # correlation of the logarithm from one step to the next: fades by 1/e within 4.5 s
STALL_EVERY_S: Final = 60.0
STALL_S: Final = (0.15, 1.2)
UP_SHARE: Final = 0.5


class Stalls:
    """The times in which nothing moves."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._known: list[tuple[float, float]] = []

    def until(self, horizon: float) -> list[tuple[float, float]]:
        """All that start before ``horizon``."""
        while not self._known or self._known[-1][0] < horizon:
            after = self._known[-1][1] if self._known else 0.0
            start = after + self._rng.expovariate(1 / STALL_EVERY_S)
            self._known.append((start, start + self._rng.uniform(*STALL_S)))
        return [stall for stall in self._known if stall[0] < horizon]


class Way(Lane):
    """One direction; ``send`` and the rest as in ``Lane``.

    ``origin`` is the moment of the caller's clock at which the bearer's own time begins.
    """

    __slots__ = ("_cum", "_level", "_mean_bps", "_origin", "_pauses", "_rates", "_times")

    def __init__(self, bits_per_s: float, stalls: Stalls, rng: Random, origin: float) -> None:
        super().__init__(bits_per_s, LinkProfile(delay_ms=BASE_MS), sim_radio.Stalls(LinkProfile(), rng), rng)
        self._mean_bps = bits_per_s / 8 / OVERHEAD
        self._origin = origin
        self._pauses = stalls
        self._level = rng.gauss(0.0, 1.0)
        self._times, self._cum, self._rates = [0.0], [0.0], list[float]()
        self._free_at = 0.0

    def send(self, now: float, nbytes: int) -> float:
        """Queue bytes; when the last of them arrives."""
        start = max(now - self._origin, self._free_at)
        self._free_at = self._when(self._moved(start) + nbytes)
        return self._origin + self._free_at + BASE_MS / 1000

    def backlog_s(self, now: float) -> float:
        """How long what is queued now takes."""
        return max(0.0, self._free_at - (now - self._origin))

    def full(self, now: float) -> bool:
        """Whether the queue holds all that it can."""
        return self.backlog_s(now) >= QUEUE_S

    def room_at(self) -> float:
        """When the queue will be half empty."""
        return self._origin + self._free_at - QUEUE_S / 2

    def capacity_bytes(self, start: float, end: float) -> float:
        """What it can move between two moments, lower layers already taken off; stalls move nothing."""
        return self._moved(end - self._origin) - self._moved(start - self._origin)

    def _moved(self, at: float) -> float:
        self._draw_until(at)
        place = bisect_right(self._times, at) - 1
        place = min(place, len(self._rates) - 1)
        return self._cum[place] + (at - self._times[place]) * self._rates[place]

    def _when(self, moved: float) -> float:
        while self._cum[-1] < moved:
            self._draw_until(self._times[-1] + STEP_S)
        place = max(0, bisect_left(self._cum, moved) - 1)
        return (
            self._times[place] + (moved - self._cum[place]) / self._rates[place] if self._rates[place] else self._times[place]
        )

    def _draw_until(self, at: float) -> None:
        while self._times[-1] <= at:
            start = self._times[-1]
            end = (int(start / STEP_S + 1e-9) + 1) * STEP_S
            rate = self._mean_bps * math.exp(SIGMA * self._level - SIGMA**2 / 2)  # its mean is the rate
            self._level = MEMORY * self._level + (1 - MEMORY**2) ** 0.5 * self._rng.gauss(0.0, 1.0)
            for begins, ends in self._pauses.until(end):
                low, high = max(begins, start), min(ends, end)
                if low < high:
                    self._add(low, rate)
                    self._add(high, 0.0)
                    start = high
            self._add(end, rate)

    def _add(self, end: float, rate: float) -> None:
        if end <= self._times[-1]:
            return
        self._cum.append(self._cum[-1] + (end - self._times[-1]) * rate)
        self._times.append(end)
        self._rates.append(rate)


def radio_pair(bits_per_s: float, seed: int, origin: float = 0.0) -> tuple[Radio, Radio]:
    """Twice the same bearer: one for all, one for payments alone."""
    return bearer(bits_per_s, seed, origin), bearer(bits_per_s, seed, origin)


def down_capacity_bytes(radio: Radio, start: float, end: float) -> float:
    """What the direction to the terminal could have moved meanwhile."""
    if not isinstance(radio.down, Way):
        raise TypeError("no bearer of the benchmarks")
    return radio.down.capacity_bytes(start, end)


def bearer(bits_per_s: float, seed: int, origin: float = 0.0) -> Radio:
    """A terminal's link: 40 ms each way, up half as fast as down, no drop-outs."""
    rng = Random(seed)
    stalls = Stalls(Random(rng.random()))
    radio = Radio(LinkProfile(), rng, origin)
    radio.down = Way(bits_per_s, stalls, Random(rng.random()), origin)
    radio.up = Way(bits_per_s * UP_SHARE, stalls, Random(rng.random()), origin)
    return radio
