"""Routes about terminals: register, list, look at one, its history, and strangers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from gateway.api.budgets import budget_out
from gateway.api.given import Actor, Cursor, Given, Limit, PageLimit, TerminalId, problems
from gateway.api.shapes import EntryOut, Page, moment, moment_or_none
from gateway.api.terminal_models import (
    FactsOut,
    OpenUpgradeOut,
    RegisterIn,
    RegisterOut,
    TerminalDetailOut,
    TerminalFilterIn,
    TerminalOut,
    UnknownTerminalOut,
)
from gateway.api.transfers import transfer_out
from gateway.errors import RequestError
from gateway.services import terminals
from gateway.store.ledger import Entry
from gateway.store.selection import TerminalFilter
from gateway.store.terminals import Registration, TerminalRow
from gateway.store.upgrades import UpgradeRow
from gateway.wire.codes import Component
from gateway.wire.messages import Facts

router = APIRouter(tags=["terminals"])


@router.post(
    "/terminals",
    operation_id="registerTerminals",
    summary="Register terminals",
    responses=problems(s413="Too many", s422="Invalid"),
)
async def register(body: RegisterIn, services: Given, actor: Actor) -> RegisterOut:
    """Make up to 10,000 terminals known, all of them or none.

    One that is known already gets the model and the labels given here, so the same request may be sent again.
    """
    rows = [Registration(id=one.id, model=one.model, labels=one.labels) for one in body.terminals]
    done = await terminals.register(services, rows, actor=actor)
    return RegisterOut(registered_count=done.new_count, updated_count=done.known_count)


@router.get("/terminals", operation_id="listTerminals", summary="List terminals", responses=problems(s422="Invalid"))
async def listing(
    *,
    services: Given,
    model: Annotated[str, Query(max_length=64, description="Exactly this model.")] = "",
    online: Annotated[bool | None, Query(description="Only those that are online, or only those that are not.")] = None,
    label: Annotated[list[str] | None, Query(max_length=32, description="`key=value`; may be given several times.")] = None,
    version: Annotated[list[str] | None, Query(max_length=4, description="`component=version`, e.g. `app=2.0.0`.")] = None,
    prefix: Annotated[str, Query(max_length=64, description="How the id begins.")] = "",
    text: Annotated[str, Query(max_length=64, description="Somewhere in the id, the model or a label.")] = "",
    cursor: Cursor = None,
    limit: Limit = PageLimit,
) -> Page[TerminalOut]:
    """Terminals by id; all conditions given must hold."""
    wanted = TerminalFilter(
        model=model,
        online=online,
        labels=_pairs("label", label or ()),
        components=_versions(_pairs("version", version or ())),
        prefix=prefix,
        text=text,
    )
    page = await terminals.listing(services, wanted, cursor=cursor, limit=limit)
    return Page(items=[terminal_out(row) for row in page.rows], next=page.next)


@router.get(
    "/terminals/{terminal}", operation_id="showTerminal", summary="Show one terminal", responses=problems(s404="Not registered")
)
async def show(terminal: TerminalId, services: Given) -> TerminalDetailOut:
    """One terminal: what it said of itself last, the upgrade under way, and its newest history."""
    detail = await terminals.show(services, terminal)
    return TerminalDetailOut(
        **terminal_out(detail.row).model_dump(),
        open_upgrade=None if detail.open_upgrade is None else _open_upgrade(detail.open_upgrade),
        budgets=[budget_out(one) for one in detail.budgets],
        transfers=[transfer_out(one) for one in detail.transfers],
        history=[entry_out(one) for one in detail.history],
    )


@router.get(
    "/terminals/{terminal}/history",
    operation_id="listTerminalHistory",
    summary="List the history of a terminal",
    responses=problems(s404="Not registered"),
)
async def history(terminal: TerminalId, services: Given, cursor: Cursor = None, limit: Limit = PageLimit) -> Page[EntryOut]:
    """The ledger of one terminal, newest first."""
    page = await terminals.history(services, terminal, cursor=cursor, limit=limit)
    return Page(items=[entry_out(one) for one in page.rows], next=page.next)


@router.get("/unknown-terminals", operation_id="listUnknownTerminals", summary="List terminals that nobody registered")
async def strangers(services: Given, cursor: Cursor = None, limit: Limit = PageLimit) -> Page[UnknownTerminalOut]:
    """Terminals that spoke to the gateway without being registered, heard last first; at most 10,000 are remembered."""
    page = await terminals.strangers(services, cursor=cursor, limit=limit)
    items = [
        UnknownTerminalOut(id=row.id, first_seen_at=moment(row.first_us), seen_at=moment(row.last_us), times_count=row.times)
        for row in page.rows
    ]
    return Page(items=items, next=page.next)


def filter_of(asked: TerminalFilterIn) -> TerminalFilter:
    """The filter of a request's body; an empty one would mean the whole fleet, and that must be said."""
    if not asked.model_dump(exclude_defaults=True):
        raise RequestError("the filter is empty; name at least one condition", code="filter_empty")
    return TerminalFilter(
        model=asked.model or "",
        online=asked.online,
        labels=asked.labels,
        components=dict(asked.versions),
        prefix=asked.id_prefix or "",
    )


def terminal_out(row: TerminalRow) -> TerminalOut:
    """One terminal as an answer."""
    return TerminalOut(
        id=row.id,
        model=row.model,
        labels=dict(row.labels),
        online=row.online,
        seen_at=moment_or_none(row.seen_us),
        registered_at=moment_or_none(row.registered_us),
        facts=None if row.facts is None else _facts(row.facts),
    )


def entry_out(entry: Entry) -> EntryOut:
    """One ledger entry as an answer."""
    return EntryOut(
        seq=entry.seq,
        at=moment(entry.at_us),
        terminal=entry.terminal,
        campaign=entry.campaign,
        upgrade=entry.upgrade,
        actor=entry.actor,
        what=entry.what,
        from_state=entry.from_state,
        to_state=entry.to_state,
        code=entry.code,
        evidence=dict(entry.evidence),
    )


def _facts(facts: Facts) -> FactsOut:
    values = asdict(facts)
    clock_ms = values.pop("clock_ms")
    # The clock is whatever the terminal sent: centuries that a date cannot hold are left out.
    sane = 0 < clock_ms < 253_402_300_799_000
    connections = 1 if values.pop("single_connection") else 2
    return FactsOut(**values, connections=connections, clock_at=moment(clock_ms * 1000) if sane else None)


def _open_upgrade(row: UpgradeRow) -> OpenUpgradeOut:
    return OpenUpgradeOut(
        id=row.id,
        campaign=row.campaign,
        state=row.state.value,
        state_since_at=moment(row.state_since_us),
        code=row.code,
    )


def _pairs(name: str, given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not 1 <= len(key) <= 64 or not 1 <= len(value) <= 128:
            raise RequestError(f"{name}={text[:60]!r} is not of the form key=value", code="condition_invalid")
        pairs[key] = value
    return pairs


def _versions(pairs: dict[str, str]) -> dict[str, str]:
    for component in pairs:
        if component not in {one.value for one in Component}:
            known = ", ".join(Component)
            raise RequestError(f"there is no component {component[:40]!r}: choose one of {known}", code="condition_invalid")
    return pairs
