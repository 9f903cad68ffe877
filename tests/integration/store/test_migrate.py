"""The steps lead to the tables that the code speaks of, in one piece, and never backwards."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store import migrate
from gateway.store.schema import metadata

_BROKEN_STEP = """
from alembic import op
revision = "9000"
down_revision = "{head}"

def upgrade():
    op.execute("CREATE TABLE half (a INTEGER)")
    op.execute("INSERT INTO nowhere VALUES (1)")
"""


def tables_of(file: Path) -> dict[str, str]:
    """What the file says of its tables, indexes and triggers, without the white space."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s+", " ", sql).replace(" ,", ",") for name, sql in rows if name != "alembic_version"}


def test_the_steps_make_the_tables_of_the_schema(tmp_path: Path, empty_store: Path) -> None:
    direct = tmp_path / "direct.db"
    engine = sa.create_engine(f"sqlite:///{direct}", poolclass=sa.NullPool)
    metadata.create_all(engine)

    assert tables_of(empty_store) == tables_of(direct)


def test_the_newest_step_is_the_head() -> None:
    assert max(migrate.known_revisions()) == migrate.HEAD


def test_a_store_in_order_is_left_alone(store_file: Path) -> None:
    before = store_file.read_bytes()
    migrate.bring_up(store_file)

    assert store_file.read_bytes() == before


def test_steps_say_nothing_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    migrate.bring_up(tmp_path / "new.db")

    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_store_of_a_newer_gateway_is_refused(store_file: Path) -> None:
    with closing(sqlite3.connect(store_file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer gateway") as caught:
        migrate.bring_up(store_file)

    assert caught.value.code == "store_too_new"


def test_a_step_that_fails_leaves_the_store_as_it_was(
    store_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, folder)
    (folder / "versions" / "9000_broken.py").write_text(_BROKEN_STEP.format(head=migrate.HEAD))
    monkeypatch.setattr(migrate, "FOLDER", folder)
    head = migrate.HEAD
    monkeypatch.setattr(migrate, "HEAD", "9000")
    before = tables_of(store_file)
    with pytest.raises(StoreError, match="nowhere"):
        migrate.bring_up(store_file)

    assert tables_of(store_file) == before
    with closing(sqlite3.connect(store_file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(head,)]
