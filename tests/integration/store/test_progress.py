"""A campaign as a whole: counts, candidates, measured times."""

from __future__ import annotations

import pytest

from gateway.core.effects import Save
from gateway.core.states import UpgradeState
from gateway.store import batch, progress, upgrades
from gateway.store.database import Database
from gateway.store.progress import Step
from tests.integration.store.build import AT_US, campaign, entry, saved_terminal, saved_upgrade, upgraded


async def save(db: Database, *saves: Save) -> None:
    """All of ``saves`` in one transaction."""
    await db.transact(lambda driver: batch.apply(driver, saves))


async def test_upgrades_are_counted_by_wave_and_state(db: Database) -> None:
    await upgraded(db, 6, canary=["T000", "T001"])
    await save(
        db,
        saved_upgrade("c1-1", "T000", UpgradeState.SUCCEEDED),
        saved_upgrade("c1-3", "T002", UpgradeState.FAILED, code="install_failed"),
        saved_upgrade("c1-4", "T003", UpgradeState.FAILED, code="install_failed"),
        saved_upgrade("c1-5", "T004", UpgradeState.SCHEDULED, code="battery_low"),
    )

    assert await progress.counts(db, "c1") == {
        (0, UpgradeState.SUCCEEDED): 1,
        (0, UpgradeState.SCHEDULED): 1,
        (1, UpgradeState.FAILED): 2,
        (1, UpgradeState.SCHEDULED): 2,
    }
    assert await progress.codes(db, "c1") == {
        (UpgradeState.FAILED, "install_failed"): 2,
        (UpgradeState.SCHEDULED, "battery_low"): 1,
    }
    assert await progress.counts(db, "c9") == {}


async def test_only_active_upgrades_of_terminals_that_are_online_take_a_place(db: Database) -> None:
    await upgraded(db, 4)
    await save(
        db,
        saved_upgrade("c1-1", "T000", UpgradeState.TRANSFERRING),
        saved_upgrade("c1-2", "T001", UpgradeState.TRANSFERRING),
        saved_upgrade("c1-3", "T002", UpgradeState.SOAKING),
        *(saved_terminal(f"T00{number}", online=number != 1) for number in range(4)),
    )

    assert await progress.occupied(db, "c1") == 1


async def test_candidates_are_due_and_online(db: Database) -> None:
    await upgraded(db, 6, canary=["T005"])
    await save(
        db,
        *(saved_terminal(f"T00{number}", online=number != 1) for number in range(6)),
        saved_upgrade("c1-3", "T002", UpgradeState.SCHEDULED, due_us=AT_US + 100),
        saved_upgrade("c1-4", "T003", UpgradeState.OFFERED),
    )

    async def found(wave: int, *, at_us: int = AT_US, online: bool | None = True, after: str = "", limit: int = 9) -> list[str]:
        rows = await progress.scheduled(db, "c1", wave, limit=limit, online=online, due_before_us=at_us, after=after)
        return [row.terminal for row in rows]

    assert await found(1) == ["T000", "T004"]
    assert await found(1, at_us=AT_US + 100) == ["T000", "T002", "T004"]
    assert await found(1, online=None) == ["T000", "T001", "T004"]
    assert await found(1, online=False) == ["T001"]
    assert await found(1, after="T000", limit=1) == ["T004"]
    assert await found(0) == ["T005"]
    assert await progress.startable(db, "c1", AT_US) == {0: 1, 1: 2}
    assert await progress.startable(db, "c1", AT_US + 100) == {0: 1, 1: 3}


@pytest.mark.parametrize(
    ("elsewhere", "found"),
    [
        (UpgradeState.SCHEDULED, ["T000", "T001"]),
        (UpgradeState.OFFERED, ["T001", "T002"]),
        (UpgradeState.SOAKING, ["T001", "T002"]),
        (UpgradeState.FAILED, ["T000", "T001"]),
    ],
)
async def test_a_busy_terminal_does_not_keep_those_behind_it_waiting(
    db: Database, elsewhere: UpgradeState, found: list[str]
) -> None:
    ids = await upgraded(db, 3)
    await campaign(db, "c2")
    await upgrades.create_campaign_upgrades(db, "c2", wanted=ids[:1], at_us=AT_US, actor="operator:li")
    await save(db, *(saved_terminal(name) for name in ids), saved_upgrade("c2-1", "T000", elsewhere))

    rows = await progress.scheduled(db, "c1", 1, limit=2, due_before_us=AT_US)
    assert [row.terminal for row in rows] == found
    assert await progress.startable(db, "c1", AT_US) == {1: 2 if "T000" not in found else 3}


async def test_timelines_follow_the_transitions_of_the_ledger(db: Database) -> None:
    """Reports that moved nothing are not steps, and another upgrade of the same terminal is not mixed in."""
    ids = await upgraded(db, 3)
    await campaign(db, "c2")
    await upgrades.create_campaign_upgrades(db, "c2", wanted=ids, at_us=AT_US, actor="operator:li")
    await save(
        db,
        entry(AT_US + 10, upgrade="c1-1", terminal="T000", from_state="scheduled", to_state="offered"),
        entry(AT_US + 11, upgrade="c2-1", terminal="T000", from_state="scheduled", to_state="cancelled"),
        entry(AT_US + 12, upgrade="c1-1", terminal="T000", from_state="offered", to_state="offered"),
        entry(AT_US + 30, upgrade="c1-1", terminal="T000", from_state="offered", to_state="preparing"),
        entry(AT_US + 20, upgrade="c1-3", terminal="T002", from_state="scheduled", to_state="expired"),
    )

    [one, two] = await progress.timelines(db, "c1", limit=2)
    [three] = await progress.timelines(db, "c1", after=two.terminal)
    scheduled = Step(state="scheduled", entered_us=AT_US)
    assert (one.upgrade, one.terminal) == ("c1-1", "T000")
    assert one.steps == (
        scheduled,
        Step(state="offered", entered_us=AT_US + 10),
        Step(state="preparing", entered_us=AT_US + 30),
    )
    assert two.steps == (scheduled,)
    assert three.steps == (scheduled, Step(state="expired", entered_us=AT_US + 20))
