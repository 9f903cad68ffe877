"""Budgets of bytes: what a terminal, its site, a campaign and the whole gateway may be sent per second and per day.

Plain arithmetic with the time as an argument. ``Bucket`` holds a rate, ``Day`` a day's total, ``Account`` both for one of them;
a transfer draws on its accounts through ``purse``. What counts is what is published: chunks with their envelopes, repeated ones
too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final

from gateway.core.schedule import zone_of
from gateway.errors import RequestError
from gateway.wire.codes import Code

#: The least rate: below it a chunk of 1 KiB takes longer than a terminal waits for.
RATE_MIN_BYTES_PER_S: Final = 1024
#: The least day: what is not a whole segment may be lost at its end, so a day must have room for one with all that it costs.
DAY_MIN_BYTES: Final = 256 * 1024
LIMIT_MAX_BYTES: Final = 2**50
#: A bucket lets through so many seconds of its rate at once, and at least a visit of the pump.
BURST_S: Final = 0.25
BURST_MIN_BYTES: Final = 16 * 1024
#: Whose day it is when nobody says.
UTC: Final = "UTC"


class Scope(StrEnum):
    """Whose budget it is."""

    TERMINAL = "terminal"
    SITE = "site"
    """All terminals with the same label ``site``."""
    CAMPAIGN = "campaign"
    GATEWAY = "gateway"


#: What an upgrade says that waits for the next day of such a budget.
CODES: Final[Mapping[Scope, Code]] = {
    Scope.TERMINAL: Code.TERMINAL_BUDGET_SPENT,
    Scope.SITE: Code.SITE_BUDGET_SPENT,
    Scope.CAMPAIGN: Code.CAMPAIGN_BUDGET_SPENT,
    Scope.GATEWAY: Code.GATEWAY_BUDGET_SPENT,
}
SPENT_CODES: Final = frozenset(CODES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """0 sets no limit. ``RequestError`` (``budget_invalid``) for one under which nothing would ever arrive."""

    bytes_per_s: int = 0
    bytes_per_day: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("bytes_per_s", self.bytes_per_s, RATE_MIN_BYTES_PER_S),
            ("bytes_per_day", self.bytes_per_day, DAY_MIN_BYTES),
        ):
            if value and not least <= value <= LIMIT_MAX_BYTES:
                text = f"{name} must be 0 for no limit, or {least} to {LIMIT_MAX_BYTES}; it is {value}"
                raise RequestError(text, code="budget_invalid", field=name)


NO_LIMIT: Final = Limit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the settings say: limits where nobody has set others, and the zone of the days of sites, campaigns and gateway."""

    terminal: Limit = NO_LIMIT
    site: Limit = NO_LIMIT
    gateway: Limit = NO_LIMIT
    zone: str = "UTC"

    def of(self, scope: Scope, campaign: Limit) -> Limit:
        """The limit of ``scope``; ``campaign`` is what the terms of the campaign in question say."""
        known = {Scope.TERMINAL: self.terminal, Scope.SITE: self.site, Scope.GATEWAY: self.gateway}
        return known.get(scope, campaign)

    def zone_of(self, scope: Scope, terminal: str) -> str:
        """Whose midnight counts; ``terminal`` is the zone of the terminal in question."""
        return zone_or_utc(terminal) if scope is Scope.TERMINAL else self.zone


NO_DEFAULTS: Final = Defaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A day's budget has no room for another segment."""

    scope: Scope
    name: str
    """Of the terminal, site or campaign; empty for the gateway."""
    used_bytes: int
    limit_bytes: int
    until: float
    """When its next day begins, Unix seconds."""

    @property
    def code(self) -> Code:
        """The word for it."""
        return CODES[self.scope]


def day_end(now: float, zone: str) -> float:
    """The next midnight after ``now`` on the clocks of ``zone``, an IANA name; Unix seconds."""
    place = zone_of(zone)
    today = datetime.fromtimestamp(now, place).date()
    ends = (
        datetime.combine(today + timedelta(days=days), time(), place).replace(fold=fold).timestamp()
        for days in (1, 2)
        for fold in (0, 1)
    )
    return next(at for at in ends if at > now)


def zone_or_utc(zone: str) -> str:
    """``zone`` where it is one that is known."""
    try:
        zone_of(zone)
    except RequestError:
        return UTC
    return zone


class Bucket:
    """A token bucket, kept as the time at which it will be full again.

    Whoever finds it even may overdraw it once. So over any ``t`` seconds it lets through at most ``bytes_per_s * t`` plus
    ``burst_bytes`` plus what was taken last.
    """

    __slots__ = ("_burst_s", "_full_at", "_s_per_byte")

    def __init__(self, bytes_per_s: int) -> None:
        self._s_per_byte = 1.0 / bytes_per_s
        self._burst_s = max(BURST_S, BURST_MIN_BYTES * self._s_per_byte)
        self._full_at = 0.0

    @property
    def burst_bytes(self) -> float:
        """What it lets through at once when it is full."""
        return self._burst_s / self._s_per_byte

    @property
    def even_at(self) -> float:
        """From when on something may be taken; the same for all who ask between two takings."""
        return self._full_at - self._burst_s

    @property
    def full_at(self) -> float:
        """From when on it remembers nothing that a new one would not know."""
        return self._full_at

    def take(self, size_bytes: int, now: float) -> None:
        """Draw on it, beyond its level if need be."""
        self._full_at = max(self._full_at, now) + size_bytes * self._s_per_byte


class Day:
    """What was granted of a day's bytes. It ends when it was said to end, whatever a terminal says of its zone meanwhile."""

    __slots__ = ("dirty", "ends_at", "limit_bytes", "number", "used_bytes", "zone")

    def __init__(self, limit_bytes: int, zone: str, now: float, *, used_bytes: int = 0, ends_at: float = 0.0) -> None:
        """``used_bytes`` of the day that ``ends_at`` are known from before; that day may be over."""
        self.limit_bytes = limit_bytes
        self.zone = zone
        self.used_bytes = used_bytes
        self.ends_at = ends_at
        self.number = 0
        self.dirty = False
        """Whether it has changed since it was stored."""
        self.roll(now)

    def roll(self, now: float) -> None:
        """Begin the next day when this one is over."""
        if now >= self.ends_at:
            self.ends_at = day_end(now, self.zone)
            self.used_bytes = 0
            self.number += 1

    def grant(self, size_bytes: int, now: float) -> bool:
        """Count ``size_bytes`` if the day has room for all of them."""
        self.roll(now)
        if not self.has_room(size_bytes):
            return False
        self.used_bytes += size_bytes
        self.dirty = True
        return True

    def has_room(self, size_bytes: int) -> bool:
        """Whether so much could be granted in the day that was begun last."""
        return not self.limit_bytes or self.used_bytes + size_bytes <= self.limit_bytes

    def give_back(self, size_bytes: int, number: int, now: float) -> None:
        """Of what was granted on day ``number``, so much was not needed (negative: so much more was)."""
        self.roll(now)
        if number == self.number:
            self.used_bytes = max(0, self.used_bytes - size_bytes)
            self.dirty = True


class Account:
    """The budget of one terminal, site, campaign or of the gateway, and what was spent of it."""

    __slots__ = ("bucket", "day", "limit", "name", "scope", "users")

    def __init__(self, scope: Scope, name: str, limit: Limit, day: Day) -> None:
        self.scope = scope
        self.name = name
        self.day = day
        self.users = 0
        """Open transfers that draw on it."""
        self.bucket: Bucket | None = None
        self.limit = NO_LIMIT
        self.relimit(limit)

    def relimit(self, limit: Limit) -> None:
        """Another limit holds from now on; what was spent today stays spent."""
        if limit.bytes_per_s != self.limit.bytes_per_s:
            self.bucket = Bucket(limit.bytes_per_s) if limit.bytes_per_s else None
        self.day.limit_bytes = limit.bytes_per_day
        self.limit = limit

    def spent(self) -> Spent:
        """What to say when it has no room."""
        day = self.day
        return Spent(
            scope=self.scope, name=self.name, used_bytes=day.used_bytes, limit_bytes=day.limit_bytes, until=day.ends_at
        )

    def idle(self, now: float) -> bool:
        """Whether nothing would be lost if it were forgotten: no user, all stored, and no rate owed."""
        return not self.users and not self.day.dirty and (self.bucket is None or self.bucket.full_at <= now)
