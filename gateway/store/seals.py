"""Seals of the ledger as they were signed, and what is needed to make the next one; ``services.seals`` and ``audit`` use both.

Rows are only ever added, as those of the ledger; the database refuses anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.store.database import Source, reading, writing
from gateway.store.schema import ledger, ledger_seals
from gateway.trust.seal_audit import SignedSeal
from gateway.trust.seals import Seal

#: Hashes of entries read at once.
PAGE: Final = 5000


async def last(db: Source) -> SignedSeal | None:
    """The newest seal."""
    rows = await _seals(db, sa.select(ledger_seals).order_by(ledger_seals.c.number.desc()).limit(1))
    return rows[0] if rows else None


async def since(db: Source, day: str = "") -> Sequence[SignedSeal]:
    """The first seal of ``day`` or later and all after it, oldest first, led by the one before; one for each day of work."""
    first = sa.select(sa.func.min(ledger_seals.c.number)).where(ledger_seals.c.day >= day).scalar_subquery()
    newest = sa.select(sa.func.max(ledger_seals.c.number)).scalar_subquery()
    before = sa.select(sa.func.max(ledger_seals.c.number)).where(ledger_seals.c.number < first).scalar_subquery()
    statement = sa.select(ledger_seals).where(ledger_seals.c.number >= sa.func.coalesce(before, first, newest))
    return await _seals(db, statement.order_by(ledger_seals.c.number))


async def add(db: Source, kept: SignedSeal) -> None:
    """Keep a seal for ever."""
    seal = kept.seal
    async with writing(db) as tx:
        await tx.execute(
            sa.insert(ledger_seals).values(
                number=seal.number,
                day=seal.day,
                sealed_us=seal.sealed_us,
                first_seq=seal.first_seq,
                last_seq=seal.last_seq,
                entry_count=seal.entry_count,
                digest=seal.digest,
                previous=seal.previous,
                signature=kept.signature,
                key=kept.key,
            )
        )


async def oldest_us(db: Source, *, after_seq: int) -> int | None:
    """The earliest time in the entries after ``after_seq``; ``None`` when there are none."""
    async with reading(db) as tx:
        rows = await tx.fetch(sa.select(sa.func.min(ledger.c.at_us)).where(ledger.c.seq > after_seq))
    return None if rows[0][0] is None else int(rows[0][0])


async def last_before(db: Source, until_us: int, *, after_seq: int) -> int:
    """The number of the last entry after ``after_seq`` that is older than ``until_us``; ``after_seq`` when there is none."""
    statement = sa.select(ledger.c.seq).where(ledger.c.seq > after_seq, ledger.c.at_us < until_us)
    async with reading(db) as tx:
        rows = await tx.fetch(statement.order_by(ledger.c.seq.desc()).limit(1))
    return int(rows[0][0]) if rows else after_seq


async def hashes(db: Source, *, after_seq: int, last_seq: int) -> Sequence[tuple[int, bytes]]:
    """Number and hash of the next entries after ``after_seq`` up to ``last_seq``, at most ``PAGE``."""
    statement = sa.select(ledger.c.seq, ledger.c.hash).where(ledger.c.seq > after_seq, ledger.c.seq <= last_seq)
    async with reading(db) as tx:
        rows = await tx.fetch(statement.order_by(ledger.c.seq).limit(PAGE))
    return [(int(row.seq), bytes(row.hash)) for row in rows]


async def _seals(db: Source, statement: sa.Select[Any]) -> list[SignedSeal]:
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [_seal(**row._asdict()) for row in rows]


def _seal(*, signature: bytes, key: str, **columns: Any) -> SignedSeal:  # noqa: ANN401 - the columns of a seal
    return SignedSeal(seal=Seal(**columns), signature=signature, key=key)
