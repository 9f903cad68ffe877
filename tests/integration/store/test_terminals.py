"""The fleet is registered, found and listed; strangers are remembered within a bound."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from gateway.store import batch, terminals
from gateway.store.database import Database
from gateway.store.selection import TerminalFilter
from gateway.store.terminals import Registration
from tests.integration.store.build import AT_US, fleet, saved_terminal
from tests.unit.store.test_jsontext import FACTS

SHANGHAI = {"city": "Shanghai", "chain": "tea"}


async def register_three(db: Database) -> None:
    """Two models, two cities; A1 is online and has spoken."""
    await terminals.register(
        db,
        [
            Registration(id="A1", model="lakala-4g-esign", labels=SHANGHAI),
            Registration(id="A2", model="shengpay-4g-esign", labels={"city": "Beijing", "chain": "tea"}),
            Registration(id="B1", model="lakala-4g-esign", labels=SHANGHAI | {"floor": "100%_new"}),
        ],
        at_us=AT_US,
    )
    await db.transact(lambda driver: batch.apply(driver, [saved_terminal("A1", facts=FACTS)]))


async def test_registering_again_changes_model_and_labels_and_counts_no_new_one(db: Database) -> None:
    first = await terminals.register(db, [Registration(id="A1", model="m", labels=SHANGHAI)], at_us=1)
    second = await terminals.register(
        db, [Registration(id="A1", labels={"city": "Xi'an"}), Registration(id="A2"), Registration(id="A2", model="n")], at_us=2
    )

    assert (first, second) == (1, 1)
    found = await terminals.load(db, ["A1", "A2", "A3"])
    assert set(found) == {"A1", "A2"}
    assert (found["A1"].model, found["A1"].labels, found["A1"].registered_us) == ("m", {"city": "Xi'an"}, 1)
    assert (found["A1"].online, found["A1"].seen_us, found["A1"].facts) == (False, 0, None)
    assert found["A2"].model == "n"


async def test_a_known_terminal_is_no_longer_a_stranger(db: Database) -> None:
    await terminals.note_unknown(db, {"A1": 1}, 5)
    await terminals.note_unknown(db, {"Z9": 1}, 6)
    await terminals.register(db, [Registration(id="A1")], at_us=7)

    assert [stranger.id for stranger in await terminals.unknown(db)] == ["Z9"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (TerminalFilter(), ["A1", "A2", "B1"]),
        (TerminalFilter(model="lakala-4g-esign"), ["A1", "B1"]),
        (TerminalFilter(online=True), ["A1"]),
        (TerminalFilter(online=False), ["A2", "B1"]),
        (TerminalFilter(labels={"city": "Shanghai"}), ["A1", "B1"]),
        (TerminalFilter(labels={"city": "Shanghai", "floor": "100%_new"}), ["B1"]),
        (TerminalFilter(components={"app": "2.1.0"}), ["A1"]),
        (TerminalFilter(components={"app": "2.1.0", "os": "12"}), []),
        (TerminalFilter(prefix="A"), ["A1", "A2"]),
        (TerminalFilter(prefix="A2"), ["A2"]),
        (TerminalFilter(text="SHENGPAY"), ["A2"]),
        (TerminalFilter(text="beij"), ["A2"]),
        (TerminalFilter(text="%_"), ["B1"]),
        (TerminalFilter(text="b1", prefix="B", model="lakala-4g-esign", online=False), ["B1"]),
    ],
)
async def test_a_filter_finds_what_meets_all_of_it(db: Database, wanted: TerminalFilter, expected: list[str]) -> None:
    await register_three(db)

    assert [row.id for row in await terminals.page(db, wanted=wanted)] == expected
    assert await terminals.count(db, wanted=wanted) == len(expected)


@pytest.mark.parametrize("prefix", ["", "T0", "T01"])
async def test_pages_join_without_gap_or_repetition(db: Database, prefix: str) -> None:
    ids = [name for name in await fleet(db, 25) if name.startswith(prefix)]
    found: list[str] = []
    while rows := await terminals.page(db, wanted=TerminalFilter(prefix=prefix), after=found[-1] if found else "", limit=7):
        found += [row.id for row in rows]

    assert found == ids


async def test_more_ids_than_one_statement_takes(db: Database) -> None:
    ids = [f"T{number:05}" for number in range(12_000)]
    assert await terminals.register(db, [Registration(id=name, labels={"n": name}) for name in ids], at_us=1) == 12_000

    assert len(await terminals.load(db, ids)) == 12_000


async def test_strangers_are_counted_and_listed_heard_last_first(db: Database) -> None:
    await terminals.note_unknown(db, {"X": 1}, 10)
    await terminals.note_unknown(db, {}, 15)
    await terminals.note_unknown(db, {"Y": 1, "X": 1}, 20)
    await terminals.note_unknown(db, {"X": 4}, 30)

    [last, first] = await terminals.unknown(db)
    assert (last.id, last.first_us, last.last_us, last.times) == ("X", 10, 30, 6)
    assert first.id == "Y"
    assert await terminals.unknown(db, after="X") == [first]


async def test_strangers_are_bounded_and_the_oldest_is_forgotten(db: Database) -> None:
    """Whoever invents ids cannot fill the disk."""
    count = terminals.UNKNOWN_MAX
    rows = [{"id": f"X{number:05}", "at": number} for number in range(count)]
    async with db.write() as tx:
        await tx.execute(sa.text("INSERT INTO unknown_terminals VALUES (:id, :at, :at, 1)"), rows)
    await terminals.note_unknown(db, {"new": 1}, count)

    async with db.read() as tx:
        found = await tx.fetch(sa.text("SELECT count(*), min(last_us) FROM unknown_terminals"))
    assert [tuple(row) for row in found] == [(count, 1)]
    assert (await terminals.unknown(db, limit=1))[0].id == "new"
