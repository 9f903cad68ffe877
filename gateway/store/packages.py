"""The packages that were taken in: what their signed manifests say, where their files lie, and whether they were withdrawn.

``services`` add, list and withdraw; ``engine`` reads the manifest that goes into an offer. The files are not touched here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gateway.store import jsontext
from gateway.store.database import Source, reading, writing
from gateway.store.schema import campaigns, packages


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRow:
    """One package."""

    id: str
    component: str
    version: str
    counter: int
    """Release counter of the component."""
    models: tuple[str, ...]
    size_bytes: int
    sha256: str
    """Of the payload, hex."""
    file: str
    """Name below the package folder."""
    manifest: bytes
    """The signed manifest as a terminal gets it."""
    notes: str = ""
    uploaded_us: int
    uploaded_by: str
    withdrawn_us: int | None = None
    withdrawn_by: str = ""


async def add(db: Source, row: PackageRow) -> None:
    """Keep a new package; ``StoreError`` (``store_constraint``) when its id is taken."""
    values = {name: getattr(row, name) for name in PackageRow.__dataclass_fields__}
    async with writing(db) as tx:
        await tx.execute(sa.insert(packages), values | {"models": jsontext.dump(row.models)})


async def get(db: Source, package: str) -> PackageRow | None:
    """One package."""
    rows = await _rows(db, sa.select(packages).where(packages.c.id == package))
    return rows[0] if rows else None


async def of_sha256(db: Source, sha256: str) -> Sequence[PackageRow]:
    """The packages with this payload, oldest first."""
    return await _rows(db, sa.select(packages).where(packages.c.sha256 == sha256).order_by(packages.c.uploaded_us))


async def page(
    db: Source, *, component: str = "", withdrawn: bool | None = None, after: str = "", limit: int = 50
) -> Sequence[PackageRow]:
    """Packages, newest first; ``after`` is the id that the page before ended with."""
    statement = sa.select(packages)
    if component:
        statement = statement.where(packages.c.component == component)
    if withdrawn is not None:
        statement = statement.where((packages.c.withdrawn_us.is_not(None)) == withdrawn)
    if after:
        anchor = sa.select(packages.c.uploaded_us).where(packages.c.id == after).scalar_subquery()
        statement = statement.where(sa.tuple_(packages.c.uploaded_us, packages.c.id) < sa.tuple_(anchor, sa.literal(after)))
    return await _rows(db, statement.order_by(packages.c.uploaded_us.desc(), packages.c.id.desc()).limit(limit))


async def withdraw(db: Source, package: str, *, at_us: int, by: str) -> bool:
    """Mark as withdrawn; false when there is no such package or it was withdrawn before."""
    statement = sa.update(packages).where(packages.c.id == package, packages.c.withdrawn_us.is_(None))
    async with writing(db) as tx:
        return await tx.execute(statement.values(withdrawn_us=at_us, withdrawn_by=by)) == 1


async def used_by(db: Source, package: str) -> Sequence[str]:
    """The ids of the campaigns that are not over and ship this package."""
    statement = sa.select(campaigns.c.id).where(
        campaigns.c.package == package, campaigns.c.state.in_(("draft", "running", "paused"))
    )
    async with reading(db) as tx:
        return [str(row.id) for row in await tx.fetch(statement.order_by(campaigns.c.id))]


async def _rows(db: Source, statement: sa.Select[Any]) -> list[PackageRow]:
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [PackageRow(**{**row._asdict(), "models": tuple(jsontext.load(row.models))}) for row in rows]
