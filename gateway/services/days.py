"""Days in UTC, as seals and exports of the ledger count them: texts such as 2026-11-26 that sort as the days do."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from gateway.errors import RequestError

DAY_US: Final = 86_400_000_000
_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH: Final = date(1970, 1, 1)
_LAST: Final = (date.max - _EPOCH).days


def day_of(at_us: int) -> str:
    """The day of a moment; what only a broken clock gives, before 1970 or after 9999, goes with the first or last day."""
    return (_EPOCH + timedelta(days=min(max(at_us // DAY_US, 0), _LAST))).isoformat()


def start_us(day: str) -> int:
    """Its first microsecond."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000


def end_us(day: str) -> int:
    """The first microsecond of the next day."""
    return start_us(day) + DAY_US


def span(first: str | None, last: str | None) -> tuple[str, str]:
    """Days from ``first`` to ``last`` as ``checked`` gives them; ``RequestError`` (``day_invalid``) also in the wrong order."""
    begin, end = checked(first), checked(last)
    if end and begin > end:
        raise RequestError(f"the first day, {begin}, is after the last one, {end}", code="day_invalid")
    return begin, end


def checked(day: str | None) -> str:
    """A day as a person gives it, empty for none; ``RequestError`` (``day_invalid``) for what is none."""
    if day is None:
        return ""
    try:
        if _FORM.fullmatch(day) and date.fromisoformat(day) >= _EPOCH:
            return day
    except ValueError:
        pass
    raise RequestError(f"{day[:40]!r} is not a day in UTC such as 2026-11-26", code="day_invalid")
