"""What both sides have written down when all is over: the gateway's store, and each terminal's life from its own flash.

Gathered once, after the faults have ended. ``invariants`` judges it; nothing in here is a program's opinion of itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio

from device_sim.history import as_plain, read_lives
from gateway.services import audit
from gateway.store.database import Database
from gateway.trust.audit import Finding
from gateway.trust.keys import KeyRing

_ENTRIES: Final = (
    "SELECT seq, at_us, terminal, upgrade, actor, what, from_state, to_state, code, evidence FROM ledger "
    "WHERE terminal <> '' ORDER BY seq"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the ledger about a terminal."""

    seq: int
    at_us: int
    terminal: str
    upgrade: str
    actor: str
    what: str
    from_state: str
    to_state: str
    code: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """A row of the store."""

    id: str
    terminal: str
    campaign: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault that hit, in Unix seconds."""

    name: str
    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is judged."""

    upgrades: Sequence[Upgrade]
    entries: Sequence[Entry]
    campaigns: Mapping[str, str]
    """State by name."""
    orders: Mapping[str, str]
    """Status of orders outside upgrades, by id."""
    terminals: Mapping[str, tuple[int, bool]]
    """Epoch and whether it counts as online, as the gateway has it."""
    shard_epoch: int
    lives: Mapping[str, Mapping[str, Any]]
    """Each terminal's life (``device_sim.history.as_plain``)."""
    again_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of verified segments that each terminal was sent again."""
    struck: Sequence[Struck] = ()
    fell: Sequence[str] = ()
    """Processes that ended by themselves, and what else no fault explains."""
    store_says: str = "ok"
    """SQLite's own check of the file."""
    chain_says: Sequence[str] = ()
    """What an audit of the ledger's chain and seals finds."""


def gather(
    store: Path,
    flash: Path,
    ring: KeyRing,
    *,
    again_bytes: Mapping[str, int],
    struck: Sequence[Struck],
    fell: Sequence[str],
) -> Evidence:
    """Read the store, which no gateway may have open, and every flash; ``ring`` holds the keys that may have sealed.

    ``sqlite3.Error``, ``OSError`` or ``StoreError`` when that cannot be done.
    """
    chain_says = anyio.run(_audit, store, ring)
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:

        def rows(sql: str) -> list[Any]:
            return db.execute(sql).fetchall()

        sound = [line for (line,) in rows("PRAGMA integrity_check")] + [str(row) for row in rows("PRAGMA foreign_key_check")]
        keys = ("seq", "at_us", "terminal", "upgrade", "actor", "what", "from_state", "to_state", "code")
        return Evidence(
            upgrades=[
                Upgrade(id=one, terminal=terminal, campaign=campaign, state=state)
                for one, terminal, campaign, state in rows("SELECT id, terminal, campaign, state FROM upgrades")
            ],
            entries=[
                Entry(**dict(zip(keys, row, strict=False)), evidence=json.loads(row[len(keys)])) for row in rows(_ENTRIES)
            ],
            campaigns=dict(rows("SELECT name, state FROM campaigns")),
            orders=dict(rows("SELECT id, status FROM orders")),
            terminals={name: (epoch, bool(online)) for name, epoch, online in rows("SELECT id, epoch, online FROM terminals")},
            shard_epoch=max((int(value) for (value,) in rows("SELECT value FROM meta WHERE key = 'shard_epoch'")), default=0),
            lives={name: as_plain(name, life) for name, life in read_lives(flash).items()},
            again_bytes=again_bytes,
            struck=struck,
            fell=fell,
            store_says="; ".join(sound),
            chain_says=chain_says,
        )


async def _audit(store: Path, ring: KeyRing) -> list[str]:
    async with Database.open(store, readers=1) as db:
        return [
            f"{one.kind.value} {one.number}{f' of {one.terminal}' if one.terminal else ''}: {one.text}"
            async for one in audit.verify(db, ring)
            if isinstance(one, Finding)
        ]
