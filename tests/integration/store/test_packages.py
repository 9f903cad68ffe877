"""Packages come back as they were kept, and a withdrawal happens once."""

from __future__ import annotations

import pytest

from gateway.errors import StoreError
from gateway.store import packages
from gateway.store.database import Database
from tests.integration.store.build import AT_US, campaign, package


async def test_a_package_comes_back_as_it_was_kept(db: Database) -> None:
    row = package(notes="Fixes refunds.")
    await packages.add(db, row)

    assert await packages.get(db, "p1") == row
    assert await packages.of_sha256(db, row.sha256) == [row]
    assert await packages.get(db, "p2") is None


async def test_an_id_is_taken_once(db: Database) -> None:
    await packages.add(db, package())
    with pytest.raises(StoreError) as caught:
        await packages.add(db, package(version="3.0.0"))

    assert caught.value.code == "store_constraint"


async def test_pages_go_from_new_to_old(db: Database) -> None:
    for number in range(7):
        component = "os" if number == 3 else "app"
        await packages.add(db, package(f"p{number}", uploaded_us=AT_US + number // 2, component=component))

    found: list[str] = []
    while rows := await packages.page(db, after=found[-1] if found else "", limit=2):
        found += [row.id for row in rows]
    assert found == ["p6", "p5", "p4", "p3", "p2", "p1", "p0"]
    assert [row.id for row in await packages.page(db, component="os")] == ["p3"]


async def test_a_package_is_withdrawn_once(db: Database) -> None:
    await packages.add(db, package())
    await packages.add(db, package("p2"))

    assert await packages.withdraw(db, "p1", at_us=5, by="operator:li")
    assert not await packages.withdraw(db, "p1", at_us=6, by="operator:wang")
    assert not await packages.withdraw(db, "p9", at_us=6, by="operator:wang")
    [gone] = await packages.page(db, withdrawn=True)
    assert (gone.id, gone.withdrawn_us, gone.withdrawn_by) == ("p1", 5, "operator:li")
    assert [row.id for row in await packages.page(db, withdrawn=False)] == ["p2"]


async def test_campaigns_that_are_not_over_use_their_package(db: Database) -> None:
    for name, state in (("c1", "draft"), ("c2", "running"), ("c3", "finished"), ("c4", "aborted"), ("c5", "paused")):
        await campaign(db, name, state=state)

    assert await packages.used_by(db, "p1") == ["c1", "c2", "c5"]
