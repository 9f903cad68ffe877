"""The ledger is read in its order, and nobody can change it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store import jsontext, ledger
from gateway.store.database import Database
from tests.integration.store.build import entry, upgraded


async def test_entries_come_back_in_their_order(db: Database) -> None:
    await ledger.append(db, [entry(3, evidence={"a": b"\x01"}), entry(1), entry(2)])
    await ledger.append(db, [])

    rows = await ledger.tail(db, after_seq=0)
    assert [(row.seq, row.at_us) for row in rows] == [(1, 3), (2, 1), (3, 2)]
    assert rows[0].evidence == {"a": "hex:01"}
    assert await ledger.last_seq(db) == 3


async def test_a_reader_goes_on_where_it_stopped(db: Database) -> None:
    await ledger.append(db, [entry(number, upgrade=f"c{number % 2}-1", terminal=f"T{number % 3}") for number in range(12)])
    found: list[int] = []
    after = 0
    while rows := await ledger.tail(db, after_seq=after, limit=2, campaign="c1"):
        found += [row.at_us for row in rows]
        after = rows[-1].seq

    assert found == [1, 3, 5, 7, 9, 11]
    assert [row.at_us for row in await ledger.tail(db, after_seq=0, terminal="T2")] == [2, 5, 8, 11]


async def test_the_newest_come_first_when_asked(db: Database) -> None:
    await ledger.append(db, [entry(number, upgrade=f"c{number % 2}-1", terminal=f"T{number % 3}") for number in range(12)])

    assert [row.seq for row in await ledger.newest(db, limit=3)] == [12, 11, 10]
    assert [row.seq for row in await ledger.newest(db, before_seq=10, after_seq=7, limit=9)] == [9, 8]
    assert [row.at_us for row in await ledger.newest(db, limit=2, campaign="c1")] == [11, 9]
    assert [row.at_us for row in await ledger.newest(db, campaign="c1", terminal="T2")] == [11, 5]


async def test_a_long_history_shows_its_end(db: Database) -> None:
    await upgraded(db, 2)
    await ledger.append(db, [entry(number, upgrade="c1-2", terminal="T001") for number in range(1, 9)])

    assert [row.at_us for row in await ledger.of_upgrade(db, "c1-2", limit=3)] == [6, 7, 8]


async def test_histories_of_upgrade_and_terminal(db: Database) -> None:
    await upgraded(db, 2)
    await ledger.append(db, [entry(1, upgrade="c1-2", terminal="T001"), entry(2, upgrade="c9-1", terminal="T001"), entry(3)])

    assert [row.what for row in await ledger.of_upgrade(db, "c1-2")] == ["created", "accepted"]
    [newest, *older] = await ledger.of_terminal(db, "T001")
    assert newest.at_us == 2
    assert await ledger.of_terminal(db, "T001", before_seq=newest.seq) == older
    assert [row.what for row in older] == ["accepted", "created"]
    assert await ledger.of_upgrade(db, "c1-9") == []


async def test_long_evidence_is_cut_and_says_so(db: Database) -> None:
    await ledger.append(db, [entry(1, evidence={"log": "x" * 60_000, "bytes": 5})])

    [row] = await ledger.tail(db, after_seq=0)
    assert row.evidence["bytes"] == 5
    assert "_cut" in row.evidence
    assert len(jsontext.dump(row.evidence)) <= jsontext.EVIDENCE_MAX_CHARS


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET code = 'ok'",
        "DELETE FROM ledger",
        "INSERT OR REPLACE INTO ledger SELECT * FROM ledger",
        "INSERT INTO ledger SELECT * FROM ledger WHERE true ON CONFLICT (seq) DO UPDATE SET code = 'x'",
    ],
)
async def test_no_statement_changes_an_entry(db: Database, statement: str) -> None:
    await ledger.append(db, [entry(1), entry(2)])
    before = await ledger.tail(db, after_seq=0)

    async def change() -> None:
        async with db.write() as tx:
            await tx.execute(sa.text(statement))

    with pytest.raises(StoreError, match="append-only"):
        await change()
    assert await ledger.tail(db, after_seq=0) == before


async def test_another_program_cannot_change_it_either(db: Database) -> None:
    await ledger.append(db, [entry(1)])
    with closing(sqlite3.connect(db.file)) as other, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute("DELETE FROM ledger")
