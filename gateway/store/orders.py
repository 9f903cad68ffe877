"""Orders that are not part of an upgrade: what a person or backend asked of one terminal, and what came of it.

``services`` add and list them, ``engine`` loads those that are open; their moves (sent, done, refused, failed, expired) are
written by ``Writer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from gateway.store import jsontext
from gateway.store.database import Source, reading, writing
from gateway.store.schema import orders
from gateway.store.selection import chunks

OPEN_STATUSES: Final = ("pending", "sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """One order and where it stands."""

    id: str
    terminal: str
    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)
    status: str = "pending"
    """One of ``schema.ORDER_STATUSES``."""
    code: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the terminal answered."""
    created_us: int
    created_by: str
    expires_us: int
    updated_us: int = 0


async def add(db: Source, row: OrderRow) -> None:
    """Keep a new order; ``StoreError`` (``store_constraint``) when its id is taken or its terminal is not registered."""
    values = {name: getattr(row, name) for name in OrderRow.__dataclass_fields__}
    values |= {"args": jsontext.dump(row.args), "data": jsontext.dump(row.data)}
    async with writing(db) as tx:
        await tx.execute(sa.insert(orders), values)


async def get(db: Source, order: str) -> OrderRow | None:
    """One order."""
    rows = await _rows(db, sa.select(orders).where(orders.c.id == order))
    return rows[0] if rows else None


async def load_open(db: Source, terminals: Sequence[str]) -> Sequence[OrderRow]:
    """The orders of ``terminals`` that are pending or sent, oldest first for each terminal."""
    found: list[OrderRow] = []
    async with reading(db) as tx:
        for ids in chunks(terminals):
            statement = sa.select(orders).where(orders.c.terminal.in_(ids), orders.c.status.in_(OPEN_STATUSES))
            found += await _rows(tx, statement.order_by(orders.c.terminal, orders.c.created_us, orders.c.id))
    return found


async def page_open(db: Source, *, after: str = "", limit: int = 500) -> Sequence[OrderRow]:
    """The next ``limit`` open orders of the whole fleet by id: for the gateway's start, and for finding those that expired."""
    statement = sa.select(orders).where(orders.c.status.in_(OPEN_STATUSES), orders.c.id > after)
    return await _rows(db, statement.order_by(orders.c.id).limit(limit))


async def page(db: Source, *, terminal: str = "", status: str = "", after: str = "", limit: int = 50) -> Sequence[OrderRow]:
    """Orders, newest first, of one terminal and status when named; ``after`` is the id that the page before ended with."""
    statement = sa.select(orders)
    if terminal:
        statement = statement.where(orders.c.terminal == terminal)
    if status:
        statement = statement.where(orders.c.status == status)
    if after:
        anchor = sa.select(orders.c.created_us).where(orders.c.id == after).scalar_subquery()
        statement = statement.where(sa.tuple_(orders.c.created_us, orders.c.id) < sa.tuple_(anchor, sa.literal(after)))
    return await _rows(db, statement.order_by(orders.c.created_us.desc(), orders.c.id.desc()).limit(limit))


async def _rows(db: Source, statement: sa.Select[Any]) -> list[OrderRow]:
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [OrderRow(**{**row._asdict(), "args": jsontext.load(row.args), "data": jsontext.load(row.data)}) for row in rows]
