"""What SQLite and SQLAlchemy raise, as our errors; the one place where foreign database errors end.

Every module of the store runs its statements inside ``mapped``; nobody above catches ``sqlalchemy`` or ``sqlite3`` errors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy.exc

from gateway.errors import StoreError

_FULL: Final = ("store_full", "the disk is full: make room; a gateway that runs goes on by itself")
#: Result code of SQLite, the extended one first, else the primary one -> our stable code, and what a person can do.
_KNOWN: Final = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,  # no room for the index of the log, which the first connection makes
    sqlite3.SQLITE_READONLY: ("store_read_only", "the file or its folder is read-only for this process: mend its permissions"),
    sqlite3.SQLITE_BUSY: ("store_locked", "another process holds the file locked: close whatever has it open"),
    sqlite3.SQLITE_LOCKED: ("store_locked", "a table is locked by another connection: try again"),
    sqlite3.SQLITE_CORRUPT: ("store_corrupt", "the file is damaged: stop the gateway and restore a backup"),
    sqlite3.SQLITE_NOTADB: ("store_corrupt", "the file is not a database: check store_path, or restore a backup"),
    sqlite3.SQLITE_IOERR: ("store_io_failed", "the disk failed to read or write: check the system's log"),
    sqlite3.SQLITE_CANTOPEN: ("store_cannot_open", "the file cannot be opened: check store_path and its permissions"),
    sqlite3.SQLITE_CONSTRAINT: ("store_constraint", "the rows contradict the store's rules; nothing of them was kept"),
    sqlite3.SQLITE_TOOBIG: ("store_value", "a value is too large for the store"),
    sqlite3.SQLITE_MISMATCH: ("store_value", "a value has the wrong type for its column"),
}

#: Codes that speak of the rows given, not of the store: other rows may well be written.
OF_THE_ROWS: Final = frozenset({"store_constraint", "store_value", "store_row_missing"})


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Turn whatever the database raises inside into ``StoreError``, its text beginning with ``doing``."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as exc:
        raise as_store_error(doing, exc.orig if exc.orig is not None else exc) from exc
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OverflowError, UnicodeError) as exc:
        raise as_store_error(doing, exc) from exc


def as_store_error(doing: str, exc: BaseException) -> StoreError:
    """The ``StoreError`` for a foreign error met while ``doing``."""
    if isinstance(exc, sqlite3.Error):
        number = getattr(exc, "sqlite_errorcode", None)
        if isinstance(number, int):  # the extended code carries the primary one in its low byte
            code, advice = _KNOWN.get(number) or _KNOWN.get(number & 0xFF, ("store_failed", "see the cause"))
            return StoreError(f"{doing}: {exc}; {advice}", code=code, sqlite=getattr(exc, "sqlite_errorname", ""))
    if isinstance(exc, sqlalchemy.exc.TimeoutError):
        return StoreError(f"{doing}: no connection came free in time", code="store_busy")
    if isinstance(exc, (OverflowError, UnicodeError, sqlite3.InterfaceError, sqlite3.ProgrammingError)):
        return StoreError(f"{doing}: {exc}; a value does not fit its column", code="store_value")
    return StoreError(f"{doing}: {exc}")
