"""A campaign as a whole: how many upgrades stand where, who comes next, and how long each state really took.

``engine.campaigns`` asks for the counts and the next candidates, ``services`` for counts, failures and timelines. All of it
follows from ``upgrades`` and ``ledger``; nothing is counted in memory, so a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from gateway.core.states import ACTIVE, UpgradeState
from gateway.store.database import Source, reading
from gateway.store.schema import OPEN_STATES, ledger, terminals, upgrades
from gateway.store.selection import chunks

_ACTIVE: Final = tuple(sorted(state.value for state in ACTIVE))
_UNDER_WAY: Final = tuple(state for state in OPEN_STATES if state != UpgradeState.SCHEDULED.value)
_HERE: Final = upgrades.join(terminals, terminals.c.id == upgrades.c.terminal)
_OTHER: Final = upgrades.alias("other")
#: Another upgrade of the terminal is under way. Whoever is so busy is no candidate, else it would keep those behind it waiting.
_BUSY: Final = (
    sa.select(sa.literal(1))
    .where(_OTHER.c.terminal == upgrades.c.terminal, _OTHER.c.campaign != upgrades.c.campaign, _OTHER.c.state.in_(_UNDER_WAY))
    .exists()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A scheduled upgrade that could be started."""

    upgrade: str
    terminal: str
    wave: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A state that an upgrade entered; it lasted until the next step, or lasts still."""

    state: str
    entered_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The way of one upgrade, oldest step first."""

    upgrade: str
    terminal: str
    steps: tuple[Step, ...]


async def counts(db: Source, campaign: str) -> dict[tuple[int, UpgradeState], int]:
    """How many upgrades there are by (wave, state); pairs without any are left out."""
    pair = (upgrades.c.wave, upgrades.c.state)
    statement = sa.select(*pair, sa.func.count().label("number")).where(upgrades.c.campaign == campaign).group_by(*pair)
    async with reading(db) as tx:
        return {(row.wave, UpgradeState(row.state)): row.number for row in await tx.fetch(statement)}


async def codes(db: Source, campaign: str) -> dict[tuple[UpgradeState, str], int]:
    """How many upgrades there are by (state, code) among those that carry a code other than ``ok``."""
    pair = (upgrades.c.state, upgrades.c.code)
    statement = (
        sa.select(*pair, sa.func.count().label("number"))
        .where(upgrades.c.campaign == campaign, upgrades.c.code.not_in(("", "ok")))
        .group_by(*pair)
    )
    async with reading(db) as tx:
        return {(UpgradeState(row.state), row.code): row.number for row in await tx.fetch(statement)}


async def occupied(db: Source, campaign: str) -> int:
    """How many places under the concurrency cap are taken: active upgrades whose terminal is online."""
    statement = (
        sa.select(sa.func.count())
        .select_from(upgrades.join(terminals, terminals.c.id == upgrades.c.terminal))
        .where(upgrades.c.campaign == campaign, upgrades.c.state.in_(_ACTIVE), terminals.c.online == 1)
    )
    async with reading(db) as tx:
        return int((await tx.fetch(statement))[0][0])


async def scheduled(
    db: Source, campaign: str, wave: int, *, limit: int, online: bool | None = True, due_before_us: int, after: str = ""
) -> Sequence[Candidate]:
    """The next ``limit`` scheduled upgrades of a wave by terminal id, due by ``due_before_us``, terminals ``online``.

    Terminals that another campaign is upgrading at this time are left out.
    """
    statement = (
        sa.select(upgrades.c.id, upgrades.c.terminal, upgrades.c.wave)
        .select_from(upgrades.join(terminals, terminals.c.id == upgrades.c.terminal))
        .where(
            upgrades.c.campaign == campaign,
            upgrades.c.wave == wave,
            upgrades.c.state == UpgradeState.SCHEDULED.value,
            upgrades.c.due_us <= due_before_us,
            upgrades.c.terminal > after,
            ~_BUSY,
        )
        .order_by(upgrades.c.terminal)
        .limit(limit)
    )
    if online is not None:
        statement = statement.where(terminals.c.online == int(online))
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [Candidate(upgrade=row.id, terminal=row.terminal, wave=row.wave) for row in rows]


async def startable(db: Source, campaign: str, due_before_us: int) -> dict[int, int]:
    """How many upgrades of each wave ``scheduled`` would find: due, their terminal online and not busy."""
    statement = (
        sa.select(upgrades.c.wave, sa.func.count().label("number"))
        .select_from(upgrades.join(terminals, terminals.c.id == upgrades.c.terminal))
        .where(
            upgrades.c.campaign == campaign,
            upgrades.c.state == UpgradeState.SCHEDULED.value,
            upgrades.c.due_us <= due_before_us,
            terminals.c.online == 1,
            ~_BUSY,
        )
        .group_by(upgrades.c.wave)
    )
    async with reading(db) as tx:
        return {row.wave: row.number for row in await tx.fetch(statement)}


async def installable(db: Source, campaign: str, wave: int, *, limit: int, due_before_us: int) -> Sequence[str]:
    """The next ``limit`` staged upgrades of a wave whose time has come and whose terminal is online, the longest due first."""
    statement = (
        sa.select(upgrades.c.id)
        .select_from(_HERE)
        .where(*_is_staged_here(campaign, due_before_us), upgrades.c.wave == wave)
        .order_by(upgrades.c.due_us, upgrades.c.terminal)
        .limit(limit)
    )
    async with reading(db) as tx:
        return [row.id for row in await tx.fetch(statement)]


async def installable_counts(db: Source, campaign: str, due_before_us: int) -> dict[int, int]:
    """How many of each wave ``installable`` would find."""
    statement = (
        sa.select(upgrades.c.wave, sa.func.count().label("number"))
        .select_from(_HERE)
        .where(*_is_staged_here(campaign, due_before_us))
        .group_by(upgrades.c.wave)
    )
    async with reading(db) as tx:
        return {row.wave: row.number for row in await tx.fetch(statement)}


async def next_install_us(db: Source, campaign: str) -> int | None:
    """The earliest time for which a staged upgrade is put down; ``None`` when none is staged."""
    statement = sa.select(sa.func.min(upgrades.c.due_us)).where(
        upgrades.c.campaign == campaign, upgrades.c.state == UpgradeState.STAGED.value
    )
    async with reading(db) as tx:
        found: int | None = (await tx.fetch(statement))[0][0]
    return found


def _is_staged_here(campaign: str, due_before_us: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        upgrades.c.campaign == campaign,
        upgrades.c.state == UpgradeState.STAGED.value,
        upgrades.c.due_us <= due_before_us,
        terminals.c.online == 1,
    )


async def timelines(db: Source, campaign: str, *, after: str = "", limit: int = 500) -> Sequence[Timeline]:
    """The measured ways of the next ``limit`` upgrades by terminal id; ``after`` is the terminal the page before ended with."""
    page = (
        sa.select(upgrades.c.id, upgrades.c.terminal)
        .where(upgrades.c.campaign == campaign, upgrades.c.terminal > after)
        .order_by(upgrades.c.terminal)
        .limit(limit)
    )
    async with reading(db) as tx:
        found = {row.id: row.terminal for row in await tx.fetch(page)}
        steps: dict[str, list[Step]] = {upgrade: [] for upgrade in found}
        for ids in chunks(list(found)):
            moves = (
                sa.select(ledger.c.upgrade, ledger.c.to_state, ledger.c.at_us)
                .select_from(
                    upgrades.join(ledger, sa.and_(ledger.c.terminal == upgrades.c.terminal, ledger.c.upgrade == upgrades.c.id))
                )
                .where(upgrades.c.id.in_(ids), ledger.c.from_state != ledger.c.to_state)
                .order_by(ledger.c.terminal, ledger.c.seq)
            )
            for row in await tx.fetch(moves):
                steps[row.upgrade].append(Step(state=row.to_state, entered_us=row.at_us))
    return [Timeline(upgrade=upgrade, terminal=terminal, steps=tuple(steps[upgrade])) for upgrade, terminal in found.items()]
