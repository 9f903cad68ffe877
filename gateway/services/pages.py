"""A page of a listing, as services return it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from gateway.services import cursors

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row]):
    """Some rows of a listing and the cursor of what follows; ``None`` at the end."""

    rows: Sequence[_Row]
    next: str | None


def page_of(listing: str, rows: Sequence[_Row], limit: int, place: Callable[[_Row], str]) -> Page[_Row]:
    """The page for ``rows``, of which one more than ``limit`` was asked for: the extra one shows that more follows."""
    kept = rows[:limit]
    more = len(rows) > limit
    return Page(kept, cursors.encode(listing, place(kept[-1])) if more else None)
