"""Foreign errors become ours, with a code that stays and advice for a person."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy.exc

from gateway.errors import StoreError
from gateway.store.failures import mapped


def provoke(statement: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        connection.execute("PRAGMA max_page_count=2")
        connection.execute(statement)
    finally:
        connection.close()


@contextmanager
def no_room() -> Iterator[None]:
    """No file of ours may grow beyond a page."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("INSERT INTO t VALUES (1), (1)", "store_constraint"),
        ("CREATE TABLE u (a)", "store_full"),
        ("SELECT * FROM nowhere", "store_failed"),
        ("INSERT INTO t VALUES ('text')", "store_value"),
    ],
)
def test_sqlite_errors_keep_their_kind(statement: str, code: str) -> None:
    with pytest.raises(StoreError) as caught, mapped("trying"):
        provoke(statement)

    assert caught.value.code == code
    assert str(caught.value).startswith("trying: ")
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_a_disk_without_room_for_the_index_of_the_log_is_full(tmp_path: Path) -> None:
    """What a gateway meets that starts on a full disk: to SQLite a failed write like any other."""
    file = tmp_path / "store.db"
    with closing(sqlite3.connect(file)) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("CREATE TABLE t (a)")
    with closing(sqlite3.connect(file)) as store, no_room(), pytest.raises(StoreError) as caught, mapped("trying"):
        store.execute("SELECT * FROM t")

    assert caught.value.code == "store_full"


def test_what_sqlalchemy_wraps_is_unwrapped() -> None:
    with pytest.raises(sqlite3.Error) as original:
        provoke("INSERT INTO t VALUES (1), (1)")
    with pytest.raises(StoreError) as caught, mapped("trying"):
        raise sqlalchemy.exc.IntegrityError("INSERT", {}, original.value)

    assert caught.value.code == "store_constraint"
    assert "UNIQUE" in str(caught.value)


@pytest.mark.parametrize("error", [OverflowError("too large"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates")])
def test_values_that_do_not_fit_are_told_apart(error: Exception) -> None:
    with pytest.raises(StoreError) as caught, mapped("trying"):
        raise error

    assert caught.value.code == "store_value"


def test_other_errors_pass_untouched() -> None:
    """A transaction's block may raise what it likes; only the database speaks as ``StoreError``."""
    with pytest.raises(OSError, match="mine"), mapped("trying"):
        raise OSError("mine")
