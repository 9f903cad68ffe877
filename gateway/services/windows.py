"""Install windows as people and the store write them: days, start, end and zone.

``terms`` checks what is given, the engine reads the stored form back, ``upgrades`` and ``progress`` say what is waited for.
Every kind of nonsense is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway.core.estimate import ZERO, Estimate, Range
from gateway.core.staging import DAYS, TERMINAL_ZONE, released, staging_of, until, window_of
from gateway.core.states import REVOCABLE, UpgradeState
from gateway.errors import RequestError
from gateway.store.campaigns import CampaignRow
from gateway.store.upgrades import UpgradeRow

_WAITS: Final = {UpgradeState.SCHEDULED: "tried again from", UpgradeState.DEFERRED: "offered again from"}
_FIELDS: Final = frozenset({"days", "start", "end", "zone"})


def normal(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The stored form of what was given, all fields filled in; ``RequestError`` (``window_invalid``, ``zone_unknown``)."""
    if given is None:
        return None
    unknown = sorted(set(given) - _FIELDS)
    if unknown:
        raise RequestError(f"an install window has no {unknown[0]!r}: {', '.join(sorted(_FIELDS))}", code="window_invalid")
    window = {
        "days": _days(given.get("days", DAYS)),
        "start": given.get("start"),
        "end": given.get("end"),
        "zone": given.get("zone", TERMINAL_ZONE),
    }
    window_of(window)
    return window


def waits_for(row: UpgradeRow, campaign: CampaignRow, now_us: int) -> str:
    """What an upgrade waits for, for people: its install, its next try, the end of a postponement; else empty."""
    if row.state is UpgradeState.STAGED:
        return f"staged, {install_words(row.due_us, campaign, now_us)}"
    if row.state not in _WAITS or row.due_us <= now_us:
        return ""
    return f"{_WAITS[row.state]} {_moment(row.due_us)} (in {_length(row.due_us - now_us)})"


def install_words(due_us: int, campaign: CampaignRow, now_us: int) -> str:
    """When what is staged and due at ``due_us`` installs, and what else keeps it."""
    if due_us > now_us:
        text = f"installs from {_moment(due_us)} (in {_length(due_us - now_us)})"
    else:
        text = "installs as soon as there is a place and its terminal is online"
    if campaign.state == "paused":
        return f"{text}, once the campaign is resumed"
    return text if released(campaign.settings) else f"{text}, once an operator releases the install"


def wait_of(estimate: Estimate, row: UpgradeRow, terms: Mapping[str, Any], zone: str, now_us: int) -> Range:
    """How long one upgrade, on a terminal in ``zone``, still waits for its window."""
    if row.state is UpgradeState.STAGED:
        wait_s = max(0, row.due_us - now_us) / 1e6
        return Range(wait_s, wait_s)
    window, _ = staging_of(terms).window_for(zone)
    if window is None or row.state not in REVOCABLE:
        return ZERO
    later = until(estimate.remaining, window, now_us)
    high_s = later.high_s - estimate.remaining.high_s
    return Range(min(later.low_s - estimate.remaining.low_s, high_s), high_s)


def _days(given: object) -> list[str]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise RequestError("an install window needs at least one day: mon, tue, wed, thu, fri, sat, sun", code="window_invalid")
    for day in given:
        if day not in DAYS:
            raise RequestError(f"{str(day)[:20]!r} is no day: {', '.join(DAYS)}", code="window_invalid", days=str(day)[:20])
    return [day for day in DAYS if day in given]


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _length(length_us: int) -> str:
    """Such as ``3 h 10 min``."""
    minutes = -(-length_us // 60_000_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
    return " ".join(parts[:2])
