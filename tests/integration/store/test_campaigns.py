"""Campaigns move only from the states that the mover expects."""

from __future__ import annotations

import anyio
import pytest

from gateway.errors import StoreError
from gateway.store import campaigns, packages
from gateway.store.campaigns import CampaignRow
from gateway.store.database import Database
from tests.integration.store.build import AT_US, campaign, package


async def test_a_campaign_comes_back_as_it_was_kept(db: Database) -> None:
    await packages.add(db, package())
    row = CampaignRow(
        id="c1",
        name="Spring",
        package="p1",
        settings={"max_active": 50, "gate": None, "deadlines_s": {"offered": 60.5}},
        created_us=AT_US,
        created_by="operator:li",
        ends_us=AT_US + 1,
    )
    await campaigns.create(db, row)

    assert await campaigns.get(db, "c1") == row
    assert await campaigns.load(db, ["c1", "c2"]) == {"c1": row}


async def test_a_campaign_needs_its_package(db: Database) -> None:
    with pytest.raises(StoreError) as caught:
        await campaigns.create(db, CampaignRow(id="c1", name="n", package="p1", created_us=1, created_by="operator:li"))

    assert caught.value.code == "store_constraint"


async def test_a_state_outside_the_list_is_refused(db: Database) -> None:
    await campaign(db, "c1", state="draft")
    with pytest.raises(StoreError):
        await campaigns.set_state(db, "c1", "sleeping", expected=["draft"], at_us=1)


async def test_the_times_of_start_and_end_follow_from_the_moves(db: Database) -> None:
    await campaign(db, "c1", state="draft")
    for at_us, state, expected in ((1, "running", "draft"), (2, "paused", "running"), (3, "running", "paused")):
        assert await campaigns.set_state(db, "c1", state, expected=[expected], at_us=at_us, reason=f"said at {at_us}")
    assert await campaigns.set_state(db, "c1", "finished", expected=["running", "paused"], at_us=4, ends_us=9)

    row = await campaigns.get(db, "c1")
    assert row is not None
    assert (row.state, row.started_us, row.finished_us, row.ends_us, row.reason) == ("finished", 1, 4, 9, "")


async def test_of_two_who_decide_at_once_one_wins(db: Database) -> None:
    await campaign(db, "c1", state="draft")
    won = []

    async def move(state: str) -> None:
        won.append(await campaigns.set_state(db, "c1", state, expected=["draft"], at_us=1))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(move, "running")
        tasks.start_soon(move, "aborted")

    assert sorted(won) == [False, True]
    assert not await campaigns.set_state(db, "c9", "running", expected=["draft"], at_us=1)


async def test_pages_go_from_new_to_old(db: Database) -> None:
    for number in range(5):
        await campaign(db, f"c{number}", state="draft" if number % 2 else "running", created_us=AT_US + number // 2)

    found: list[str] = []
    while rows := await campaigns.page(db, after=found[-1] if found else "", limit=2):
        found += [row.id for row in rows]
    assert found == ["c4", "c3", "c2", "c1", "c0"]
    assert [row.id for row in await campaigns.page(db, states=["draft"])] == ["c3", "c1"]
    assert [row.id for row in await campaigns.in_states(db, ["running"])] == ["c0", "c2", "c4"]


async def test_settings_are_replaced(db: Database) -> None:
    await campaign(db, "c1")

    assert await campaigns.set_settings(db, "c1", {"max_active": 3})
    assert not await campaigns.set_settings(db, "c9", {})
    row = await campaigns.get(db, "c1")
    assert row is not None
    assert row.settings == {"max_active": 3}
