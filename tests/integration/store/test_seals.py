"""Seals are kept as they were signed, in their order, and nobody can change one."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import pytest
import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.services.days import day_of
from gateway.store import ledger, seals
from gateway.store.database import Database
from gateway.trust.chain import GENESIS
from gateway.trust.seal_audit import SignedSeal
from gateway.trust.seals import Seal, sign_seal
from tests.integration.store.build import entry

PRIVATE: Final = bytes(range(32))
DAY_US: Final = 86_400_000_000


async def seal_up_to(db: Database, last_seq: int) -> SignedSeal:
    """Seal what comes after the newest seal, as one day more."""
    newest = await seals.last(db)
    number, after, previous = (newest.seal.number, newest.seal.last_seq, newest.seal.hash) if newest else (0, 0, GENESIS)
    hashes = await seals.hashes(db, after_seq=after, last_seq=last_seq)
    seal = Seal(
        number=number + 1,
        day=day_of(number * DAY_US),
        sealed_us=number * DAY_US,
        first_seq=after + 1,
        last_seq=last_seq,
        entry_count=len(hashes),
        digest=sha256(b"".join(one for _, one in hashes)).digest(),
        previous=previous,
    )
    signed = sign_seal(seal, PRIVATE)
    kept = SignedSeal(seal=seal, signature=signed.signature, key=signed.key)
    await seals.add(db, kept)
    return kept


async def test_seals_come_back_as_they_were_signed(db: Database) -> None:
    assert await seals.last(db) is None
    assert await seals.since(db) == []
    await ledger.append(db, [entry(number) for number in range(9)])
    made = [await seal_up_to(db, last) for last in (2, 3, 9)]

    assert await seals.last(db) == made[-1]
    assert await seals.since(db) == made
    assert await seals.since(db, "1970-01-03") == made[1:]
    assert await seals.since(db, "2100-01-01") == made[2:]


async def test_what_is_not_sealed_yet_is_found_by_its_time(db: Database) -> None:
    assert await seals.oldest_us(db, after_seq=0) is None
    await ledger.append(db, [entry(number) for number in (5, 3, 90, 4, 91)])

    assert await seals.oldest_us(db, after_seq=0) == 3
    assert await seals.oldest_us(db, after_seq=2) == 4
    assert await seals.last_before(db, 50, after_seq=0) == 4
    assert await seals.last_before(db, 50, after_seq=4) == 4
    assert [seq for seq, _ in await seals.hashes(db, after_seq=1, last_seq=4)] == [2, 3, 4]


@pytest.mark.parametrize("statement", ["UPDATE ledger_seals SET day = ''", "DELETE FROM ledger_seals"])
async def test_no_statement_changes_a_seal(db: Database, statement: str) -> None:
    await ledger.append(db, [entry(1)])
    kept = await seal_up_to(db, 1)

    async def change() -> None:
        async with db.write() as tx:
            await tx.execute(sa.text(statement))

    with pytest.raises(StoreError, match="append-only"):
        await change()
    assert await seals.since(db) == [kept]
