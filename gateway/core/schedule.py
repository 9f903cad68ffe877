"""Windows: when a terminal may be disturbed, by the clock on the shop's own wall.

A window is open exactly while the wall clock of its zone shows a time inside it. So on the night when clocks go forward a
window inside the missing hour does not open, and on the night when they go back one may open twice: what was agreed with the
merchant is a time of day, and outside of it nothing happens. Zones are IANA names; instants are microseconds of Unix
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from gateway.errors import RequestError

DAYS_PER_WEEK: Final = 7
#: A window of one weekday may miss a week through a missing hour, never two.
_HORIZON_DAYS: Final = 2 * DAYS_PER_WEEK + 2
US_PER_S: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of every named day. ``RequestError`` (``window_invalid``) when it can never open."""

    days: frozenset[int]
    """Days on which it opens, Monday 0 to Sunday 6."""
    start: time
    end: time
    """First moment outside. Not after ``start``: the window crosses midnight; equal: it lasts 24 hours."""
    zone: str
    """IANA name, for example ``Asia/Shanghai``."""

    def __post_init__(self) -> None:
        if not self.days or not self.days <= set(range(DAYS_PER_WEEK)):
            raise RequestError(
                f"a window needs days from 0 (Monday) to 6 (Sunday), got {sorted(self.days)}",
                code="window_invalid",
                days=self.days,
            )
        if self.start.tzinfo or self.end.tzinfo:
            raise RequestError("a window's start and end are plain times of day; its zone is apart", code="window_invalid")
        zone_of(self.zone)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name; ``RequestError`` (``zone_unknown``) for any other text."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise RequestError(f"{name!r} is no IANA time zone such as 'Asia/Shanghai'", code="zone_unknown", zone=name) from None


def is_open(window: Window, now_us: int) -> bool:
    """Whether the terminal may be disturbed at ``now_us``."""
    return _shows_inside(window, _instant(now_us).astimezone(zone_of(window.zone)))


def next_opening(window: Window, now_us: int) -> int:
    """The earliest instant not before ``now_us`` at which the window is open: ``now_us`` itself when it is."""
    if is_open(window, now_us):
        return now_us

    for at_us in _edges(window, now_us, window.start):
        if is_open(window, at_us):
            return at_us
    raise AssertionError("a window with a day opens within two weeks")


def closing(window: Window, now_us: int) -> int | None:
    """The first instant after ``now_us`` at which an open window is closed; ``None`` when it stays open for weeks."""
    for at_us in _edges(window, now_us, window.end):
        if not is_open(window, at_us):
            return at_us
    return None


def start_at(window: Window, now_us: int, *, jitter: float, need_s: float = 0.0) -> int:
    """When one terminal should start: spread over the window by its ``jitter`` (0..1), so that a fleet does not start as one.

    ``need_s`` is kept free before the window closes; when the window is shorter than that, it starts as the window opens.
    """
    opens_us = next_opening(window, now_us)
    closes_us = closing(window, opens_us)
    length_us = _DAY // _MICROSECOND if closes_us is None else closes_us - opens_us
    slack_us = max(0, length_us - max(1, int(need_s * US_PER_S)))
    return opens_us + int(jitter * slack_us)


def _shows_inside(window: Window, wall: datetime) -> bool:
    shown, today = wall.time(), wall.weekday()
    if window.start < window.end:
        return today in window.days and window.start <= shown < window.end

    yesterday = (today - 1) % DAYS_PER_WEEK
    return (today in window.days and shown >= window.start) or (yesterday in window.days and shown < window.end)


def _edges(window: Window, now_us: int, edge: time) -> Iterator[int]:
    """Instants after ``now_us`` at which the window may open or close: the edge of each day, and each clock change."""
    zone = zone_of(window.zone)
    first = _instant(now_us).astimezone(zone).date() - _DAY
    for number in range(_HORIZON_DAYS):
        yield from sorted(at_us for at_us in _edges_of_day(zone, first + number * _DAY, edge) if at_us > now_us)


def _edges_of_day(zone: ZoneInfo, day: date, edge: time) -> set[int]:
    wall = datetime.combine(day, edge, zone)
    instants = {_unix_us(wall.replace(fold=fold)) for fold in (0, 1)}

    before = datetime.combine(day, time(), zone).astimezone(UTC)
    after = datetime.combine(day + _DAY, time(), zone).astimezone(UTC)
    if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
        instants.add(_unix_us(_clock_change(zone, before, after)))
    return instants


def _clock_change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The instant between the two from which the zone's offset is that of ``after`` (bisection, to the second)."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _instant(at_us: int) -> datetime:
    return _EPOCH + at_us * _MICROSECOND


def _unix_us(at: datetime) -> int:
    return (at.astimezone(UTC) - _EPOCH) // _MICROSECOND
