"""Routes about the ledger as a whole: its audit, and the ledger as a file. Both are streams of unknown length.

Each takes one of the places of event streams (``streams_max``), so a few of them can never keep the store from everybody else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from gateway.api.events import TerminalQuery
from gateway.api.given import Given, Responses, problems
from gateway.api.ledger_models import FindingOut, LookedOut, SealOut, VerdictOut
from gateway.api.shapes import moment
from gateway.api.streams import Download, EventStreams
from gateway.services import audit, days, export
from gateway.services.audit import Looked, Verdict
from gateway.services.context import Services
from gateway.services.export import Format
from gateway.trust.audit import Finding

_LINES: Final = "application/x-ndjson"
_TYPES: Final[dict[Format, str]] = {"jsonl": _LINES, "csv": "text/csv; charset=utf-8"}
_AUDIT: Final[Responses] = {200: {"content": {_LINES: {}}, "description": "One JSON object in each line."}}
_EXPORT: Final[Responses] = {200: {"content": {_LINES: {}, "text/csv": {}}, "description": "The file."}}

router = APIRouter(tags=["ledger"])

FromQuery = Annotated[str | None, Query(alias="from", description="First day in UTC, such as 2026-11-26.")]
ToQuery = Annotated[str | None, Query(alias="to", description="Last day in UTC, such as 2026-11-26.")]


@router.get(
    "/ledger/audit",
    operation_id="auditLedger",
    summary="Verify the ledger",
    response_class=Response,
    responses=_AUDIT | problems(s422="Invalid", s503="Too many streams"),
)
async def verify(request: Request, services: Given, first_day: FromQuery = None, last_day: ToQuery = None) -> Response:
    """Looks at every entry and seal, and names those that are changed, missing or inserted, a line of JSON for each.

    `kind` says what a line is: `looked` (how far it has come), `finding`, or `verdict`, the last line. With `from` or `to`, the
    seals of these days and what they cover.
    """
    lines = _lines(services, *days.span(first_day, last_day))
    return Download(lines, _streams(request), headers={"Content-Type": _LINES, "Cache-Control": "no-store"})


@router.get(
    "/ledger/export",
    operation_id="exportLedger",
    summary="Export the ledger",
    response_class=Response,
    responses=_EXPORT | problems(s422="Invalid", s503="Too many streams"),
)
async def download(
    request: Request,
    services: Given,
    layout: Annotated[Format, Query(alias="format", description="`jsonl`: JSON lines; `csv`: for spreadsheets.")] = "jsonl",
    first_day: FromQuery = None,
    last_day: ToQuery = None,
    terminal: TerminalQuery = None,
) -> Response:
    """All entries, or those of some days or of one terminal, as a file, the oldest first.

    JSON lines hold what an entry's `hash` is computed from. In CSV, what a spreadsheet would take for a formula has an
    apostrophe before it. A file that was cut short has no proper end, which every HTTP client notices.
    """
    first, last = days.span(first_day, last_day)
    pieces = export.export(services, layout, first_day=first, last_day=last, terminal=terminal or "")
    disposition = f'attachment; filename="ledger.{layout}"'
    headers = {"Content-Type": _TYPES[layout], "Content-Disposition": disposition, "Cache-Control": "no-store"}
    return Download(pieces, _streams(request), headers=headers)


async def _lines(services: Services, first_day: str, last_day: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(audit.verify(services.db, services.seal_ring, first_day=first_day, last_day=last_day)) as found:
        async for one in found:
            yield _line(one).encode() + b"\n"


def _line(one: Looked | Finding | Verdict) -> str:
    match one:
        case Looked():
            return LookedOut(entry_count=one.entry_count, total_count=one.total_count).model_dump_json()
        case Finding():
            return FindingOut(
                what=one.kind.value, number=one.number, last=one.last, terminal=one.terminal, text=one.text
            ).model_dump_json()
        case Verdict():
            return _verdict(one).model_dump_json()


def _verdict(one: Verdict) -> VerdictOut:
    seal = one.newest_seal
    return VerdictOut(
        entry_count=one.entry_count,
        seal_count=one.seal_count,
        finding_count=one.finding_count,
        unsealed_count=one.unsealed_count,
        stopped=one.stopped,
        newest_seal=None
        if seal is None
        else SealOut(
            number=seal.number,
            day=seal.day,
            sealed_at=moment(seal.sealed_us),
            first_seq=seal.first_seq,
            last_seq=seal.last_seq,
            hash=seal.hash.hex(),
        ),
    )


def _streams(request: Request) -> EventStreams:
    streams: EventStreams = request.app.state.streams
    return streams
