"""Reading TOML tables with one-line errors: what is missing, of the wrong type, out of range, or not known at all.

Used for model profiles and scenarios; every error is a ``ConfigError`` with the code ``scenario_invalid`` that names the
place.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import ConfigError

#: A key that is a path of thousands of parts takes the parser gigabytes; no line of a scenario has so many dots.
_DOTS_MAX: Final = 64
_MISSING: Final = object()


def read_toml(data: bytes, where: str) -> dict[str, Any]:
    """The content of a TOML file; ``ConfigError`` (``scenario_invalid``) when it is none."""
    try:
        text = data.decode("utf-8")
        is_deep = any(line.count(".") > _DOTS_MAX for line in text.splitlines())
        found = tomllib.loads(text) if not is_deep else {}
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{where}: {exc}", code="scenario_invalid") from exc
    if is_deep:
        raise ConfigError(f"{where}: a line with more than {_DOTS_MAX} dots", code="scenario_invalid")
    return found


class Reader:
    """One table; ``done`` refuses keys that nobody asked for, so a misspelt one is never silently ignored."""

    __slots__ = ("_data", "_left", "where")

    def __init__(self, data: Mapping[str, object], where: str) -> None:
        self._data = data
        self._left = set(data)
        self.where = where

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a string", value)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def integer(self, key: str, default: int | None = None, *, low: int = 0, high: int = 2**53) -> int:
        """An integer in ``low..high``."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"an integer in {low}..{high}", value)
        return value

    def number(self, key: str, default: float | None = None, *, low: float = 0.0, high: float = 1e15) -> float:
        """A number in ``low..high``."""
        value = self._take(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"a number in {low:g}..{high:g}", value)
        return float(value)

    def span(self, key: str, default: tuple[float, float] | None = None, *, low: float = 0.0) -> tuple[float, float]:
        """``[shortest, longest]``, or one number for both."""
        value = self._take(key, default)
        pair = [value, value] if isinstance(value, int | float) else value
        if isinstance(pair, list | tuple) and len(pair) == 2:
            first, last = pair
            if isinstance(first, int | float) and isinstance(last, int | float) and low <= first <= last:
                return float(first), float(last)
        raise self.wrong(key, f"[shortest, longest], both at least {low:g}", value)

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings", value)
        return tuple(str(item) for item in value)

    def table(self, key: str) -> Reader:
        """A table; an empty one when it is missing."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "a table", value)
        return Reader(value, f"{self.where}.{key}")

    def tables(self, key: str) -> list[Reader]:
        """A list of tables; an empty one when it is missing."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "a list of tables", value)
        return [Reader(item, f"{self.where}.{key}[{at}]") for at, item in enumerate(value)]

    def strings(self, key: str) -> dict[str, str]:
        """A table of strings; an empty one when it is missing."""
        inner = self.table(key)
        return {name: inner.text(name) for name in inner.keys()}  # noqa: SIM118 - Reader is no mapping

    def keys(self) -> list[str]:
        """All keys of the table."""
        return list(self._data)

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def done(self) -> None:
        """Refuse what was not asked for."""
        if self._left:
            raise ConfigError(f"{self.where}: unknown {', '.join(sorted(self._left))}", code="scenario_invalid")

    def wrong(self, key: str, expected: str, found: object) -> ConfigError:
        """The error for a key."""
        seen = "nothing" if found is _MISSING else repr(found)[:80]
        return ConfigError(f"{self.where}.{key}: expected {expected}, found {seen}", code="scenario_invalid", key=key)

    def _take(self, key: str, default: object | None) -> object:
        self._left.discard(key)
        value = self._data.get(key, _MISSING)
        if value is _MISSING and default is not None:
            return default
        return value
