"""One terminal's share of a campaign: created for the whole campaign at once, loaded by whoever hears the terminal.

``services`` create and list, ``engine`` loads what is open; the state and the snapshot are written by ``Writer`` alone. Counts
and timelines of a campaign as a whole are in ``progress``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.effects import Append
from gateway.core.states import UpgradeState
from gateway.store.connection import Transaction
from gateway.store.database import Source, reading, writing
from gateway.store.ledger import append
from gateway.store.schema import OPEN_STATES, ledger, terminals, upgrades
from gateway.store.selection import IDS_PER_STATEMENT, TerminalFilter, chunks, conditions

CANARY: Final = 0
REST: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeRow:
    """One upgrade as it was last saved."""

    id: str
    campaign: str
    terminal: str
    wave: int
    """0 canary, 1 the rest."""
    state: UpgradeState
    state_since_us: int
    due_us: int
    """Not to be started (scheduled) or installed (staged) before."""
    attempt: int
    code: str
    have_bytes: int
    """Bytes verified on the terminal."""
    snapshot: bytes
    """What ``Upgrade.restore`` needs besides; empty before the first save."""


async def create_campaign_upgrades(
    db: Source,
    campaign: str,
    *,
    wanted: TerminalFilter | Sequence[str],
    canary: Collection[str] = (),
    at_us: int,
    actor: str,
) -> int:
    """Schedule an upgrade for every registered terminal that ``wanted`` means and that has none yet in this campaign.

    Those named in ``canary`` go into wave 0, all others into wave 1. Each upgrade's ledger begins with its creation by
    ``actor``. Ids are ``<campaign>-<number>``. Returns how many were created; an id that is not registered counts for none.
    """
    async with writing(db) as tx:
        if isinstance(wanted, TerminalFilter):
            created = await _create(tx, campaign, conditions(wanted), at_us)
        else:
            created = 0
            for ids in chunks(wanted):
                created += await _create(tx, campaign, [terminals.c.id.in_(ids)], at_us)
        for ids in chunks(sorted(canary)):
            mine = upgrades.c.campaign == campaign
            await tx.execute(sa.update(upgrades).where(mine, upgrades.c.terminal.in_(ids)).values(wave=CANARY))
        await _record_creation(tx, campaign, at_us, actor)
    return created


async def get(db: Source, upgrade: str) -> UpgradeRow | None:
    """One upgrade."""
    rows = await _rows(db, sa.select(upgrades).where(upgrades.c.id == upgrade))
    return rows[0] if rows else None


async def load(db: Source, ids: Sequence[str]) -> dict[str, UpgradeRow]:
    """Those of ``ids`` that exist, by id."""
    found: dict[str, UpgradeRow] = {}
    async with reading(db) as tx:
        for some in chunks(ids):
            found |= {row.id: row for row in await _rows(tx, sa.select(upgrades).where(upgrades.c.id.in_(some)))}
    return found


async def load_open(db: Source, terminal_ids: Sequence[str]) -> dict[str, list[UpgradeRow]]:
    """The upgrades of each terminal that are not final, oldest state first; a terminal without any is left out."""
    found: dict[str, list[UpgradeRow]] = {}
    async with reading(db) as tx:
        for ids in chunks(terminal_ids):
            statement = sa.select(upgrades).where(upgrades.c.terminal.in_(ids), upgrades.c.state.in_(OPEN_STATES))
            for row in await _rows(tx, statement.order_by(upgrades.c.state_since_us, upgrades.c.id)):
                found.setdefault(row.terminal, []).append(row)
    return found


async def page_open(
    db: Source, *, states: Collection[UpgradeState] = (), campaign: str = "", after: str = "", limit: int = 500
) -> Sequence[UpgradeRow]:
    """The next ``limit`` open upgrades (or those in ``states``) by id: for the gateway's start, and for endings."""
    statement = sa.select(upgrades).where(upgrades.c.state.in_(sorted(states) or OPEN_STATES), upgrades.c.id > after)
    if campaign:
        # Its ids stand together, so the range alone shall choose the index: the one by state would sort all that is left.
        statement = statement.where(
            upgrades.c.id > f"{campaign}-", upgrades.c.id < f"{campaign}-\x7f", upgrades.c.campaign.concat("") == campaign
        )
    return await _rows(db, statement.order_by(upgrades.c.id).limit(limit))


async def page_coded(db: Source, codes: Collection[str], *, after: str = "", limit: int = 500) -> Sequence[UpgradeRow]:
    """The next ``limit`` upgrades by id that wait, scheduled or deferred, for a reason in ``codes``."""
    waiting = (UpgradeState.SCHEDULED.value, UpgradeState.DEFERRED.value)
    statement = sa.select(upgrades).where(upgrades.c.state.in_(waiting), upgrades.c.code.in_(sorted(codes)))
    return await _rows(db, statement.where(upgrades.c.id > after).order_by(upgrades.c.id).limit(limit))


async def page(
    db: Source,
    campaign: str,
    *,
    states: Collection[str] = (),
    wave: int | None = None,
    after: str = "",
    limit: int = 50,
) -> Sequence[UpgradeRow]:
    """The next ``limit`` upgrades of a campaign by terminal id; ``after`` is the terminal that the page before ended with."""
    statement = sa.select(upgrades).where(upgrades.c.campaign == campaign, upgrades.c.terminal > after)
    if states:
        statement = statement.where(upgrades.c.state.in_(sorted(states)))
    if wave is not None:
        statement = statement.where(upgrades.c.wave == wave)
    return await _rows(db, statement.order_by(upgrades.c.terminal).limit(limit))


async def of_terminal(db: Source, terminal: str, *, limit: int = 50) -> Sequence[UpgradeRow]:
    """The newest upgrades of one terminal, the one that moved last first."""
    statement = sa.select(upgrades).where(upgrades.c.terminal == terminal)
    return await _rows(db, statement.order_by(upgrades.c.state_since_us.desc(), upgrades.c.id.desc()).limit(limit))


async def _create(tx: Transaction, campaign: str, meant: Sequence[sa.ColumnElement[bool]], at_us: int) -> int:
    """One INSERT … SELECT: a hundred thousand rows never pass through Python."""
    taken = (await tx.fetch(sa.select(sa.func.count()).where(upgrades.c.campaign == campaign)))[0][0]
    number = sa.func.row_number().over(order_by=terminals.c.id) + int(taken)
    has_one = sa.exists().where(upgrades.c.campaign == campaign, upgrades.c.terminal == terminals.c.id)
    chosen = sa.select(
        sa.literal(campaign + "-").concat(sa.cast(number, sa.Text)),
        sa.literal(campaign),
        terminals.c.id,
        sa.literal(REST),
        sa.literal(UpgradeState.SCHEDULED.value),
        sa.literal(at_us),
    ).where(~has_one, *meant)
    return await tx.execute(
        sa.insert(upgrades).from_select(["id", "campaign", "terminal", "wave", "state", "state_since_us"], chosen)
    )


async def _record_creation(tx: Transaction, campaign: str, at_us: int, actor: str) -> None:
    recorded = sa.exists().where(ledger.c.terminal == upgrades.c.terminal, ledger.c.upgrade == upgrades.c.id)
    created = sa.select(upgrades.c.terminal, upgrades.c.id, upgrades.c.state).where(upgrades.c.campaign == campaign, ~recorded)
    after = ""
    while rows := await tx.fetch(
        created.where(upgrades.c.terminal > after).order_by(upgrades.c.terminal).limit(IDS_PER_STATEMENT)
    ):
        entries = [
            Append(
                at_us=at_us,
                terminal=row.terminal,
                campaign=campaign,
                upgrade=row.id,
                actor=actor,
                what="created",
                to_state=row.state,
                code="ok",
            )
            for row in rows
        ]
        await append(tx, entries)
        after = rows[-1].terminal


async def _rows(db: Source, statement: sa.Select[Any]) -> list[UpgradeRow]:
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [UpgradeRow(**{**row._asdict(), "state": UpgradeState(row.state)}) for row in rows]
