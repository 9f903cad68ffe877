"""A campaign's upgrades are made in one go, each once, and are found again by terminal, state and id."""

from __future__ import annotations

import pytest

from gateway.core.effects import Save
from gateway.core.states import REVOCABLE, UpgradeState
from gateway.errors import StoreError
from gateway.store import batch, ledger, terminals, upgrades
from gateway.store.database import Database
from gateway.store.selection import TerminalFilter
from gateway.store.terminals import Registration
from tests.integration.store.build import AT_US, campaign, fleet, saved_upgrade, upgraded


async def save(db: Database, *saves: Save) -> None:
    """All of ``saves`` in one transaction."""
    await db.transact(lambda driver: batch.apply(driver, saves))


async def test_each_named_terminal_gets_one_upgrade_and_the_ledger_says_so(db: Database) -> None:
    await upgraded(db, 3, canary=["T001", "unknown"])

    rows = await upgrades.page(db, "c1")
    assert [(row.id, row.terminal, row.wave) for row in rows] == [("c1-1", "T000", 1), ("c1-2", "T001", 0), ("c1-3", "T002", 1)]
    assert {(row.state, row.state_since_us, row.due_us, row.attempt, row.snapshot) for row in rows} == {
        (UpgradeState.SCHEDULED, AT_US, 0, 0, b"")
    }
    [created] = await ledger.of_upgrade(db, "c1-2")
    assert (created.what, created.actor, created.from_state, created.to_state) == ("created", "operator:li", "", "scheduled")
    assert (created.terminal, created.campaign, created.at_us) == ("T001", "c1", AT_US)


async def test_making_them_again_adds_only_who_is_new(db: Database) -> None:
    await upgraded(db, 2)
    await fleet(db, 4)
    wanted = TerminalFilter(model="lakala-4g-esign")

    added = [
        await upgrades.create_campaign_upgrades(db, "c1", wanted=wanted, at_us=AT_US, actor="operator:li") for _ in range(2)
    ]
    assert added == [2, 0]
    assert [row.id for row in await upgrades.page(db, "c1")] == ["c1-1", "c1-2", "c1-3", "c1-4"]
    assert await ledger.last_seq(db) == 4


async def test_a_filter_chooses_the_terminals(db: Database) -> None:
    await terminals.register(
        db, [Registration(id=f"T{number}", labels={"city": "ab"[number % 2]}) for number in range(6)], at_us=1
    )
    await campaign(db)
    made = await upgrades.create_campaign_upgrades(
        db, "c1", wanted=TerminalFilter(labels={"city": "b"}), canary=["T3"], at_us=AT_US, actor="operator:li"
    )

    assert made == 3
    assert [(row.terminal, row.wave) for row in await upgrades.page(db, "c1")] == [("T1", 1), ("T3", 0), ("T5", 1)]


async def test_unregistered_ids_count_for_nothing_and_long_lists_are_taken(db: Database) -> None:
    ids = [f"T{number:05}" for number in range(11_000)]
    await terminals.register(db, [Registration(id=name) for name in ids], at_us=1)
    await campaign(db)
    made = await upgrades.create_campaign_upgrades(
        db, "c1", wanted=[*ids, "X1", "X2"], canary=ids[:6000], at_us=AT_US, actor="operator:li"
    )

    assert made == 11_000
    assert await ledger.last_seq(db) == 11_000
    assert len(await upgrades.page(db, "c1", wave=0, limit=20_000)) == 6000


async def test_a_campaign_that_is_not_there_has_no_upgrades(db: Database) -> None:
    ids = await fleet(db, 1)
    with pytest.raises(StoreError) as caught:
        await upgrades.create_campaign_upgrades(db, "c9", wanted=ids, at_us=AT_US, actor="operator:li")

    assert caught.value.code == "store_constraint"
    assert await ledger.last_seq(db) == 0


async def test_pages_join_without_gap_or_repetition(db: Database) -> None:
    ids = await upgraded(db, 23)
    found: list[str] = []
    while rows := await upgrades.page(db, "c1", after=found[-1] if found else "", limit=5):
        found += [row.terminal for row in rows]

    assert found == ids


async def test_a_page_can_be_of_some_states(db: Database) -> None:
    await upgraded(db, 4)
    await save(db, saved_upgrade("c1-2", "T001", UpgradeState.FAILED), saved_upgrade("c1-3", "T002", UpgradeState.TRANSFERRING))

    rows = await upgrades.page(db, "c1", states=["failed", "transferring"], wave=1)
    assert [row.terminal for row in rows] == ["T001", "T002"]


async def test_what_a_terminal_has_open_is_found_in_all_campaigns(db: Database) -> None:
    ids = await upgraded(db, 3)
    await campaign(db, "c2")
    await upgrades.create_campaign_upgrades(db, "c2", wanted=ids, at_us=AT_US + 5, actor="operator:li")
    await save(
        db,
        saved_upgrade("c1-1", "T000", UpgradeState.SUCCEEDED),
        saved_upgrade("c1-2", "T001", UpgradeState.STAGED, snapshot=b"\x01\x02"),
    )

    found = await upgrades.load_open(db, ["T000", "T001", "T9"])
    assert {terminal: [row.id for row in rows] for terminal, rows in found.items()} == {
        "T000": ["c2-1"],
        "T001": ["c1-2", "c2-2"],
    }
    assert found["T001"][0].snapshot == b"\x01\x02"
    assert set(await upgrades.load(db, ["c1-1", "c2-3", "c9-1"])) == {"c1-1", "c2-3"}
    assert [row.id for row in await upgrades.of_terminal(db, "T000")] == ["c2-1", "c1-1"]


async def test_open_upgrades_are_paged_by_campaign_and_state(db: Database) -> None:
    """Campaign ``c1`` begins like ``c1-2`` and like the ids of its own upgrades."""
    ids = await upgraded(db, 12)
    await campaign(db, "c1-2")
    await upgrades.create_campaign_upgrades(db, "c1-2", wanted=ids, at_us=AT_US, actor="operator:li")
    await save(db, saved_upgrade("c1-4", "T003", UpgradeState.SUCCEEDED), saved_upgrade("c1-5", "T004", UpgradeState.SOAKING))

    found: list[str] = []
    while rows := await upgrades.page_open(db, campaign="c1", states=REVOCABLE, after=found[-1] if found else "", limit=3):
        found += [row.id for row in rows]
    assert found == sorted(f"c1-{number}" for number in range(1, 13) if number not in {4, 5})
    assert len(await upgrades.page_open(db)) == 23
