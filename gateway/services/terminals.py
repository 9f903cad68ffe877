"""The fleet as people see it: register, list, look at one with its history, and see who knocks without being registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.effects import Append
from gateway.core.states import UpgradeState
from gateway.errors import NotFoundError, RequestError, TooLargeError
from gateway.services import budgets, cursors
from gateway.services.budgets import Budget
from gateway.services.context import Services
from gateway.services.pages import Page, page_of
from gateway.store import campaigns, ledger, terminals, transfers, upgrades
from gateway.store.ledger import Entry
from gateway.store.selection import TerminalFilter
from gateway.store.terminals import Registration, TerminalRow, UnknownTerminal
from gateway.store.transfers import TransferRow
from gateway.store.upgrades import UpgradeRow
from gateway.wire.topics import is_terminal_id

REGISTER_MAX: Final = 10_000
RESERVED: Final = frozenset({"_gateway"})  # see mosquitto/acl
HISTORY_COUNT: Final = 20  # entries shown with a terminal; the rest is paged


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What became of a registration."""

    new_count: int
    known_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalDetail:
    """One terminal with what is under way and its newest history, newest first."""

    row: TerminalRow
    open_upgrade: UpgradeRow | None
    budgets: Sequence[Budget]
    """Those that a transfer to it keeps to, the narrowest first."""
    transfers: Sequence[TransferRow]
    history: Sequence[Entry]


async def register(services: Services, rows: Sequence[Registration], *, actor: str) -> Registered:
    """Make terminals known, all or none; one that is known gets the model and labels given here.

    Raises:
        RequestError: ``terminal_id_invalid``, ``terminal_id_reserved``, or ``terminal_id_repeated`` within the list.
        TooLargeError: more than ``REGISTER_MAX``.
    """
    if len(rows) > REGISTER_MAX:
        raise TooLargeError(f"{len(rows)} terminals in one request, at most {REGISTER_MAX} allowed; send several")
    _check_ids(rows)
    now_us = services.now_us()
    async with services.db.write() as tx:
        new_count = await terminals.register(tx, rows, at_us=now_us)
        evidence = {"count": len(rows), "new_count": new_count, "first": rows[0].id if rows else ""}
        await ledger.append(tx, [_entry(now_us, actor, "terminals_registered", evidence)])
    services.doorbell.ring("terminals")
    services.doorbell.ring("ledger")
    return Registered(new_count=new_count, known_count=len(rows) - new_count)


async def listing(services: Services, wanted: TerminalFilter, *, cursor: str | None, limit: int) -> Page[TerminalRow]:
    """Terminals by id; ``RequestError`` (``cursor_invalid``)."""
    after = cursors.decode("terminals", cursor)
    rows = await terminals.page(services.db, wanted=wanted, after=after, limit=limit + 1)
    return page_of("terminals", rows, limit, lambda row: row.id)


async def show(services: Services, terminal: str) -> TerminalDetail:
    """One terminal; ``NotFoundError`` (``terminal_unknown``)."""
    async with services.db.read() as tx:
        row = (await terminals.load(tx, [terminal])).get(terminal)
        if row is None:
            raise unknown_terminal(terminal)
        under_way = (await upgrades.load_open(tx, [terminal])).get(terminal, [])
        history = await ledger.of_terminal(tx, terminal, limit=HISTORY_COUNT)
        moved = await transfers.of_terminal(tx, terminal)
        begun = [upgrade for upgrade in under_way if upgrade.state is not UpgradeState.SCHEDULED]
        current = next(iter(begun or under_way), None)
        campaign = None if current is None else await campaigns.get(tx, current.campaign)
        limits = await budgets.of_terminal(services, tx, row, campaign)
    return TerminalDetail(row=row, open_upgrade=current, budgets=limits, transfers=moved, history=history)


async def history(services: Services, terminal: str, *, cursor: str | None, limit: int) -> Page[Entry]:
    """The ledger of one terminal, newest first; ``NotFoundError`` (``terminal_unknown``)."""
    before = cursors.decode_number("history", cursor)
    async with services.db.read() as tx:
        if terminal not in await terminals.load(tx, [terminal]):
            raise unknown_terminal(terminal)
        rows = await ledger.of_terminal(tx, terminal, before_seq=before, limit=limit + 1)
    return page_of("history", rows, limit, lambda entry: str(entry.seq))


async def strangers(services: Services, *, cursor: str | None, limit: int) -> Page[UnknownTerminal]:
    """Who spoke to the gateway without being registered, heard last first."""
    after = cursors.decode("strangers", cursor)
    rows = await terminals.unknown(services.db, after=after, limit=limit + 1)
    return page_of("strangers", rows, limit, lambda row: row.id)


def unknown_terminal(terminal: str) -> NotFoundError:
    """The refusal of a request about a terminal that is not registered."""
    return NotFoundError(f"terminal {terminal} is not registered", code="terminal_unknown", terminal=terminal)


def _check_ids(rows: Sequence[Registration]) -> None:
    seen: set[str] = set()
    for row in rows:
        if not is_terminal_id(row.id):
            text = f"terminal id {row.id[:80]!r}: expected 1 to 64 characters of A-Z a-z 0-9 _ -"
            raise RequestError(text, code="terminal_id_invalid")
        if row.id in RESERVED:
            text = f"{row.id} is the name under which the gateway hears itself; no terminal may have it"
            raise RequestError(text, code="terminal_id_reserved")
        if row.id in seen:
            raise RequestError(f"terminal {row.id} is named twice in one request", code="terminal_id_repeated", terminal=row.id)
        seen.add(row.id)


def _entry(at_us: int, actor: str, what: str, evidence: dict[str, object]) -> Append:
    return Append(
        at_us=at_us,
        terminal="",
        campaign="",
        upgrade="",
        actor=actor,
        what=what,
        from_state="",
        to_state="",
        code="ok",
        evidence=evidence,
    )
