"""What people write on the command line, read into values: durations, pairs, JSON. Wrong ones are refused with an example."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from gateway.cli.failures import CommandError, one_line

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|sec|m|min|h|d|w)?")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DATA: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(b|kb|mb|gb|kib|mib|gib)?")
_DATA_UNIT: Final = {None: 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
#: No limit; and: as the settings or terms say.
NONE: Final = "none"
DEFAULT: Final = "default"
_UNIT_S: Final = {None: 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration_s(text: str) -> float:
    """``90``, ``90s``, ``15min``, ``24h``, ``7d``, ``2w`` in seconds."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise CommandError(f"{one_line(text)} is not a duration such as 90s, 15min, 24h or 7d")
    return float(match[1]) * _UNIT_S[match[2]]


def data_bytes(text: str) -> int:
    """``500kB``, ``20MB``, ``1GiB``, a plain number, or ``none`` (0) in bytes."""
    if text.strip().lower() == NONE:
        return 0
    match = _DATA.fullmatch(text.strip().lower())
    if match is None:
        raise CommandError(f"{one_line(text)} is not an amount of data such as 500kB, 20MB, 1GiB or none")
    return int(float(match[1]) * _DATA_UNIT[match[2]])


def rate_bytes_per_s(text: str) -> int:
    """The same per second: ``20kB`` or ``20kB/s``."""
    return data_bytes(text.strip().removesuffix("/s"))


def optional_duration_s(text: str | None) -> float | None:
    """The same for an option that was perhaps not given."""
    return None if text is None else duration_s(text)


def key_values(texts: Sequence[str], option: str) -> dict[str, str]:
    """``key=value`` texts as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise CommandError(f"{option} {one_line(text)}: expected key=value")
        found[key] = value
    return found


def json_values(texts: Sequence[str], option: str) -> dict[str, object]:
    """``key=JSON`` texts as a mapping; what is no JSON is taken as text."""
    found: dict[str, object] = {}
    for key, value in key_values(texts, option).items():
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def window(times: str | None, days: str | None, zone: str | None) -> dict[str, object] | None:
    """``02:00-05:00``, ``mon-fri`` or ``sat,sun``, and a zone as an install window; the gateway judges what they say."""
    if times is None:
        if days is not None or zone is not None:
            raise CommandError("--install-days and --install-zone need --install-window, such as 02:00-05:00")
        return None
    start, dash, end = times.partition("-")
    if not dash:
        raise CommandError(f"--install-window {one_line(times)}: expected such as 02:00-05:00")
    found: dict[str, object] = {"start": start.strip(), "end": end.strip()}
    if days is not None:
        found["days"] = _days(days)
    if zone is not None:
        found["zone"] = zone
    return found


def _days(text: str) -> list[str]:
    found: list[str] = []
    for part in text.lower().split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        ends = [first, last] if dash else [first]
        if not set(ends) <= set(DAYS):
            raise CommandError(f"--install-days {one_line(text)}: expected such as mon-fri or sat,sun")
        begin, length = DAYS.index(first), (DAYS.index(ends[-1]) - DAYS.index(first)) % len(DAYS) + 1
        found += [DAYS[(begin + number) % len(DAYS)] for number in range(length)]
    return list(dict.fromkeys(found))


def path_part(text: str) -> str:
    """An id as a part of a path; what cannot be one never leaves the machine."""
    if not 1 <= len(text) <= 64 or not all(char.isascii() and (char.isalnum() or char in "_-") for char in text):
        raise CommandError(f"{text!r} is not an id: letters, digits, _ and - only")
    return text
