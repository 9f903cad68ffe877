"""Brings a store's tables to this version, once, before anything else opens the file; called by ``Database.open``.

Alembic does the steps in ``migrations/versions``; it is imported only when there is a step to do, because a start that finds
its tables in order needs none of it. A store that a newer gateway has written is refused, never guessed at.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store.failures import mapped

#: The newest step in ``migrations/versions``.
HEAD: Final = "0002"
FOLDER: Final = Path(__file__).with_name("migrations")


def bring_up(path: Path) -> None:
    """Make or complete the tables of the SQLite file ``path``; blocks, so call it in a thread.

    All steps are one transaction: a failure or a power cut leaves the store as it was.

    Raises:
        StoreError: the file cannot be opened or changed, or was written by a newer gateway (``store_too_new``).
    """
    with mapped(f"opening the store {path}"):
        revision = _revision(path)
    if revision == HEAD:
        return
    if revision is not None and revision not in known_revisions():
        raise StoreError(
            f"the store {path} was written by a newer gateway (its tables are at step {revision}, this one knows {HEAD}); "
            "start the newer gateway, or restore the backup from before it ran",
            code="store_too_new",
        )
    with mapped(f"preparing the tables of the store {path}"):
        _upgrade(path)


def known_revisions() -> frozenset[str]:
    """The steps that this version carries, by their number."""
    return frozenset(file.name.split("_", 1)[0] for file in (FOLDER / "versions").glob("[0-9]*.py"))


def _revision(path: Path) -> str | None:
    """Where the tables stand; ``None`` for a file without any."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # anything but "no such table"
                raise
            return None
    return None if row is None else str(row[0])


def _upgrade(path: Path) -> None:
    from alembic import command  # noqa: PLC0415 - a start without steps is faster without it
    from alembic.config import Config  # noqa: PLC0415 - as above

    logging.getLogger("alembic").setLevel(logging.WARNING)  # what it says of each step is no news to an operator
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")

    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), poolclass=sa.NullPool)
    sa.event.listen(engine, "connect", _leave_transactions_to_us)
    sa.event.listen(engine, "begin", _begin)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin late and commit before DDL; then a power cut could leave half a step.
    connection.isolation_level = None


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
