"""Budgets between a real store and the pump: known before anything goes out, saved, shared, and forgotten when unused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.core.budgets import Defaults, Limit, Scope
from gateway.core.effects import SaveDay
from gateway.core.purse import Purse, cost_of
from gateway.core.terminal import Terminal
from gateway.engine.budgets import SAVE_EVERY_S, Asker
from gateway.store import budgets, terminals
from gateway.store.budgets import BudgetRow
from gateway.store.doorbell import BUDGETS
from gateway.store.terminals import Registration
from gateway.wire.codes import Code, OrderKind, What
from gateway.wire.messages import Report
from tests.unit.engine.rig import NOW, SIZE, Rig, rigged

LIMITS = Defaults(
    terminal=Limit(bytes_per_day=300_000),
    site=Limit(bytes_per_s=50_000),
    gateway=Limit(bytes_per_s=90_000),
    zone="Asia/Shanghai",
)
T1, SITE, C1, GATEWAY = (Scope.TERMINAL, "T1"), (Scope.SITE, "north"), (Scope.CAMPAIGN, "c1"), (Scope.GATEWAY, "")


@asynccontextmanager
async def _house(folder: Path) -> AsyncIterator[Rig]:
    """Two terminals at one site, with a running campaign."""
    async with rigged(folder, defaults=LIMITS) as made:
        rows = [Registration(id=name, model="lakala-4g-esign", labels={"site": "north"}) for name in ("T1", "T2")]
        await terminals.register(made.db, rows, at_us=int(NOW * 1e6))
        await made.campaign("T1", "T2", bytes_per_day=500_000)
        yield made


async def _session(rig: Rig, name: str) -> Terminal:
    rig.air.appear(name)
    await rig.until(lambda: rig.sessions.get(name))
    await rig.look()
    session = rig.sessions.get(name)
    assert session is not None
    return session


async def _entered(rig: Rig, name: str) -> Purse:
    known: list[str] = []
    purse = rig.budgets.enter(await _session(rig, name), known.append)
    await rig.until(lambda: known == [name])
    return purse


async def _set(rig: Rig, scope: Scope, name: str, bytes_per_s: int | None = None, bytes_per_day: int | None = None) -> None:
    row = BudgetRow(
        scope=scope, name=name, bytes_per_s=bytes_per_s, bytes_per_day=bytes_per_day, set_us=1, set_by="operator:li"
    )
    await budgets.put(rig.db, row)


class Moved:
    """A transfer at its beginning."""

    size_bytes, held_bytes, in_flight_bytes = SIZE, 0, 0


async def test_a_transfer_draws_on_its_terminal_its_site_its_campaign_and_the_gateway(tmp_path: Path) -> None:
    async with _house(tmp_path) as rig:
        purse = await _entered(rig, "T1")
        assert rig.budgets.gate is not None
        assert purse.ask(Moved(), NOW) <= NOW
        await rig.budgets.save()
        used = await budgets.days(rig.db, [T1, SITE, C1, GATEWAY])

        assert {key: row.used_bytes for key, row in used.items()} == dict.fromkeys((T1, SITE, C1, GATEWAY), cost_of(SIZE))
        assert purse.buckets[0].burst_bytes > 16_383  # the site's rate; the gateway's holds up the whole pump
        assert len(purse.buckets) == 1


async def test_accounts_are_shared_and_forgotten_when_nobody_uses_them(tmp_path: Path) -> None:
    async with _house(tmp_path) as rig:
        first, second = await _entered(rig, "T1"), await _entered(rig, "T2")
        assert len(rig.budgets) == 5
        assert first.ask(Moved(), NOW) <= NOW
        assert second.ask(Moved(), NOW) <= NOW
        rig.budgets.leave("T1")
        rig.budgets.leave("T2")
        rig.budgets.leave("T2")
        await rig.budgets.save()
        assert len(rig.budgets) == 1  # the gateway's own
        used = await budgets.days(rig.db, [T1, SITE, C1, GATEWAY])
        assert {row.used_bytes for row in used.values()} == {0}  # granted, not sent, given back


async def test_what_was_used_survives_a_restart(tmp_path: Path) -> None:
    async with _house(tmp_path) as rig:
        purse = await _entered(rig, "T1")
        assert purse.ask(Moved(), NOW) <= NOW
        purse.pay(180_000, NOW, at_edge=True)
        await rig.budgets.save()

        again = Rig(rig.db, defaults=LIMITS)
        plan = await again.plans.of("c1")
        assert await again.budgets.spent([Asker("T1", plan, 50_000), Asker("T2", plan, 50_000)]) == [None, None]
        [refused, other] = await again.budgets.spent([Asker("T1", plan, 300_000), Asker("T2", plan, 300_000)])
        assert other is None
        assert refused is not None
        assert (refused.scope, refused.used_bytes, refused.limit_bytes) == (Scope.TERMINAL, 180_000, 300_000)


async def test_a_gateway_that_stops_gives_back_what_it_did_not_send(tmp_path: Path) -> None:
    async with _house(tmp_path) as rig:
        purse = await _entered(rig, "T1")
        assert purse.ask(Moved(), NOW) <= NOW
        purse.pay(5000, NOW, at_edge=False)
        await rig.budgets.close()
        used = await budgets.days(rig.db, [T1, SITE, C1, GATEWAY])
        assert {row.used_bytes for row in used.values()} == {5000}


async def test_it_is_saved_every_few_seconds_by_itself(tmp_path: Path) -> None:
    async with _house(tmp_path) as rig:
        purse = await _entered(rig, "T1")
        assert purse.ask(Moved(), NOW) <= NOW
        rig.clock.time += SAVE_EVERY_S
        rig.budgets.enter(await _session(rig, "T2"), lambda _: None)  # wakes it
        for _ in range(500):
            if await budgets.days(rig.db, [T1]):
                break
        [day] = (await budgets.days(rig.db, [T1])).values()
        assert day.used_bytes == cost_of(SIZE)


async def test_a_day_that_is_used_up_keeps_others_from_starting(tmp_path: Path) -> None:
    """No shop closes its day for a transfer that may send nothing."""
    async with _house(tmp_path) as rig:
        ends_us = int((NOW + 3600) * 1e6)
        await rig.writer.save(
            [_day(Scope.TERMINAL, "T1", 299_999, ends_us), _day(Scope.TERMINAL, "T2", 299_999, int(NOW * 1e6))]
        )
        for name in ("T1", "T2"):
            rig.air.appear(name)
        await rig.until(lambda: rig.sessions.get("T1") and rig.sessions.get("T2"))
        await rig.executor.flush()
        await rig.look()
        first = rig.sessions.get("T1")
        assert first is not None
        assert first.upgrade is not None

        assert await rig.states("T1", "T2") == {"T1": "scheduled", "T2": "offered"}
        assert first.upgrade.code is Code.TERMINAL_BUDGET_SPENT
        assert first.upgrade.not_before >= NOW + 3600
        assert [order.kind for order in rig.air.orders("T1")] == []


async def test_a_spent_day_stops_a_transfer_and_a_raised_one_lets_it_go_on(tmp_path: Path) -> None:
    async with _house(tmp_path) as rig:
        session = await _session(rig, "T1")
        await rig.writer.save([_day(Scope.TERMINAL, "T1", 299_999, int((NOW + 3600) * 1e6))])
        for seq, what in ((1, What.ACCEPTED), (2, What.READY)):
            rig.air.say("T1", Report(upgrade="c1-1", seq=seq, what=what))
        async with rig.running(rig.pump.run):
            await rig.until(lambda: OrderKind.UPGRADE_HOLD in [order.kind for order in rig.air.orders("T1")])
        assert await rig.states("T1") == {"T1": "deferred"}
        assert session.transfer is None
        assert rig.pump.open_count == 0

        await _set(rig, Scope.TERMINAL, "", bytes_per_day=0)
        async with rig.running(rig.easing.run):
            rig.doorbell.ring(BUDGETS)
            await rig.until(lambda: session.upgrade is not None and session.upgrade.state == "scheduled")


async def test_a_change_holds_at_once_for_open_transfers_and_tells_only_them(tmp_path: Path) -> None:
    async with _house(tmp_path) as rig:
        told: list[str] = []
        purse = rig.budgets.enter(await _session(rig, "T1"), told.append)
        await rig.until(lambda: told)
        await rig.budgets.refresh()
        assert told == ["T1"]
        await _set(rig, Scope.TERMINAL, "T2", 5000)
        await _set(rig, Scope.GATEWAY, "", 0)
        await rig.budgets.refresh()
        assert rig.budgets.gate is None
        assert told == ["T1", "T1"]
        await _set(rig, Scope.SITE, "north", 0)
        await rig.budgets.refresh()
        assert purse.buckets == ()


def _day(scope: Scope, name: str, used_bytes: int, ends_us: int) -> SaveDay:
    return SaveDay(scope=scope, name=name, ends_us=ends_us, used_bytes=used_bytes)
