"""A batch becomes rows: each save in its table, in its order, and all of them or none."""

from __future__ import annotations

import pytest

from gateway.core.effects import Save, SaveOrder
from gateway.core.states import UpgradeState
from gateway.errors import StoreError
from gateway.store import batch, ledger, orders, terminals, upgrades
from gateway.store.database import Database
from gateway.store.orders import OrderRow
from tests.integration.store.build import AT_US, entry, fleet, saved_terminal, saved_upgrade, upgraded
from tests.unit.store.test_jsontext import FACTS


async def save(db: Database, *saves: Save) -> int:
    """All of ``saves`` in one transaction."""
    return await db.transact(lambda driver: batch.apply(driver, saves))


async def test_every_kind_of_save_reaches_its_table(db: Database) -> None:
    await upgraded(db, 2)
    await orders.add(
        db, OrderRow(id="o1", terminal="T001", kind="reboot", created_us=AT_US, created_by="operator:li", expires_us=AT_US + 9)
    )
    count = await save(
        db,
        saved_terminal("T000", epoch=3, counter=9, facts=FACTS),
        saved_upgrade("c1-1", "T000", UpgradeState.OFFERED, due_us=7, attempt=2, have_bytes=131_072, snapshot=b"\x81\x00"),
        entry(5, evidence={"battery_pct": 40, "hash": b"\xff"}),
        SaveOrder(order="o1", terminal="T001", status="done", code="ok", at_us=AT_US + 5, data={"boot_s": 31.5}),
    )

    assert count == 4
    terminal = (await terminals.load(db, ["T000"]))["T000"]
    assert (terminal.epoch, terminal.online, terminal.seen_us, terminal.counter) == (3, True, AT_US, 9)
    assert terminal.facts == FACTS
    upgrade = await upgrades.get(db, "c1-1")
    assert upgrade is not None
    assert (upgrade.state, upgrade.state_since_us, upgrade.due_us) == (UpgradeState.OFFERED, AT_US + 1, 7)
    assert (upgrade.attempt, upgrade.have_bytes, upgrade.snapshot) == (2, 131_072, b"\x81\x00")
    assert (await ledger.tail(db, after_seq=2))[0].evidence == {"battery_pct": 40, "hash": "hex:ff"}
    order = await orders.get(db, "o1")
    assert order is not None
    assert (order.status, order.code, order.data, order.updated_us) == ("done", "ok", {"boot_s": 31.5}, AT_US + 5)


async def test_the_last_save_of_a_row_wins_and_facts_outlast_saves_without(db: Database) -> None:
    await fleet(db, 1)
    await save(db, saved_terminal("T000", epoch=1, facts=FACTS), saved_terminal("T000", epoch=2, online=False))

    terminal = (await terminals.load(db, ["T000"]))["T000"]
    assert (terminal.epoch, terminal.online, terminal.facts) == (2, False, FACTS)


async def test_a_terminal_registered_without_a_model_gets_the_one_that_it_reports(db: Database) -> None:
    await terminals.register(db, [terminals.Registration(id="T9"), terminals.Registration(id="T8", model="other")], at_us=1)
    await save(db, saved_terminal("T9", facts=FACTS), saved_terminal("T8", facts=FACTS))

    found = await terminals.load(db, ["T8", "T9"])
    assert (found["T9"].model, found["T8"].model) == (FACTS.model, "other")


@pytest.mark.parametrize(
    "bad",
    [
        saved_terminal("nobody"),
        saved_upgrade("c1-9", "T000", UpgradeState.OFFERED),
        SaveOrder(order="nothing", terminal="T000", status="done", code="ok", at_us=1),
    ],
)
async def test_a_row_that_is_not_there_fails_the_batch(db: Database, bad: Save) -> None:
    """An update that finds nothing would be a write that is lost."""
    with pytest.raises(StoreError) as caught:
        await save(db, entry(1), bad, entry(2))

    assert caught.value.code == "store_row_missing"
    assert await ledger.last_seq(db) == 0


@pytest.mark.parametrize("bad", [entry(1 << 70), entry(1, terminal="\ud800")])
async def test_a_value_that_does_not_fit_fails_the_batch(db: Database, bad: Save) -> None:
    with pytest.raises(StoreError) as caught:
        await save(db, entry(1), bad)

    assert caught.value.code == "store_value"
    assert await ledger.last_seq(db) == 0
