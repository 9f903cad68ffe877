"""The ledger as a stream: the entries after a place, as soon as there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from gateway.services import cursors
from gateway.services.context import Services
from gateway.services.pages import Page, page_of
from gateway.store import ledger
from gateway.store.ledger import Entry

STRETCH: Final = 200  # entries taken at once; a stream holds no more than these
GATHER_S: Final = 0.05  # after the bell: a busy gateway commits hundreds of times a second, a reader need not look as often
LOOK_EVERY_S: Final = 2.0  # the doorbell saves latency; this makes it correct


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """Which entries: those of one campaign, of one terminal, of both, or (empty) all."""

    campaign: str = ""
    terminal: str = ""


async def newest(services: Services) -> int:
    """The place after the newest entry: where a stream that wants no history begins."""
    return await ledger.last_seq(services.db)


async def following(services: Services, after: int, interest: Interest, *, wait_s: float) -> Sequence[Entry]:
    """The next entries after ``after``, at most ``STRETCH``; waits for the first one, and returns none after ``wait_s``."""
    until = anyio.current_time() + wait_s
    while True:
        seen = services.doorbell.version("ledger")
        rows = await ledger.tail(
            services.db, after_seq=after, limit=STRETCH, campaign=interest.campaign, terminal=interest.terminal
        )
        left_s = until - anyio.current_time()
        if rows or left_s <= 0:
            return rows
        if await services.doorbell.wait("ledger", min(LOOK_EVERY_S, left_s), seen=seen) != seen:
            await anyio.sleep(GATHER_S)


async def listing(
    services: Services, interest: Interest, *, newest_first: bool = False, after: int = 0, cursor: str | None, limit: int
) -> Page[Entry]:
    """Entries after number ``after``; for backends that poll instead of holding a stream, and for people who look back."""
    name = "entries-newest" if newest_first else "entries"
    place = cursors.decode_number(name, cursor)
    of = {"campaign": interest.campaign, "terminal": interest.terminal}
    if newest_first:
        rows = await ledger.newest(services.db, before_seq=place, after_seq=after, limit=limit + 1, **of)
    else:
        rows = await ledger.tail(services.db, after_seq=max(after, place or 0), limit=limit + 1, **of)
    return page_of(name, rows, limit, lambda entry: str(entry.seq))
