"""A shaped 4G link by arithmetic: rate, delay, jitter, stalls and drop-outs. Says when bytes arrive; moves none itself.

One terminal has one ``Radio``, and both of its connections share its two lanes, because the network queues per terminal, not
per connection. The swarm sleeps until the times it says; scenario tests put them into their event queue. Pure: chance is the
``Random`` that it was given, and time only goes forward.
"""

from __future__ import annotations

import math
from random import Random
from typing import Final

from device_sim.profiles import LinkProfile

QUEUE_S: Final = 3.0  # a base station buffers this much of a terminal's own rate
OVERHEAD: Final = 1.04  # TCP/IP headers of full packets


class Stalls:
    """Times in which nothing moves in either direction: handovers, deep fades."""

    __slots__ = ("_length_s", "_mean_s", "_next", "_rng")

    def __init__(self, link: LinkProfile, rng: Random) -> None:
        self._rng = rng
        self._length_s = link.stall_s
        self._mean_s = 3600 / link.stalls_per_h if link.stalls_per_h > 0 else math.inf
        self._next = self._draw(0.0)

    def after(self, at: float) -> float:
        """The first moment, not before ``at``, in which bytes move."""
        start, end = self._next
        while at >= end:
            start, end = self._next = self._draw(end)
        return end if at >= start else at

    def _draw(self, after: float) -> tuple[float, float]:
        if self._mean_s == math.inf:
            return math.inf, math.inf
        start = after + self._rng.expovariate(1 / self._mean_s)
        return start, start + self._rng.uniform(*self._length_s)


class Lane:
    """One direction of a link: a first-in first-out queue before a fixed rate."""

    __slots__ = ("_bytes_per_s", "_delay_s", "_delivered_at", "_free_at", "_jitter_s", "_rng", "_stalls")

    def __init__(self, bits_per_s: float, link: LinkProfile, stalls: Stalls, rng: Random) -> None:
        self._bytes_per_s = bits_per_s / 8 / OVERHEAD
        self._delay_s = link.delay_ms / 1000
        self._jitter_s = link.jitter_ms / 1000
        self._stalls = stalls
        self._rng = rng
        self._free_at = 0.0
        self._delivered_at = 0.0

    @property
    def shapes(self) -> bool:
        """Whether ``send`` ever says anything but ``now``."""
        return self._bytes_per_s > 0 or self._delay_s > 0 or self._jitter_s > 0

    def send(self, now: float, nbytes: int) -> float:
        """Queue bytes; when the last of them arrives. Never before bytes that were queued earlier."""
        start = self._stalls.after(max(now, self._free_at))
        self._free_at = start + (nbytes / self._bytes_per_s if self._bytes_per_s > 0 else 0.0)
        jitter_s = self._rng.random() * self._jitter_s if self._jitter_s > 0 else 0.0
        self._delivered_at = max(self._delivered_at, self._free_at + self._delay_s + jitter_s)
        return self._delivered_at

    def backlog_s(self, now: float) -> float:
        """How long what is queued now takes."""
        return max(0.0, self._free_at - now)

    def full(self, now: float) -> bool:
        """Whether the queue holds all that it can: the sender must wait until ``room_at``."""
        return self.backlog_s(now) >= QUEUE_S

    def room_at(self) -> float:
        """When the queue will be half empty."""
        return self._free_at - QUEUE_S / 2


class Radio:
    """A terminal's link."""

    __slots__ = ("_link", "_rng", "down", "dropout_at", "up")

    def __init__(self, link: LinkProfile, rng: Random, now: float = 0.0) -> None:
        stalls = Stalls(link, rng)
        self._link = link
        self._rng = rng
        self.down = Lane(link.down_bps, link, stalls, rng)
        self.up = Lane(link.up_bps, link, stalls, rng)
        self.dropout_at = self._next_dropout(now)
        """When both connections break next; infinity: never."""

    def drop_out(self, now: float) -> bool:
        """Whether a drop-out is due; draws the next one."""
        if now < self.dropout_at:
            return False
        self.dropout_at = self._next_dropout(now)
        return True

    def _next_dropout(self, now: float) -> float:
        if self._link.dropouts_per_h <= 0:
            return math.inf
        return now + self._rng.expovariate(self._link.dropouts_per_h / 3600)
