"""Routes about what happens: the ledger as server-sent events, and as pages for those who poll."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from gateway.api.given import Cursor, Given, Limit, PageLimit, Responses, problems
from gateway.api.shapes import ID_PATTERN, EntryOut, Page
from gateway.api.streams import EventStream, EventStreams
from gateway.api.terminals import entry_out
from gateway.errors import RequestError, StoreError
from gateway.services import events
from gateway.services.context import Services
from gateway.services.events import Interest

log = structlog.get_logger()

HEARTBEAT_S: Final = 15.0
_SEQ_MAX_CHARS: Final = 18

_STREAM: Final[Responses] = {200: {"content": {"text/event-stream": {}}, "description": "The stream."}}

router = APIRouter(tags=["events"])

CampaignQuery = Annotated[str | None, Query(pattern=ID_PATTERN, description="Only entries of this campaign.")]
TerminalQuery = Annotated[str | None, Query(pattern=ID_PATTERN, description="Only entries of this terminal.")]


@router.get(
    "/events",
    operation_id="streamEvents",
    summary="Stream ledger entries as they come",
    response_class=Response,
    responses=_STREAM | problems(s422="Invalid", s503="Too many streams"),
)
async def stream(
    request: Request,
    services: Given,
    campaign: CampaignQuery = None,
    terminal: TerminalQuery = None,
    last_event_id: Annotated[str | None, Header(description="Go on after this entry.")] = None,
    after: Annotated[str | None, Query(description="The same as `Last-Event-ID`, for clients that cannot set headers.")] = None,
) -> Response:
    """Ledger entries as they are committed: `id` is the entry's number, `event` is `entry`, `data` is the entry as JSON.

    Without a place to go on from, the stream begins with what happens next; `after=0` sends the whole ledger. A comment comes
    every 15 seconds when nothing happens. A client that is too slow is cut off and goes on with `Last-Event-ID`.
    """
    interest = Interest(campaign=campaign or "", terminal=terminal or "")
    given = last_event_id if last_event_id is not None else after
    newest = await events.newest(services)
    place = newest if given is None else _place(given, newest)
    streams: EventStreams = request.app.state.streams
    return EventStream(_pieces(services, interest, place), streams)


@router.get("/entries", operation_id="listEntries", summary="List ledger entries", responses=problems(s422="Invalid"))
async def listing(
    *,
    services: Given,
    campaign: CampaignQuery = None,
    terminal: TerminalQuery = None,
    order: Annotated[Literal["oldest", "newest"], Query(description="Which comes first; pages go on from there.")] = "oldest",
    after: Annotated[int, Query(ge=0, lt=10**18, description="Only entries with a higher number.")] = 0,
    cursor: Cursor = None,
    limit: Limit = PageLimit,
) -> Page[EntryOut]:
    """The ledger, oldest first or newest first."""
    interest = Interest(campaign=campaign or "", terminal=terminal or "")
    page = await events.listing(services, interest, newest_first=order == "newest", after=after, cursor=cursor, limit=limit)
    return Page(items=[entry_out(one) for one in page.rows], next=page.next)


async def _pieces(services: Services, interest: Interest, place: int) -> AsyncGenerator[bytes, None]:
    """The stream's bytes, a stretch of entries at a time. The first piece gives the client its place, whatever comes.

    Ends when the store cannot be read: the client comes back, and by then it may be.
    """
    yield b"id: %d\n: the stream begins\n\n" % place
    while True:
        try:
            entries = await events.following(services, place, interest, wait_s=HEARTBEAT_S)
        except StoreError as exc:
            log.warning("stream_ended", reason=exc.message, code=exc.code)
            return
        if entries:
            place = entries[-1].seq
            yield b"".join(_event(entry_out(entry)) for entry in entries)
        else:
            yield b": still here\n\n"


def _event(entry: EntryOut) -> bytes:
    """One event; JSON has no raw line breaks, so one ``data`` line holds it."""
    return b"id: %d\nevent: entry\ndata: %s\n\n" % (entry.seq, entry.model_dump_json().encode())


def _place(text: str, newest: int) -> int:
    """The number of an entry there is: whoever waits behind the end would never hear what comes before it."""
    if not text.isascii() or not text.isdecimal() or len(text) > _SEQ_MAX_CHARS:
        raise RequestError("a place in the stream is the number of an entry", code="place_invalid")
    if int(text) > newest:
        raise RequestError(
            f"there is no entry {text} yet, the newest is {newest}; was the store restored from a backup?", code="place_invalid"
        )
    return int(text)
