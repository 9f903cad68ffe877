"""Small facts of the gateway itself by name, e.g. the shard epoch that it raises at each start."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from gateway.store.database import Source, reading, writing
from gateway.store.schema import meta


async def get(db: Source, key: str) -> str | None:
    """The value, ``None`` when there is none."""
    async with reading(db) as tx:
        rows = await tx.fetch(sa.select(meta.c.value).where(meta.c.key == key))
    return str(rows[0][0]) if rows else None


async def put(db: Source, key: str, value: str) -> None:
    """Set the value."""
    statement = insert(meta).values(key=key, value=value)
    async with writing(db) as tx:
        await tx.execute(statement.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": value}))


async def raise_counter(db: Source, key: str, *, least: int = 0) -> int:
    """Raise the number under ``key`` by one, from 0 when there is none, but to no less than ``least``; return it."""
    async with writing(db) as tx:
        number = max(int(await get(tx, key) or "0") + 1, least)
        await put(tx, key, str(number))
    return number
