"""Campaigns: which package goes where, under which settings, and in which state the whole stands.

``services`` create, start, pause, resume and abort; ``engine`` reads those that run and finishes them. A state is changed only
from one that the caller expects, so two who decide at once cannot both win.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from gateway.store import jsontext
from gateway.store.database import Source, reading, writing
from gateway.store.schema import campaigns

OVER_STATES: Final = ("aborted", "finished")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    """One campaign."""

    id: str
    name: str
    package: str
    state: str = "draft"
    """One of ``schema.CAMPAIGN_STATES``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    """Why it was paused or aborted last."""
    created_us: int
    created_by: str
    started_us: int | None = None
    ends_us: int | None = None
    finished_us: int | None = None


async def create(db: Source, row: CampaignRow) -> None:
    """Keep a new campaign; ``StoreError`` (``store_constraint``) when its id is taken or its package is not there."""
    values = {name: getattr(row, name) for name in CampaignRow.__dataclass_fields__}
    async with writing(db) as tx:
        await tx.execute(sa.insert(campaigns), values | {"settings": jsontext.dump(row.settings)})


async def get(db: Source, campaign: str) -> CampaignRow | None:
    """One campaign."""
    rows = await _rows(db, sa.select(campaigns).where(campaigns.c.id == campaign))
    return rows[0] if rows else None


async def load(db: Source, ids: Collection[str]) -> dict[str, CampaignRow]:
    """Those of ``ids`` that exist, by id."""
    return {row.id: row for row in await _rows(db, sa.select(campaigns).where(campaigns.c.id.in_(sorted(ids))))}


async def in_states(db: Source, states: Collection[str]) -> Sequence[CampaignRow]:
    """All campaigns in ``states``, oldest first. Few: a company runs some at a time."""
    statement = sa.select(campaigns).where(campaigns.c.state.in_(sorted(states)))
    return await _rows(db, statement.order_by(campaigns.c.created_us, campaigns.c.id))


async def page(db: Source, *, states: Collection[str] = (), after: str = "", limit: int = 50) -> Sequence[CampaignRow]:
    """Campaigns, newest first, in ``states`` when given; ``after`` is the id that the page before ended with."""
    statement = sa.select(campaigns)
    if states:
        statement = statement.where(campaigns.c.state.in_(sorted(states)))
    if after:
        anchor = sa.select(campaigns.c.created_us).where(campaigns.c.id == after).scalar_subquery()
        place = sa.tuple_(campaigns.c.created_us, campaigns.c.id)
        statement = statement.where(place < sa.tuple_(anchor, sa.literal(after)))
    return await _rows(db, statement.order_by(campaigns.c.created_us.desc(), campaigns.c.id.desc()).limit(limit))


async def set_state(
    db: Source,
    campaign: str,
    state: str,
    *,
    expected: Collection[str],
    at_us: int,
    reason: str = "",
    ends_us: int | None = None,
) -> bool:
    """Move to ``state`` if it is in one of ``expected`` now; false when it is not, or does not exist.

    The first move to ``running`` is its start, a move to ``aborted`` or ``finished`` its end. ``ends_us`` replaces the time by
    which the campaign must be over, when given.
    """
    values: dict[str, Any] = {"state": state, "reason": reason}
    if state == "running":
        values["started_us"] = sa.func.coalesce(campaigns.c.started_us, at_us)
    if state in OVER_STATES:
        values["finished_us"] = at_us
    if ends_us is not None:
        values["ends_us"] = ends_us
    statement = sa.update(campaigns).where(campaigns.c.id == campaign, campaigns.c.state.in_(sorted(expected))).values(**values)
    async with writing(db) as tx:
        return await tx.execute(statement) == 1


async def set_settings(db: Source, campaign: str, settings: Mapping[str, Any]) -> bool:
    """Replace the settings; false when there is no such campaign."""
    statement = sa.update(campaigns).where(campaigns.c.id == campaign).values(settings=jsontext.dump(settings))
    async with writing(db) as tx:
        return await tx.execute(statement) == 1


async def _rows(db: Source, statement: sa.Select[Any]) -> list[CampaignRow]:
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [CampaignRow(**{**row._asdict(), "settings": jsontext.load(row.settings)}) for row in rows]
