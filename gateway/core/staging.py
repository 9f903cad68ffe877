"""Pre-staging: what a staged upgrade waits for before it installs, and how that lengthens an estimate.

``Upgrade`` asks for its slot when it is staged and again when the campaign gives it a place; ``services`` ask for the wait.
Never asks what time it is and never installs anything: it only says when that may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from typing import Any, Final

from gateway.core import usual
from gateway.core.estimate import Estimate, Phase, Range
from gateway.core.schedule import US_PER_S, Window, closing, is_open, next_opening, start_at, zone_of
from gateway.errors import RequestError

#: The name that stands for each terminal's own zone.
TERMINAL_ZONE: Final = "terminal"
#: For terminals whose hello names no zone, or one that nobody knows.
FALLBACK_ZONE: Final = "UTC"
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?")
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """What a campaign says of the time between staged and install."""

    window: Window | None = None
    """Installs begin inside only; its zone is ``FALLBACK_ZONE`` when each terminal's own counts."""
    own_zone: bool = False
    on_release: bool = False
    """Installs begin only once an operator has released them."""
    need_s: float = 0.0
    """Kept free before the window closes, so that install and self-tests fit."""

    @property
    def waits(self) -> bool:
        """Whether a staged upgrade waits for the campaign instead of installing at once."""
        return self.window is not None or self.on_release

    def window_for(self, zone: str) -> tuple[Window | None, str]:
        """The window on the clock of a terminal that says it is in ``zone``, and where that zone comes from."""
        if self.window is None or not self.own_zone:
            return self.window, "campaign"
        try:
            zone_of(zone)
        except RequestError:
            return self.window, "fallback"
        return replace(self.window, zone=zone), "terminal"


def window_of(stored: Mapping[str, Any]) -> Window:
    """The core's window; on ``FALLBACK_ZONE`` where each terminal's own zone counts."""
    zone = stored["zone"]
    if not isinstance(zone, str):
        raise RequestError("an install window's zone is a name such as 'Asia/Shanghai', or 'terminal'", code="zone_unknown")
    return Window(
        days=frozenset(DAYS.index(day) for day in stored["days"]),
        start=_time(stored["start"], "start"),
        end=_time(stored["end"], "end"),
        zone=FALLBACK_ZONE if zone == TERMINAL_ZONE else zone,
    )


def staging_of(settings: Mapping[str, Any], need_s: float = 0.0) -> Staging:
    """What a campaign's stored settings say of the time between staged and install."""
    stored = settings.get("install_window")
    return Staging(
        window=None if stored is None else window_of(stored),
        own_zone=stored is not None and stored["zone"] == TERMINAL_ZONE,
        on_release=bool(settings.get("install_on_release", False)),
        need_s=need_s,
    )


def released(settings: Mapping[str, Any]) -> bool:
    """Whether nothing but its window and a place keeps a staged upgrade from installing."""
    return not settings.get("install_on_release", False) or bool(settings.get("install_released_by", ""))


def may_install(window: Window, now_us: int, need_s: float) -> bool:
    """Whether an install may begin: the window is open and, unless it is too short for any install, long enough still."""
    if not is_open(window, now_us):
        return False
    closes_us = closing(window, now_us)
    return closes_us is None or _length_s(window) < need_s or closes_us - now_us >= need_s * US_PER_S


def slot(window: Window, now_us: int, need_s: float, *, jitter: float) -> int:
    """When one terminal is to install: in the present or next window with room, spread over it by ``jitter`` (0..1)."""
    from_us = now_us
    if is_open(window, now_us) and not may_install(window, now_us, need_s):
        from_us = closing(window, now_us) or now_us
    return start_at(window, from_us, jitter=jitter, need_s=need_s)


def need_s(size_bytes: int, models: Iterable[str]) -> float:
    """How long the disturbing part usually takes at most, on the slowest of ``models``: write, reboot, self-tests."""
    paces = [usual.PACES.get(model, usual.USUAL_PACE) for model in models] or [usual.USUAL_PACE]
    return max(size_bytes / (pace.write_kb_per_s[0] * 1000) + pace.reboot_s[1] + pace.self_tests_s[1] for pace in paces)


def until(left: Range, window: Window, now_us: int) -> Range:
    """``left``, had it to wait for the window too: never over before it opens, and at worst its last minute is needed."""
    opens_s = (next_opening(window, now_us) - now_us) / US_PER_S
    missed_us = now_us + int(left.high_s * US_PER_S)
    last_s = (next_opening(window, missed_us) - now_us) / US_PER_S + _length_s(window)
    low_s = max(left.low_s, opens_s)
    return Range(low_s, max(low_s, left.high_s, last_s))


def delayed(estimate: Estimate, wait: Range) -> Estimate:
    """An upgrade's estimate with the wait before its install; it belongs to the phase that installs."""
    left = {**estimate.left, Phase.EXECUTE: estimate.left[Phase.EXECUTE] + wait}
    return replace(estimate, left=left, remaining=estimate.remaining + wait)


def _time(given: object, name: str) -> time:
    try:
        if isinstance(given, str) and _TIME.fullmatch(given):
            return time.fromisoformat(given)
    except ValueError:
        pass
    text = f"an install window's {name} is a time of day such as 02:00 (00:00 to 23:59); it is {str(given)[:20]!r}"
    raise RequestError(text, code="window_invalid", field=name)


def _length_s(window: Window) -> float:
    """By the wall clock; a change of clocks makes it an hour more or less."""
    start_s, end_s = (at.hour * 3600.0 + at.minute * 60 + at.second for at in (window.start, window.end))
    return (end_s - start_s) % _DAY_S or _DAY_S
