"""A shaped 4G link by arithmetic: rate, delay, jitter, fading, stalls, hand-overs, drop-outs. Says when bytes arrive.

One terminal has one ``Radio``: the bearer that its control connection, its bulk connection and its payments share, one queue
per direction, because the network queues per terminal, not per connection. All its chance is drawn over time alone (``air``).
The swarm sleeps until the times it says; benchmarks in virtual time put them into their heap. Pure; time only goes forward.
"""

from __future__ import annotations

import math
from random import Random
from typing import Final

from device_sim.air import Air
from device_sim.profiles import LinkProfile

QUEUE_S: Final = 3.0  # a base station buffers this much of a terminal's own rate
OVERHEAD: Final = 1.04  # TCP/IP headers of full packets
_SLOTS_PER_S: Final = 100  # the jitter changes so often
_MIX: Final = 0x9E3779B97F4A7C15  # odd, near 2^64 / golden ratio: neighbouring slots get far-off numbers


class Lane:
    """One direction of a link: a first-in first-out queue before its rate. ``air`` is ``None`` when nothing ever changes."""

    __slots__ = ("_air", "_bytes_per_s", "_delay_s", "_delivered_at", "_free_at", "_jitter_s", "_seed")

    def __init__(self, bits_per_s: float, link: LinkProfile, air: Air | None, seed: int) -> None:
        self._bytes_per_s = bits_per_s / 8 / OVERHEAD
        self._delay_s = link.delay_ms / 1000
        self._jitter_s = link.jitter_ms / 1000
        self._air = air
        self._seed = seed
        self._free_at = 0.0
        self._delivered_at = 0.0

    @property
    def shapes(self) -> bool:
        """Whether ``send`` ever says anything but ``now``."""
        return self._bytes_per_s > 0 or self._delay_s > 0 or self._jitter_s > 0 or self._air is not None

    def send(self, now: float, nbytes: int) -> float:
        """Queue bytes; when the last of them arrives. Never before bytes that were queued earlier."""
        start = max(now, self._free_at)
        takes_s = nbytes / self._bytes_per_s if self._bytes_per_s > 0 else 0.0
        self._free_at = start + takes_s if self._air is None else self._air.after(start, takes_s)
        jitter_s = self._jitter_s * _share(self._seed, self._free_at) if self._jitter_s > 0 else 0.0
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

    def carries_bytes(self, seconds: float) -> float:
        """What its mean rate moves in so much time, lower layers taken off; infinity: it has no rate."""
        return self._bytes_per_s * seconds if self._bytes_per_s > 0 else math.inf

    def capacity_bytes(self, start: float, end: float) -> float:
        """What it could have moved between two moments, lower layers taken off."""
        return self.carries_bytes(end - start if self._air is None else self._air.moved_s(start, end))


class Radio:
    """A terminal's link. The same ``rng`` and ``now`` make the same link again."""

    __slots__ = ("_dropouts_per_h", "_rng", "alone", "down", "dropout_at", "up")

    def __init__(self, link: LinkProfile, rng: Random, now: float = 0.0) -> None:
        seed = rng.getrandbits(32)
        air = Air(link, seed, now) if Air.changes(link) else None
        self._dropouts_per_h = link.dropouts_per_h
        self._rng = rng
        self.down = Lane(link.down_bps, link, air, seed)
        self.up = Lane(link.up_bps, link, air, seed + 1)
        self.alone = Lane(link.down_bps, link, air, seed)
        """The direction to the terminal once more, at the same moments, for whoever wants it to carry only payments."""
        self.dropout_at = self._next_dropout(now)
        """When both connections break next; infinity: never."""

    def drop_out(self, now: float) -> bool:
        """Whether a drop-out is due; draws the next one."""
        if now < self.dropout_at:
            return False
        while self.dropout_at <= now:
            self.dropout_at = self._next_dropout(self.dropout_at)
        return True

    def _next_dropout(self, after: float) -> float:
        return after + self._rng.expovariate(self._dropouts_per_h / 3600) if self._dropouts_per_h > 0 else math.inf


def _share(seed: int, at: float) -> float:
    """Evenly spread in 0..1, by the time and a seed alone."""
    mixed = ((seed << 40) + int(at * _SLOTS_PER_S)) * _MIX & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 32) * _MIX % 2**64 / 2**64
