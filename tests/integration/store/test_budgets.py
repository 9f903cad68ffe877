"""Budgets that were set, and what was used of them, on a real file."""

from __future__ import annotations

import pytest

from gateway.core.budgets import Limit, Scope
from gateway.core.effects import SaveDay
from gateway.store import budgets, terminals
from gateway.store.budgets import BudgetRow, DayRow, in_force
from gateway.store.database import Database
from gateway.store.terminals import Registration
from tests.integration.store.build import AT_US, fleet, writing_to


def row(scope: Scope, name: str, bytes_per_s: int | None = None, bytes_per_day: int | None = None) -> BudgetRow:
    """A budget that somebody set."""
    return BudgetRow(
        scope=scope, name=name, bytes_per_s=bytes_per_s, bytes_per_day=bytes_per_day, set_us=AT_US, set_by="operator:li"
    )


async def test_a_budget_is_set_changed_and_given_back(db: Database) -> None:
    key = (Scope.SITE, "Shop 7, left door")
    await budgets.put(db, row(*key, 2048))
    await budgets.put(db, row(*key, None, 1_000_000))
    assert await budgets.load(db, [key, (Scope.SITE, "x")]) == {key: row(*key, None, 1_000_000)}

    await budgets.put(db, row(*key))
    assert await budgets.load(db, [key]) == {}


async def test_budgets_are_listed_by_scope_and_name(db: Database) -> None:
    given = [row(Scope.TERMINAL, "T2", 2048), row(Scope.GATEWAY, "", 4096), row(Scope.TERMINAL, "T1", 0)]
    for one in given:
        await budgets.put(db, one)

    assert [(one.scope, one.name) for one in await budgets.page(db)] == [
        ("gateway", ""),
        ("terminal", "T1"),
        ("terminal", "T2"),
    ]
    assert [one.name for one in await budgets.page(db, scope=Scope.TERMINAL, offset=1, limit=5)] == ["T2"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Limit(bytes_per_s=5000, bytes_per_day=500_000)),
        ([row(Scope.SITE, "", 6000)], Limit(bytes_per_s=6000, bytes_per_day=500_000)),
        ([row(Scope.SITE, "", 6000), row(Scope.SITE, "a", None, 0)], Limit(bytes_per_s=6000)),
        ([row(Scope.SITE, "a", 0, 0), row(Scope.SITE, "b", 7000)], Limit()),
    ],
)
def test_the_narrowest_word_counts(rows: list[BudgetRow], expected: Limit) -> None:
    given = Limit(bytes_per_s=5000, bytes_per_day=500_000)

    assert in_force((Scope.SITE, "a"), given, {(one.scope, one.name): one for one in rows}) == expected


async def test_what_is_used_is_kept_as_a_total_of_its_day(db: Database) -> None:
    async with writing_to(db) as writer:
        for used in (500, 700, 600):
            await writer.save([SaveDay(scope=Scope.TERMINAL, name="T1", ends_us=AT_US, used_bytes=used)])
        await writer.save([SaveDay(scope=Scope.GATEWAY, name="", ends_us=AT_US + 1, used_bytes=9)])
    found = await budgets.days(db, [(Scope.TERMINAL, "T1"), (Scope.GATEWAY, ""), (Scope.SITE, "T1")])

    assert found == {
        (Scope.TERMINAL, "T1"): DayRow(ends_us=AT_US, used_bytes=600),
        (Scope.GATEWAY, ""): DayRow(ends_us=AT_US + 1, used_bytes=9),
    }
    assert found[Scope.TERMINAL, "T1"].used_at(AT_US - 1) == 600
    assert found[Scope.TERMINAL, "T1"].used_at(AT_US) == 0


async def test_a_site_is_a_label(db: Database) -> None:
    await fleet(db, 2)
    rows = [Registration(id="T000", labels={"site": "north", "region": "x"}), Registration(id="T001", labels={"region": "x"})]
    await terminals.register(db, rows, at_us=AT_US)

    assert await budgets.sites(db, ["T000", "T001", "T9"]) == {"T000": "north"}
