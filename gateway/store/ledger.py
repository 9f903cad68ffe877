"""The record of everything that happened, in the order in which it was committed; read here, never changed.

``Writer`` appends what the core decides; ``services`` append what a person did, inside the same transaction that does it;
both by way of ``chain``. The database itself refuses to change or delete an entry. ``seq`` rises with every commit, so it is a
reader's place in the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from gateway.core.effects import Append
from gateway.store import chain, jsontext
from gateway.store.database import Source, reading, writing
from gateway.store.schema import ledger, upgrades


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger."""

    seq: int
    at_us: int
    terminal: str
    campaign: str
    upgrade: str
    actor: str
    what: str
    from_state: str
    to_state: str
    code: str
    evidence: Mapping[str, Any]
    """Numbers, texts and ``hex:…`` for bytes; with the key ``_cut`` when it was too long to be kept whole."""
    prev_seq: int
    """The entry before it of the same terminal, 0 for the first."""
    hash: bytes
    """See ``chain``."""


async def append(db: Source, entries: Sequence[Append]) -> None:
    """Append ``entries`` in their order, in the caller's transaction when it has one open."""
    if not entries:
        return
    async with writing(db) as tx:
        await tx.run(partial(chain.append, entries=entries))


async def tail(db: Source, *, after_seq: int, limit: int = 500, campaign: str = "", terminal: str = "") -> Sequence[Entry]:
    """The next ``limit`` entries after ``after_seq``, oldest first, of one campaign or terminal when named."""
    statement = _narrowed(sa.select(ledger).where(ledger.c.seq > after_seq), campaign, terminal)
    return await _entries(db, statement.order_by(ledger.c.seq).limit(limit))


async def newest(
    db: Source, *, before_seq: int | None = None, after_seq: int = 0, limit: int = 500, campaign: str = "", terminal: str = ""
) -> Sequence[Entry]:
    """The last ``limit`` entries before ``before_seq`` and after ``after_seq``, newest first, filtered as in ``tail``."""
    statement = _narrowed(sa.select(ledger).where(ledger.c.seq > after_seq), campaign, terminal)
    if before_seq is not None:
        statement = statement.where(ledger.c.seq < before_seq)
    return await _entries(db, statement.order_by(ledger.c.seq.desc()).limit(limit))


async def of_upgrade(db: Source, upgrade: str, *, limit: int = 500) -> Sequence[Entry]:
    """The history of one upgrade, oldest first: its newest ``limit`` entries, since a long soak must not hide the verdict."""
    terminal = sa.select(upgrades.c.terminal).where(upgrades.c.id == upgrade).scalar_subquery()
    statement = sa.select(ledger).where(ledger.c.terminal == terminal, ledger.c.upgrade == upgrade)
    return (await _entries(db, statement.order_by(ledger.c.seq.desc()).limit(limit)))[::-1]


async def of_terminal(db: Source, terminal: str, *, before_seq: int | None = None, limit: int = 50) -> Sequence[Entry]:
    """The history of one terminal, newest first; ``before_seq`` is the number that the page before ended with."""
    statement = sa.select(ledger).where(ledger.c.terminal == terminal)
    if before_seq is not None:
        statement = statement.where(ledger.c.seq < before_seq)
    return await _entries(db, statement.order_by(ledger.c.seq.desc()).limit(limit))


async def last_seq(db: Source) -> int:
    """The number of the newest entry, 0 when there is none: where a stream that wants no history begins."""
    async with reading(db) as tx:
        return int((await tx.fetch(sa.select(sa.func.coalesce(sa.func.max(ledger.c.seq), 0))))[0][0])


def _narrowed(statement: sa.Select[Any], campaign: str, terminal: str) -> sa.Select[Any]:
    if campaign:
        statement = statement.where(ledger.c.campaign == campaign)
    return statement.where(ledger.c.terminal == terminal) if terminal else statement


async def _entries(db: Source, statement: sa.Select[Any]) -> Sequence[Entry]:
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [Entry(**{**row._asdict(), "evidence": jsontext.load(row.evidence)}) for row in rows]
