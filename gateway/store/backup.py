"""A copy of the store that stands by itself, taken while a gateway runs, and put back while none does.

A backup is one SQLite file and, beside it, ``<file>.json``: what it holds and its hash. ``take`` copies one consistent view by
SQLite's online backup and disturbs nobody. ``put_back`` marks what it restores, so that the gateway that starts on it knows
that terminals may be ahead of it (docs/adr/0017); the store that it replaces is kept aside. Called by the command line alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.effects import Append
from gateway.errors import StoreError
from gateway.store import campaigns, exclusive, ledger, meta, migrate
from gateway.store.database import Database
from gateway.store.failures import mapped
from gateway.store.schema import terminals

FORMAT: Final = 1
EPOCH_KEY: Final = "shard_epoch"
#: Names in ``meta``: steps of orders begin here since the last restore, and when that was.
STEP_KEY: Final = "restored_step"
RESTORED_KEY: Final = "restored_us"
_PIECE_BYTES: Final = 1 << 20
_COUNTED: Final = ("terminals", "campaigns", "upgrades", "packages", "ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    taken_us: int
    revision: str
    """Step of its tables."""
    size_bytes: int
    sha256: str
    rows: Mapping[str, int]
    """How many, by table."""
    last_seq: int
    """Number of its newest ledger entry."""
    payloads: tuple[str, ...]
    """Names of the package files that it needs; they are not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore has done."""

    manifest: Manifest
    aside: Path | None
    """Where the replaced store is kept; ``None`` when there was none."""
    running: tuple[str, ...]
    """Campaigns that go on once a gateway starts."""
    paused: tuple[str, ...]
    """Those that were made to wait."""


def manifest_of(file: Path) -> Path:
    """Where the manifest of a backup lies."""
    return file.with_name(file.name + ".json")


def take(store: Path, file: Path, *, now_us: int) -> Manifest:
    """Copy ``store`` to ``file`` and write its manifest; blocks for as long as the copy takes.

    Raises:
        StoreError: ``backup_exists`` when either is there already, ``backup_failed`` when they cannot be written,
            ``store_missing``, or the store cannot be read or is damaged. Nothing is left then.
    """
    if not store.is_file():
        raise StoreError(f"there is no store {store}; check store_path", code="store_missing")
    for path in (file, manifest_of(file)):
        if path.exists():
            raise _exists(path)
    part = file.with_name(file.name + ".part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise _exists(part) from None
    except OSError as exc:
        raise StoreError(f"cannot write the backup {part}: {exc.strerror}", code="backup_failed") from exc
    try:
        with mapped(f"copying the store {store}"):
            _copy(store, part)
        manifest = _described(part, now_us)
        _publish(part, file)
        try:
            _write(manifest_of(file), json.dumps(asdict(manifest), indent=2) + "\n")
        except OSError:
            file.unlink()  # without its manifest it cannot be restored, and would only be in the way of the next
            raise
    except OSError as exc:
        raise StoreError(f"cannot write the backup {file}: {exc.strerror}", code="backup_failed") from exc
    finally:
        part.unlink(missing_ok=True)
    return manifest


def examine(file: Path) -> Manifest:
    """The manifest of the backup ``file``, once the file has been found to be what it says.

    Raises:
        StoreError: ``backup_missing``, ``backup_damaged``, or ``store_too_new``.
    """
    manifest = _read_manifest(manifest_of(file))
    try:
        found = file.stat().st_size, _hash(file)
    except OSError as exc:
        raise StoreError(f"cannot read the backup {file}: {exc.strerror}", code="backup_missing") from exc
    if found != (manifest.size_bytes, manifest.sha256):
        raise StoreError(f"the backup {file} is not what its manifest describes; take another one", code="backup_damaged")
    if manifest.revision not in migrate.known_revisions():
        raise StoreError(
            f"the backup {file} is of a newer gateway: tables at step {manifest.revision}, this one knows {migrate.HEAD}",
            code="store_too_new",
        )
    return manifest


async def put_back(file: Path, store: Path, *, actor: str, now_us: int, pause: bool = False) -> Restored:
    """Make the backup ``file`` the store ``store``; with ``pause``, its running campaigns wait for ``campaign resume``.

    Until the last step, which is one rename, the old store is whole and in its place.

    Raises:
        StoreInUseError: a gateway runs on the store.
        StoreError: as of ``examine``, or the store's folder cannot be written.
    """
    with exclusive.held(store):
        manifest = examine(file)
        fresh = store.with_name(store.name + ".restoring")
        try:
            fresh.unlink(missing_ok=True)  # of a restore that was cut short
            shutil.copyfile(file, fresh)
            fresh.chmod(0o600)
            aside = _set_aside(store, now_us)
            running, paused = await _mark(fresh, store, manifest, actor=actor, now_us=now_us, pause=pause)
            _sync(fresh)
            if aside is not None:
                _empty_log(store, aside)
            fresh.replace(store)
            _sync(store.parent)
        except OSError as exc:
            raise StoreError(f"cannot restore to {store}: {exc.strerror}", code="backup_failed") from exc
        finally:
            for left in (fresh, *_companions(fresh), fresh.with_name(fresh.name + ".lock")):
                left.unlink(missing_ok=True)
    return Restored(manifest=manifest, aside=aside, running=running, paused=paused)


def _copy(store: Path, part: Path) -> None:
    """One consistent view, whole: in steps it would begin anew with every commit of the gateway."""
    with (
        closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(part)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    _sync(part)


def _described(part: Path, now_us: int) -> Manifest:
    with mapped("checking the backup"), closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro", uri=True)) as copy:
        found = [str(row[0]) for row in copy.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            raise StoreError(f"the store is damaged, so is its copy: {found[0]}; nothing was kept of it", code="store_corrupt")
        revision = str(copy.execute("SELECT version_num FROM alembic_version").fetchone()[0])
        rows = {table: int(copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in _COUNTED}  # noqa: S608 - our own names
        last_seq = int(copy.execute("SELECT coalesce(max(seq), 0) FROM ledger").fetchone()[0])
        payloads = tuple(str(row[0]) for row in copy.execute("SELECT file FROM packages ORDER BY file"))
    return Manifest(
        format=FORMAT,
        taken_us=now_us,
        revision=revision,
        size_bytes=part.stat().st_size,
        sha256=_hash(part),
        rows=rows,
        last_seq=last_seq,
        payloads=payloads,
    )


async def _mark(
    fresh: Path, store: Path, manifest: Manifest, *, actor: str, now_us: int, pause: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the next gateway must know: epochs and steps above all that the lost one can have used, and nobody's presence."""
    async with Database.open(fresh, readers=1) as db, db.write() as tx:
        kept = int(await meta.get(tx, EPOCH_KEY) or "0")
        epoch = max(kept, _epoch_of(store), now_us // 1_000_000) + 1
        for key, number in ((EPOCH_KEY, epoch), (STEP_KEY, epoch), (RESTORED_KEY, now_us)):
            await meta.put(tx, key, str(number))
        await tx.execute(sa.update(terminals).values(online=1))  # so that each is asked; who stays silent counts as away
        running = await campaigns.in_states(tx, ("running",))
        for row in running if pause else ():
            reason = "restored from a backup"
            await campaigns.set_state(tx, row.id, "paused", expected=("running",), at_us=now_us, reason=reason)
        entry = Append(
            at_us=now_us,
            terminal="",
            actor=actor,
            what="store_restored",
            code="ok",
            evidence={"taken_ms": manifest.taken_us // 1000, "last_seq": manifest.last_seq, "shard_epoch": epoch},
        )
        await ledger.append(tx, [entry])
    names = tuple(row.id for row in running)
    return ((), names) if pause else (names, ())


def _epoch_of(store: Path) -> int:
    """The epoch of the store that is replaced, if it can be read at all; the clock is above it as a rule."""
    uri = f"{store.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error, TypeError, ValueError), closing(sqlite3.connect(uri, uri=True)) as old:
        return int(old.execute("SELECT value FROM meta WHERE key = ?", (EPOCH_KEY,)).fetchone()[0])
    return 0


def _set_aside(store: Path, now_us: int) -> Path | None:
    """Keep the replaced store under another name, with the log of one that was not closed."""
    if not store.exists():
        return None
    aside = store.with_name(f"{store.name}.replaced-{datetime.fromtimestamp(now_us / 1e6, UTC):%Y%m%dT%H%M%S%fZ}")
    os.link(store, aside)
    for left, kept in zip(_companions(store), _companions(aside), strict=True):
        if left.exists():  # copied before anything opens the store: SQLite throws a log away that it cannot read
            shutil.copyfile(left, kept)
    return aside


def _empty_log(store: Path, aside: Path) -> None:
    """Bring what the log holds into the store, and leave none: it would be taken for the log of the store that comes there."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(store)) as old:  # it may be damaged: what restores are for
        if old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
            for copied in _companions(aside):
                copied.unlink(missing_ok=True)
    for left in _companions(store):
        left.unlink(missing_ok=True)


def _companions(file: Path) -> tuple[Path, ...]:
    """The files that SQLite keeps beside a store that is open, or was not closed."""
    return tuple(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))


def _publish(part: Path, file: Path) -> None:
    try:
        os.link(part, file)  # never over a file that is there, whoever was quicker
    except FileExistsError:
        raise _exists(file) from None
    _sync(file.absolute().parent)


def _read_manifest(path: Path) -> Manifest:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        manifest = Manifest(**{**found, "payloads": tuple(found["payloads"])})
    except OSError as exc:
        raise StoreError(f"cannot read the backup's manifest {path}: {exc.strerror}", code="backup_missing") from exc
    except (ValueError, TypeError, KeyError) as exc:
        raise StoreError(f"{path} is no manifest of a backup", code="backup_damaged") from exc
    if manifest.format != FORMAT:
        raise StoreError(
            f"{path}: format {manifest.format} is not one that this gateway reads ({FORMAT})", code="backup_damaged"
        )
    return manifest


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        path.unlink()  # a full disk leaves half of it
        raise


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exists(path: Path) -> StoreError:
    return StoreError(f"{path} is there already and is not overwritten; name another file", code="backup_exists")
