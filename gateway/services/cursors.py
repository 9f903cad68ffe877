"""Opaque cursors of listings: a reader's place, bound to the listing that gave it, so that no other listing takes it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from gateway.errors import RequestError

CURSOR_MAX_CHARS: Final = 200
_PLACE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def encode(listing: str, place: str) -> str:
    """The cursor for the page after ``place`` (an id, or a number as text)."""
    return base64.urlsafe_b64encode(f"{listing} {place}".encode()).decode().rstrip("=")


def decode(listing: str, cursor: str | None) -> str:
    """The place that ``encode`` put in, empty for no cursor; ``RequestError`` (``cursor_invalid``) for anything else."""
    if not cursor:
        return ""
    try:
        text = base64.b64decode(cursor[:CURSOR_MAX_CHARS] + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode(
            "ascii"
        )
    except (binascii.Error, ValueError):
        text = ""
    found, _, place = text.partition(" ")
    if found != listing or _PLACE.fullmatch(place) is None:
        raise RequestError(
            "this is not a cursor of this listing; take `next` of the page before, unchanged", code="cursor_invalid"
        )
    return place


def decode_number(listing: str, cursor: str | None) -> int | None:
    """As ``decode`` for listings whose place is a number; ``None`` for no cursor."""
    place = decode(listing, cursor)
    if not place:
        return None
    if not place.isdecimal() or len(place) > 18:
        raise RequestError(
            "this is not a cursor of this listing; take `next` of the page before, unchanged", code="cursor_invalid"
        )
    return int(place)
