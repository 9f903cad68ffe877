"""A connection survives what happens to its callers."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store.connection import Connection, Transaction


async def test_what_a_caller_left_open_is_rolled_back_by_the_next_begin(store_file: Path) -> None:
    connection = Connection(store_file, read_only=False, busy_timeout_s=0.2)
    try:
        await connection.call(connection.begin)
        await Transaction(connection).execute(sa.text("INSERT INTO meta VALUES ('a', '1')"))
        await connection.call(connection.begin)
        rows = await Transaction(connection).fetch(sa.text("SELECT * FROM meta"))
    finally:
        await connection.close()

    assert rows == []


async def test_a_broken_connection_is_replaced(store_file: Path) -> None:
    connection = Connection(store_file, read_only=False, busy_timeout_s=0.2)
    try:
        await connection.call(lambda: connection.driver().close())
        with pytest.raises(StoreError):
            await Transaction(connection).fetch(sa.text("SELECT 1"))
        await connection.call(connection.roll_back)
        await connection.call(connection.begin)
        rows = await Transaction(connection).fetch(sa.text("SELECT 1"))
        await connection.call(connection.commit)
    finally:
        await connection.close()

    assert [tuple(row) for row in rows] == [(1,)]


async def test_a_list_of_parameters_counts_all_changed_rows(store_file: Path) -> None:
    connection = Connection(store_file, read_only=False, busy_timeout_s=0.2)
    try:
        await connection.call(connection.begin)
        rows = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
        changed = await Transaction(connection).execute(sa.text("INSERT INTO meta VALUES (:key, :value)"), rows)
        await connection.call(connection.commit)
    finally:
        await connection.close()

    assert changed == 2
