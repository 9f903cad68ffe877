"""Sessions come from the store as they were saved, one object for each terminal."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from gateway.core.terminal import Terminal
from gateway.engine import sessions as module
from gateway.store import upgrades
from gateway.wire.codes import What
from gateway.wire.messages import Report
from tests.unit.engine.rig import rigged


async def test_a_session_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        await rig.campaign("T1", ask_merchant=False)
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
        await rig.look()
        rig.air.say("T1", Report(upgrade="c1-1", seq=1, what=What.ACCEPTED))
        await rig.until(lambda: rig.counters["in:report"])
        await rig.executor.flush()
        before = rig.sessions.get("T1")
        rig.sessions.drop("T1")

        assert await rig.sessions.load(["T1", "nobody"]) == {"nobody"}
        after = rig.sessions.get("T1")
        assert before is not None
        assert after is not None
        assert not rig.sessions.is_current(before)
        assert rig.sessions.is_current(after)
        assert before.upgrade is not None
        assert after.upgrade is not None
        assert (after.upgrade.id, after.upgrade.state, after.upgrade.order) == ("c1-1", "preparing", before.upgrade.order)
        assert after.out.counter == before.out.counter
        assert after.facts == before.facts


async def test_a_terminal_has_one_upgrade_under_way(tmp_path: Path) -> None:
    """A second campaign's waits until the first one's has ended."""
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        await rig.campaign("T1")
        await rig.campaign("T1", name="c2")
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
        await rig.look()
        await rig.executor.flush()
        states = {row.id: row for row in await upgrades.of_terminal(rig.db, "T1")}
        [waiting] = [row for row in states.values() if row.state == "scheduled"]

        assert sorted(row.state.value for row in states.values()) == ["offered", "scheduled"]
        assert await rig.sessions.take_upgrade(waiting) is None


async def test_an_upgrade_of_another_terminal_is_not_brought_in(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2")
        await rig.campaign("T1")
        await rig.sessions.load(["T1", "T2"])
        for name in ("T1", "T2"):
            await rig.sessions.load_named(name, Report(upgrade="c1-1", seq=1, what=What.ACCEPTED))

        known = {name: list(session.past) for name in ("T1", "T2") if (session := rig.sessions.get(name)) is not None}
        assert known == {"T1": ["c1-1"], "T2": []}


async def test_idle_sessions_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 10)
    names = [f"T{number:02}" for number in range(12)]
    async with rigged(tmp_path) as rig:
        await rig.register(*names)
        for name in names:
            await rig.sessions.load([name])

        assert len(rig.sessions) <= 10
        assert rig.counters["sessions_evicted"] == 12 - len(rig.sessions)


async def test_of_two_that_load_a_terminal_at_once_both_get_the_same_session(tmp_path: Path) -> None:
    """As after a start, when the plan of its campaign is read first: a second object would undo what the first took in."""
    async with rigged(tmp_path) as rig:
        await rig.register("T1")
        await rig.campaign("T1")
        rig.air.appear("T1")
        await rig.until(lambda: rig.air.told("T1"))
        await rig.look()
    async with rigged(tmp_path) as rig:
        found: list[Terminal | None] = []

        async def load() -> None:
            await rig.sessions.load(["T1"])
            found.append(rig.sessions.get("T1"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load)
            tasks.start_soon(load)
        assert found[0] is not None
        assert found[0] is found[1]


async def test_who_is_asked_for_stays_even_when_nobody_was_untouched_for_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 2)
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2", "T3")
        rig.air.appear("T1")
        rig.air.appear("T2")
        await rig.until(lambda: rig.air.told("T1") and rig.air.told("T2"))
        await rig.sessions.load(["T3"])

        assert rig.sessions.get("T3") is not None
        assert len(rig.sessions) == 2
