"""What a store looks like from outside: read while it is open, judged by nobody here."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store import ledger, migrate
from gateway.store.condition import look
from gateway.store.database import Database
from gateway.store.schema import LEDGER_TRIGGERS
from tests.integration.store.build import AT_US, entry, upgraded, writing_to


async def test_a_store_that_is_open_is_read_as_it_stands(store_file: Path) -> None:
    async with Database.open(store_file, readers=1) as db:
        await upgraded(db, 2)
        async with writing_to(db) as writer:
            await writer.save(
                [
                    entry(AT_US, terminal="T000", evidence={"at_ms": AT_US // 1000 - 9_000}),
                    entry(AT_US + 5, terminal="T000", evidence={"at_ms": AT_US // 1000 - 2_000}),
                    entry(AT_US + 1, terminal="T001", evidence={"at_ms": 0}),
                ]
            )
        found = look(store_file, within_s=5)

    assert (found.revision, found.journal_mode, found.damage) == (migrate.HEAD, "wal", "")
    assert found.log_bytes > 0
    assert found.newest_us == AT_US + 5
    assert found.offsets_s == {"T000": pytest.approx(2.0, abs=0.01)}  # of its newest report; no clock, no offset


@pytest.mark.parametrize("evidence", ["{not json", "7", '{"at_ms": 1e999}', ""])
async def test_evidence_that_another_hand_has_changed_does_not_end_the_look(store_file: Path, evidence: str) -> None:
    async with Database.open(store_file, readers=1) as db:
        await ledger.append(db, [entry(AT_US, terminal="T000")])
        async with db.write() as tx:
            for trigger in LEDGER_TRIGGERS:
                await tx.execute(sa.text(f"DROP TRIGGER {trigger}"))
            await tx.execute(sa.text("UPDATE ledger SET evidence = :evidence"), {"evidence": evidence})

    assert (look(store_file, within_s=5).newest_us, look(store_file, within_s=5).offsets_s) == (AT_US, {})


def test_the_look_through_it_ends_when_the_time_is_up(store_file: Path) -> None:
    assert look(store_file, within_s=-1).damage is None


def test_a_file_without_tables_has_no_step(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    found = look(file, within_s=5)

    assert (found.revision, found.newest_us, found.offsets_s) == (None, 0, {})


def test_what_is_no_store_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "garbage.db"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        look(file, within_s=5)
