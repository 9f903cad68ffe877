"""Budgets of bytes: those that a person has set, and what was used of each today.

``services`` set and list them, ``engine`` reads those that open transfers draw on; what was used is written by ``Writer``
alone. A budget is named by its scope and its name; the name is empty for the gateway, and for what holds for all terminals or
all sites that have none of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from gateway.core.budgets import Limit, Scope
from gateway.store.database import Source, reading, writing
from gateway.store.schema import budget_days, budgets, terminal_labels
from gateway.store.selection import chunks

SITE_LABEL: Final = "site"
"""Terminals with the same value of this label share a site's budget."""

Key = tuple[Scope, str]
"""A budget's scope and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """What a person has set; ``None`` leaves it as the settings or the campaign's terms say."""

    scope: Scope
    name: str
    bytes_per_s: int | None
    bytes_per_day: int | None
    set_us: int
    set_by: str

    def over(self, limit: Limit) -> Limit:
        """``limit`` with what is set here in its place."""
        return Limit(
            bytes_per_s=limit.bytes_per_s if self.bytes_per_s is None else self.bytes_per_s,
            bytes_per_day=limit.bytes_per_day if self.bytes_per_day is None else self.bytes_per_day,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """What was granted in the day that ends at ``ends_us``, which may be past."""

    ends_us: int
    used_bytes: int

    def used_at(self, now_us: int) -> int:
        """Of the day that runs at ``now_us``."""
        return self.used_bytes if now_us < self.ends_us else 0


def in_force(key: Key, given: Limit, rows: Mapping[Key, BudgetRow]) -> Limit:
    """The limit of ``key``: what a person set for it, else for all of its scope, else ``given`` by settings or terms."""
    for one in dict.fromkeys(((key[0], ""), key)):
        given = rows[one].over(given) if one in rows else given
    return given


async def put(db: Source, row: BudgetRow) -> None:
    """Set a budget; one that sets nothing is forgotten."""
    key = (budgets.c.scope == row.scope.value, budgets.c.name == row.name)
    values = {name: getattr(row, name) for name in BudgetRow.__dataclass_fields__} | {"scope": row.scope.value}
    statement = insert(budgets).values(**values)
    async with writing(db) as tx:
        if row.bytes_per_s is None and row.bytes_per_day is None:
            await tx.execute(sa.delete(budgets).where(*key))
        else:
            await tx.execute(statement.on_conflict_do_update(index_elements=[budgets.c.scope, budgets.c.name], set_=values))


async def load(db: Source, keys: Collection[Key]) -> dict[Key, BudgetRow]:
    """What was set for ``keys``; those without are left out."""
    found: dict[Key, BudgetRow] = {}
    async with reading(db) as tx:
        for scope, names in _by_scope(keys):
            rows = await tx.fetch(sa.select(budgets).where(budgets.c.scope == scope.value, budgets.c.name.in_(names)))
            found |= {(scope, row.name): _row(row) for row in rows}
    return found


async def page(db: Source, *, scope: Scope | None = None, offset: int = 0, limit: int = 50) -> Sequence[BudgetRow]:
    """``limit`` budgets that were set, by scope and name, after the first ``offset``."""
    statement = sa.select(budgets).order_by(budgets.c.scope, budgets.c.name).offset(offset).limit(limit)
    if scope is not None:
        statement = statement.where(budgets.c.scope == scope.value)
    async with reading(db) as tx:
        return [_row(row) for row in await tx.fetch(statement)]


async def days(db: Source, keys: Collection[Key]) -> dict[Key, DayRow]:
    """What was used of ``keys``; those never used are left out."""
    found: dict[Key, DayRow] = {}
    async with reading(db) as tx:
        for scope, names in _by_scope(keys):
            statement = sa.select(budget_days).where(budget_days.c.scope == scope.value, budget_days.c.name.in_(names))
            for row in await tx.fetch(statement):
                found[scope, row.name] = DayRow(ends_us=row.ends_us, used_bytes=row.used_bytes)
    return found


async def sites(db: Source, terminals: Sequence[str]) -> Mapping[str, str]:
    """The site of each terminal that has one."""
    label = terminal_labels.c
    found: dict[str, str] = {}
    async with reading(db) as tx:
        for ids in chunks(terminals):
            statement = sa.select(label.terminal, label.value).where(label.terminal.in_(ids), label.key == SITE_LABEL)
            found |= {row.terminal: row.value for row in await tx.fetch(statement)}
    return found


def _by_scope(keys: Collection[Key]) -> Iterator[tuple[Scope, Sequence[str]]]:
    for scope in Scope:
        for names in chunks(sorted(name for one, name in keys if one is scope)):
            yield scope, names


def _row(row: sa.Row[Any]) -> BudgetRow:
    return BudgetRow(**{**row._asdict(), "scope": Scope(row.scope)})
