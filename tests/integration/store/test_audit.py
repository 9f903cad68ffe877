"""Whatever is done to a row of the ledger behind the gateway's back, the audit names that row and no other.

Each change is made inside a transaction that is rolled back after the audit has looked at it, so one ledger serves all of them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from typing import Final, Never

import pytest_asyncio
import sqlalchemy as sa

from gateway.services import audit
from gateway.services.audit import Looked, Verdict
from gateway.store import audit as audit_rows
from gateway.store import ledger, seals
from gateway.store.connection import Transaction
from gateway.store.database import Database, Source
from gateway.store.schema import LEDGER_TRIGGERS
from gateway.trust.audit import Finding, Kind
from gateway.trust.chain import COLUMNS
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.seal_audit import SignedSeal
from gateway.trust.seals import sign_seal
from tests.integration.store.build import AT_US, entry
from tests.integration.store.test_seals import PRIVATE, seal_up_to

RING: Final = KeyRing([public_of(PRIVATE)])
#: Entries of the ledger, of which the last ones are not sealed.
COUNT: Final = 60
SEALED: Final = (25, 50)

#: What is found: kind, first and last number.
Named = tuple[Kind, int, int]


async def found_in(db: Source, *, first_day: str = "", last_day: str = "") -> list[Named]:
    """All that an audit names."""
    return [(one.kind, one.number, one.last) async for one in _audited(db, first_day, last_day) if isinstance(one, Finding)]


async def verdict_on(db: Source, *, first_day: str = "", last_day: str = "") -> Verdict:
    """How an audit ends."""
    [*before, verdict] = [one async for one in _audited(db, first_day, last_day)]
    assert isinstance(verdict, Verdict)
    assert not any(isinstance(one, Verdict) for one in before)
    return verdict


def _audited(db: Source, first_day: str, last_day: str) -> AsyncIterator[Looked | Finding | Verdict]:
    return audit.verify(db, RING, first_day=first_day, last_day=last_day)


class _UndoneError(Exception):
    pass


def _undo() -> Never:
    raise _UndoneError


@asynccontextmanager
async def tampered(db: Database, *statements: str, **values: object) -> AsyncIterator[Transaction]:
    """The store as somebody with the file in hand has left it, for the length of the block."""
    with suppress(_UndoneError):
        async with db.write() as tx:
            for trigger in LEDGER_TRIGGERS:
                await tx.execute(sa.text(f"DROP TRIGGER {trigger}"))
            for statement in statements:
                await tx.execute(sa.text(statement), values)
            yield tx
            _undo()


def entries_only(found: Sequence[Named]) -> list[Named]:
    """Without the seals that no longer hold because of them."""
    return [one for one in found if one[0] is not Kind.SEAL]


@pytest_asyncio.fixture
async def full(db: Database) -> Database:
    """A ledger of five terminals and of none, in batches, two days of it sealed."""
    chance = random.Random(5)
    number = 0
    while number < COUNT:
        batch = range(number + 1, min(COUNT, number + chance.randint(1, 9)) + 1)
        names = [chance.choice(["", "T1", "T2", "T3", "T4", "Ünïcode"]) for _ in batch]
        await ledger.append(
            db, [entry(one, terminal=name, evidence={"n": one}) for one, name in zip(batch, names, strict=True)]
        )
        number = batch[-1]
    for place in SEALED:
        await seal_up_to(db, place)
    return db


async def test_nothing_is_found_in_a_ledger_that_is_in_order(full: Database) -> None:
    verdict = await verdict_on(full)

    assert (verdict.finding_count, verdict.entry_count, verdict.seal_count, verdict.stopped) == (0, COUNT, 2, False)
    assert verdict.unsealed_count == COUNT - SEALED[-1]
    assert verdict.newest_seal is not None
    assert verdict.newest_seal.last_seq == SEALED[-1]


async def test_any_byte_that_is_changed_in_any_column_is_named_with_its_entry(full: Database) -> None:
    chance = random.Random(7)
    for column in (*COLUMNS[1:], "hash"):
        for seq in chance.sample(range(1, COUNT + 1), 2):
            async with full.read() as tx:
                [row] = await audit_rows.kept(tx, after_seq=seq - 1, from_us=0, until_us=AT_US, limit=1)
            old = {**dict(zip(COLUMNS, row.columns, strict=True)), "hash": row.hash}[column]
            new = bytearray(old or b"\0")
            new[chance.randrange(len(new))] ^= chance.randrange(1, 256)
            change = f"UPDATE ledger SET {column} = :new WHERE seq = :seq"  # noqa: S608 - our own columns
            value = bytes(new) if column in {"prev_seq", "at_us", "hash"} else new.decode("latin-1")
            async with tampered(full, change, new=value, seq=seq) as tx:
                assert entries_only(await found_in(tx)) == [(Kind.CHANGED, seq, seq)], (column, seq, bytes(new))


async def test_any_entry_that_is_removed_is_named(full: Database) -> None:
    for seq in (1, 2, *random.Random(8).sample(range(3, COUNT - 1), 6), COUNT - 1, COUNT):
        async with tampered(full, "DELETE FROM ledger WHERE seq = :seq", seq=seq) as tx:
            found = await found_in(tx)
        sealed = [(Kind.SEAL, number, number) for number, last in enumerate(SEALED, 1) if last - 25 < seq <= last]
        assert sorted(found) == sorted([(Kind.MISSING, seq, seq), *sealed]), seq


async def test_a_stretch_that_is_removed_is_named_to_its_last_entry(full: Database) -> None:
    for first, last in ((1, COUNT), (1, 10), (20, 40), (51, COUNT)):
        async with tampered(full, "DELETE FROM ledger WHERE seq BETWEEN :first AND :last", first=first, last=last) as tx:
            missing = [one for one in await found_in(tx) if one[0] is Kind.MISSING]
        numbers = {number for _, begin, end in missing for number in range(begin, end + 1)}
        # Of a cut end, only the last entry of each terminal is known.
        assert max(numbers) == last
        assert numbers == set(range(first, last + 1)) or last == COUNT


async def test_an_entry_that_is_added_is_named(full: Database) -> None:
    copy = ", ".join(COLUMNS[1:])
    for seq in (1, 33, COUNT):
        added = f"INSERT INTO ledger (seq, {copy}, hash) SELECT :new, {copy}, hash FROM ledger WHERE seq = :seq"  # noqa: S608 - our own columns
        async with tampered(full, added, new=COUNT + 1, seq=seq) as tx:
            assert await found_in(tx) == [(Kind.CHANGED, COUNT + 1, COUNT + 1)], seq


async def test_a_forged_entry_with_a_good_hash_is_named_also_when_others_follow(full: Database) -> None:
    """Whoever knows how the hash is made still has to move the head."""
    async with full.read() as tx:
        [[head]] = await tx.fetch(sa.text("SELECT seq FROM ledger_heads WHERE terminal = 'T2'"))
    kept_head = "UPDATE ledger_heads SET seq = (SELECT seq FROM kept), hash = (SELECT hash FROM kept) WHERE terminal = 'T2'"
    async with tampered(full, "CREATE TEMP TABLE kept AS SELECT seq, hash FROM ledger_heads WHERE terminal = 'T2'") as tx:
        await ledger.append(tx, [entry(COUNT + 1, terminal="T2")])
        await tx.execute(sa.text(kept_head))
        assert await found_in(tx) == [(Kind.INSERTED, COUNT + 1, COUNT + 1)]
        await ledger.append(tx, [entry(COUNT + 2, terminal="T2")])
        assert await found_in(tx) == [(Kind.INSERTED, COUNT + 1, COUNT + 1)]
        [newest] = await ledger.newest(tx, limit=1)
        assert newest.prev_seq == head


async def test_two_entries_that_changed_places_are_both_named(full: Database) -> None:
    swap = ("UPDATE ledger SET seq = -seq WHERE seq IN (11, 12)", "UPDATE ledger SET seq = 23 + seq WHERE seq < 0")
    async with tampered(full, *swap) as tx:
        assert entries_only(await found_in(tx))[:2] == [(Kind.CHANGED, 11, 11), (Kind.CHANGED, 12, 12)]


async def test_heads_that_were_changed_do_not_pass(full: Database) -> None:
    heads = {
        "UPDATE ledger_heads SET hash = zeroblob(32) WHERE terminal = 'T1'": Kind.HEAD,
        "UPDATE ledger_heads SET seq = 70 WHERE terminal = 'T1'": Kind.MISSING,
        "UPDATE ledger_heads SET seq = 1, hash = (SELECT hash FROM ledger WHERE seq = 1) WHERE terminal = 'T1'": Kind.INSERTED,
        "DELETE FROM ledger_heads WHERE terminal = 'T1'": Kind.INSERTED,
    }
    for statement, kind in heads.items():
        async with tampered(full, statement) as tx:
            assert kind in {found[0] for found in await found_in(tx)}, statement


async def test_a_ledger_that_was_written_anew_from_some_place_on_breaks_its_seal(full: Database) -> None:
    """Hashes and heads are no secret; the gateway's signature is."""
    async with tampered(full) as tx:
        later = await ledger.tail(tx, after_seq=0)
        await tx.execute(sa.text("DELETE FROM ledger"))
        await tx.execute(sa.text("DELETE FROM ledger_heads"))
        await ledger.append(tx, [entry(row.at_us, terminal=row.terminal, evidence={"n": row.at_us ^ 1}) for row in later])
        assert await found_in(tx) == [(Kind.SEAL, 1, 1), (Kind.SEAL, 2, 2)]


async def test_changed_and_missing_seals_are_named(full: Database) -> None:
    changes = ["day = '2000-01-01'", "sealed_us = 1", "last_seq = 24", "entry_count = 1", "digest = zeroblob(32)", "key = 'x'"]
    for change in (*changes, "previous = zeroblob(32)", "signature = zeroblob(64)"):
        async with tampered(full, f"UPDATE ledger_seals SET {change} WHERE number = 2") as tx:  # noqa: S608 - written above
            assert await found_in(tx) == [(Kind.SEAL, 2, 2)], change
    async with tampered(full, "DELETE FROM ledger_seals WHERE number = 1") as tx:
        assert await found_in(tx) == [(Kind.SEAL, 1, 1)]


async def test_some_days_are_looked_at_alone(full: Database) -> None:
    async with tampered(full, "UPDATE ledger SET code = 'x' WHERE seq IN (3, 30, 58)") as tx:
        days = [one.seal.day for one in await seals.since(tx)]
        assert entries_only(await found_in(tx, last_day=days[0])) == [(Kind.CHANGED, 3, 3)]
        assert [number for _, number, _ in await found_in(tx, first_day=days[1])] == [30, 58]
        assert entries_only(await found_in(tx, first_day=days[1], last_day="9999-12-31"))[-1] == (Kind.CHANGED, 58, 58)
        verdict = await verdict_on(tx, first_day="9999-01-01")
        assert (verdict.entry_count, verdict.seal_count, verdict.finding_count) == (COUNT - SEALED[1], 0, 1)
        assert (await verdict_on(tx, last_day="1969-01-01")).entry_count == 0


async def test_a_seal_of_a_clock_that_was_ahead_is_not_missing_from_the_days_after_it(full: Database) -> None:
    """A clock that steps gives days in no order; numbers of seals are always in order."""
    known = await seals.since(full)
    ahead = replace(known[-1].seal, number=3, day="2099-01-01", first_seq=51, last_seq=51, previous=known[-1].seal.hash)
    places = ((ahead, 50), (replace(ahead, number=4, day="1970-01-03", first_seq=52, last_seq=52), 51))
    previous = known[-1].seal.hash
    for one, after in places:
        [(_, entry_hash)] = await seals.hashes(full, after_seq=after, last_seq=after + 1)
        seal = replace(one, entry_count=1, digest=sha256(entry_hash).digest(), previous=previous)
        signed = sign_seal(seal, PRIVATE)
        await seals.add(full, SignedSeal(seal=seal, signature=signed.signature, key=signed.key))
        previous = seal.hash
    await seal_up_to(full, 54)  # of 1970-01-05

    assert await found_in(full) == []
    assert await found_in(full, last_day="1970-01-03") == []
    assert (await verdict_on(full, last_day="1970-01-03")).seal_count == 4
    assert (await verdict_on(full, last_day="1970-01-02")).seal_count == 2


async def test_an_audit_of_a_ledger_that_is_wrong_everywhere_ends_early(db: Database) -> None:
    await ledger.append(db, [entry(number, terminal=f"T{number}") for number in range(1700)])
    async with tampered(db, "UPDATE ledger SET code = 'x'") as tx:
        verdict = await verdict_on(tx)

    assert verdict.stopped
    assert 1000 <= verdict.finding_count <= 1500
