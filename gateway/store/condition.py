"""How a store's file is, seen from outside while a gateway may be using it; for ``tillgate doctor``. Only reads."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.store.failures import mapped

#: Steps of SQLite's machine between two looks at the time.
_STEPS: Final = 10_000
#: Newest entries of the ledger whose times are compared.
_ENTRIES: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What was found."""

    revision: str | None
    """Step of its tables; ``None`` when it has none."""
    journal_mode: str
    size_bytes: int
    log_bytes: int
    """Of the write-ahead log."""
    damage: str | None
    """The first thing that is wrong with its pages; empty when nothing is, ``None`` when the time was up before."""
    newest_us: int
    """Time of the newest ledger entry, 0 without any."""
    offsets_s: Mapping[str, float]
    """How far behind the gateway's clock each terminal's was at its newest report, among the newest entries."""


def look(file: Path, *, within_s: float) -> Condition:
    """Look at the store ``file``; blocks for ``within_s`` at most, but for a disk that hangs.

    Raises:
        StoreError: it cannot be opened or is not a database.
    """
    until = time.monotonic() + within_s
    log = file.with_name(file.name + "-wal")
    with mapped(f"looking at the store {file}"):
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=within_s)) as store:
            mode = str(store.execute("PRAGMA journal_mode").fetchone()[0])
            revision = _revision(store)
            newest_us, offsets = (0, {}) if revision is None else _times(store)
            damage = _damage(store, until)
    return Condition(
        revision=revision,
        journal_mode=mode,
        size_bytes=file.stat().st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
        damage=damage,
        newest_us=newest_us,
        offsets_s=offsets,
    )


def _revision(store: sqlite3.Connection) -> str | None:
    if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    row = store.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _times(store: sqlite3.Connection) -> tuple[int, dict[str, float]]:
    offsets: dict[str, float] = {}
    newest_us = 0
    rows = store.execute(
        "SELECT at_us, terminal, actor, evidence FROM ledger ORDER BY seq DESC LIMIT ?",
        (_ENTRIES,),
    )
    for at_us, terminal, actor, evidence in rows:
        newest_us = max(newest_us, int(at_us))
        at_ms = _reported_ms(evidence) if actor == "terminal" and terminal not in offsets else 0
        if at_ms > 0:
            offsets[terminal] = at_us / 1e6 - at_ms / 1e3
    return newest_us, offsets


def _reported_ms(evidence: str) -> int:
    """When the terminal says that it was; 0 for what does not say so, whatever another hand has made of it."""
    try:
        at_ms = json.loads(evidence)["at_ms"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return at_ms if isinstance(at_ms, int) else 0


def _damage(store: sqlite3.Connection, until: float) -> str | None:
    """``PRAGMA quick_check``, given up when the time is up: a large store takes minutes."""
    if time.monotonic() > until:
        return None
    store.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        found = str(store.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    return "" if found == "ok" else found
