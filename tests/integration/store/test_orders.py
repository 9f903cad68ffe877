"""Orders come back as they were kept; open ones are found by terminal and by page."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.effects import SaveOrder
from gateway.errors import StoreError
from gateway.store import batch, orders
from gateway.store.database import Database
from gateway.store.orders import OrderRow
from tests.integration.store.build import AT_US, fleet


def order(name: str, terminal: str = "T000", **changes: Any) -> OrderRow:  # noqa: ANN401 - any field of the row
    """A reboot."""
    values: dict[str, Any] = {
        "id": name,
        "terminal": terminal,
        "kind": "reboot",
        "created_us": AT_US,
        "created_by": "operator:li",
        "expires_us": AT_US + 60_000_000,
    }
    return OrderRow(**(values | changes))


async def test_an_order_comes_back_as_it_was_kept(db: Database) -> None:
    await fleet(db, 1)
    row = order("o1", kind="params.set", args={"values": {"tip": [1, 2], "on": True}})
    await orders.add(db, row)

    assert await orders.get(db, "o1") == row
    assert await orders.get(db, "o2") is None


async def test_an_order_needs_a_registered_terminal(db: Database) -> None:
    with pytest.raises(StoreError) as caught:
        await orders.add(db, order("o1"))

    assert caught.value.code == "store_constraint"


async def test_open_orders_are_those_not_answered(db: Database) -> None:
    await fleet(db, 3)
    for number in range(6):
        await orders.add(db, order(f"o{number}", f"T00{number % 2}", created_us=AT_US - number))
    moves = {"o1": "sent", "o2": "done", "o3": "refused", "o4": "expired"}
    saves = [
        SaveOrder(order=name, terminal=f"T00{int(name[1]) % 2}", status=status, code="ok", at_us=1)
        for name, status in moves.items()
    ]
    await db.transact(lambda driver: batch.apply(driver, saves))

    assert [row.id for row in await orders.load_open(db, ["T000", "T001", "T002"])] == ["o0", "o5", "o1"]
    first = await orders.page_open(db, limit=2)
    assert [row.id for row in first] == ["o0", "o1"]
    assert [row.id for row in await orders.page_open(db, after="o1")] == ["o5"]


async def test_pages_go_from_new_to_old(db: Database) -> None:
    await fleet(db, 2)
    for number in range(7):
        await orders.add(db, order(f"o{number}", f"T00{number % 2}", created_us=AT_US + number // 3))

    found: list[str] = []
    while rows := await orders.page(db, after=found[-1] if found else "", limit=3):
        found += [row.id for row in rows]
    assert found == ["o6", "o5", "o4", "o3", "o2", "o1", "o0"]
    assert [row.id for row in await orders.page(db, terminal="T001", status="pending")] == ["o5", "o3", "o1"]
    assert await orders.page(db, status="done") == []
