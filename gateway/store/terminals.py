"""The fleet: who is registered, what each terminal says of itself, and who spoke to us without being registered.

``services`` registers, lists and filters; ``engine`` loads the terminals it hears from and notes strangers. What changes with
every message (epoch, presence, counter, facts) is written by ``Writer`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from gateway.store import jsontext
from gateway.store.connection import Transaction
from gateway.store.database import Source, reading, writing
from gateway.store.schema import terminal_labels, terminals, unknown_terminals
from gateway.store.selection import TerminalFilter, chunks, conditions
from gateway.wire.messages import Facts

UNKNOWN_MAX: Final = 10_000  # strangers remembered; whoever was heard longest ago is forgotten first

_COLUMNS: Final = (
    terminals.c.id,
    terminals.c.model,
    terminals.c.registered_us,
    terminals.c.epoch,
    terminals.c.online,
    terminals.c.seen_us,
    terminals.c.counter,
    terminals.c.facts,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A terminal to be known from now on."""

    id: str
    model: str = ""
    """Empty: taken from the terminal's first hello."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalRow:
    """A registered terminal as it was last heard."""

    id: str
    model: str
    labels: Mapping[str, str]
    registered_us: int
    epoch: int
    online: bool
    seen_us: int
    """0 before it was ever heard."""
    counter: int
    """Highest order counter ever issued to it."""
    facts: Facts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownTerminal:
    """A stranger: its id as it named itself, and how often it spoke."""

    id: str
    first_us: int
    last_us: int
    times: int


async def register(db: Source, rows: Sequence[Registration], *, at_us: int) -> int:
    """Register ``rows`` and return how many of them are new; one that is known gets the given model (if any) and labels."""
    statement = insert(terminals)
    statement = statement.on_conflict_do_update(
        index_elements=[terminals.c.id],
        set_={"model": sa.case((statement.excluded.model == "", terminals.c.model), else_=statement.excluded.model)},
    )
    latest = list({row.id: row for row in rows}.values())
    async with writing(db) as tx:
        before = await _size(tx)
        if latest:
            await tx.execute(statement, [{"id": row.id, "model": row.model, "registered_us": at_us} for row in latest])
        await _replace_labels(tx, {row.id: row.labels for row in latest})
        for ids in chunks([row.id for row in latest]):
            await tx.execute(sa.delete(unknown_terminals).where(unknown_terminals.c.id.in_(ids)))
        return await _size(tx) - before


async def load(db: Source, ids: Sequence[str]) -> dict[str, TerminalRow]:
    """The registered ones among ``ids``, by id."""
    found: dict[str, TerminalRow] = {}
    async with reading(db) as tx:
        for some in chunks(ids):
            rows = await tx.fetch(sa.select(*_COLUMNS).where(terminals.c.id.in_(some)))
            found |= {row.id: row for row in await _with_labels(tx, rows)}
    return found


async def page(db: Source, *, wanted: TerminalFilter | None = None, after: str = "", limit: int = 50) -> Sequence[TerminalRow]:
    """The next ``limit`` terminals by id that ``wanted`` means, after the id ``after``."""
    statement = (
        sa.select(*_COLUMNS).where(*conditions(wanted or TerminalFilter(), after=after)).order_by(terminals.c.id).limit(limit)
    )
    async with reading(db) as tx:
        return await _with_labels(tx, await tx.fetch(statement))


async def count(db: Source, *, wanted: TerminalFilter | None = None) -> int:
    """How many terminals ``wanted`` means."""
    async with reading(db) as tx:
        rows = await tx.fetch(sa.select(sa.func.count()).where(*conditions(wanted or TerminalFilter())).select_from(terminals))
    return int(rows[0][0])


async def note_unknown(db: Source, heard: Mapping[str, int], at_us: int) -> None:
    """Remember that each stranger in ``heard`` spoke so many times; at most ``UNKNOWN_MAX`` are kept."""
    if not heard:
        return
    statement = insert(unknown_terminals)
    statement = statement.on_conflict_do_update(
        index_elements=[unknown_terminals.c.id],
        set_={
            "last_us": sa.func.max(unknown_terminals.c.last_us, statement.excluded.last_us),
            "times": unknown_terminals.c.times + statement.excluded.times,
        },
    )
    newest = (
        sa.select(unknown_terminals.c.id)
        .order_by(unknown_terminals.c.last_us.desc(), unknown_terminals.c.id.desc())
        .offset(UNKNOWN_MAX)
    )
    rows = [{"id": name, "first_us": at_us, "last_us": at_us, "times": times} for name, times in heard.items()]
    async with writing(db) as tx:
        await tx.execute(statement, rows)
        await tx.execute(sa.delete(unknown_terminals).where(unknown_terminals.c.id.in_(newest)))


async def unknown(db: Source, *, limit: int = 100, after: str = "") -> Sequence[UnknownTerminal]:
    """Strangers, heard last first; ``after`` is the id that the page before ended with."""
    place = sa.tuple_(unknown_terminals.c.last_us, unknown_terminals.c.id)
    statement = sa.select(unknown_terminals).order_by(unknown_terminals.c.last_us.desc(), unknown_terminals.c.id.desc())
    if after:
        anchor = sa.select(unknown_terminals.c.last_us).where(unknown_terminals.c.id == after).scalar_subquery()
        statement = statement.where(place < sa.tuple_(anchor, sa.literal(after)))
    async with reading(db) as tx:
        return [UnknownTerminal(**row._asdict()) for row in await tx.fetch(statement.limit(limit))]


async def _size(tx: Transaction) -> int:
    return int((await tx.fetch(sa.select(sa.func.count()).select_from(terminals)))[0][0])


async def _replace_labels(tx: Transaction, labels: Mapping[str, Mapping[str, str]]) -> None:
    for ids in chunks(list(labels)):
        await tx.execute(sa.delete(terminal_labels).where(terminal_labels.c.terminal.in_(ids)))
    rows = [
        {"terminal": terminal, "key": key, "value": value}
        for terminal, pairs in labels.items()
        for key, value in sorted(pairs.items())
    ]
    if rows:
        await tx.execute(sa.insert(terminal_labels), rows)


async def _with_labels(tx: Transaction, rows: Sequence[sa.Row[Any]]) -> list[TerminalRow]:
    labels: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    for ids in chunks(list(labels)):
        for label in await tx.fetch(sa.select(terminal_labels).where(terminal_labels.c.terminal.in_(ids))):
            labels[label.terminal][label.key] = label.value
    return [_terminal(row, labels[row.id]) for row in rows]


def _terminal(row: sa.Row[Any], labels: Mapping[str, str]) -> TerminalRow:
    return TerminalRow(
        id=row.id,
        model=row.model,
        labels=labels,
        registered_us=row.registered_us,
        epoch=row.epoch,
        online=bool(row.online),
        seen_us=row.seen_us,
        counter=row.counter,
        facts=None if row.facts is None else jsontext.load_facts(row.facts),
    )
