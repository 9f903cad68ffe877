"""Every way into the ledger makes the same chain, and it goes on where it was after a restart."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import audit, ledger, migrate
from gateway.store.database import Database
from gateway.trust.chain import GENESIS, link_hash
from tests.integration.store.build import entry, upgraded, writing_to
from tests.integration.store.test_audit import found_in

_OLD_ROW = (
    "INSERT INTO ledger (at_us, terminal, campaign, upgrade, actor, what, from_state, to_state, code, evidence) "
    "VALUES (?, ?, 'c1', 'c1-1', 'terminal', 'accepted', 'offered', 'preparing', 'ok', '{}')"
)


async def test_every_way_in_links_to_the_entry_before_of_the_same_terminal(db: Database) -> None:
    await upgraded(db, 3)
    await ledger.append(db, [entry(1, terminal="T001"), entry(2, terminal=""), entry(3, terminal="T001")])
    async with writing_to(db) as writer:
        await writer.save([entry(4, terminal="T001"), entry(5, terminal="")])

    rows = await ledger.tail(db, after_seq=0)
    assert [(row.seq, row.terminal, row.prev_seq) for row in rows] == [
        (1, "T000", 0),
        (2, "T001", 0),
        (3, "T002", 0),
        (4, "T001", 2),
        (5, "", 0),
        (6, "T001", 4),
        (7, "T001", 6),
        (8, "", 5),
    ]
    assert await found_in(db) == []


async def test_the_chain_goes_on_after_a_restart(store_file: Path) -> None:
    for number in range(3):
        async with Database.open(store_file) as db:
            await ledger.append(db, [entry(number)])
            assert await found_in(db) == []
            assert [row.prev_seq for row in await ledger.tail(db, after_seq=0)] == list(range(number + 1))


async def test_a_hash_can_be_computed_from_the_columns_alone(db: Database) -> None:
    await ledger.append(db, [entry(7, evidence={"café": 1.5}), entry(8)])
    first, second = await audit.kept(db, after_seq=0, from_us=0, until_us=9, limit=9)

    assert first.hash == link_hash(GENESIS, first.columns)
    assert second.hash == link_hash(first.hash, second.columns)


async def test_the_ledger_of_an_older_gateway_is_chained_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "old.db"
    folder = Path(shutil.copytree(migrate.FOLDER, tmp_path / "migrations", ignore=shutil.ignore_patterns("000[2-9]_*")))
    with monkeypatch.context() as past:
        past.setattr(migrate, "FOLDER", folder)
        past.setattr(migrate, "HEAD", "0001")
        migrate.bring_up(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(_OLD_ROW, [(number, f"T{number % 7}") for number in range(1, 2346)])
    async with Database.open(file) as db:
        assert await found_in(db) == []
        rows = await ledger.newest(db, limit=1)
        await ledger.append(db, [entry(9000, terminal="T0")])
        [newest] = await ledger.newest(db, limit=1)

    assert (rows[0].seq, rows[0].at_us, rows[0].prev_seq) == (2345, 2345, 2338)
    assert (newest.seq, newest.prev_seq) == (2346, 2345)
