"""Small facts of the gateway itself."""

from __future__ import annotations

from gateway.store import meta
from gateway.store.database import Database


async def test_a_value_is_replaced(db: Database) -> None:
    assert await meta.get(db, "shard_epoch") is None
    await meta.put(db, "shard_epoch", "1")
    await meta.put(db, "shard_epoch", "2")

    assert await meta.get(db, "shard_epoch") == "2"


async def test_a_counter_rises_from_nothing(db: Database) -> None:
    assert [await meta.raise_counter(db, "starts") for _ in range(3)] == [1, 2, 3]
    assert [await meta.raise_counter(db, "starts", least=10) for _ in range(2)] == [10, 11]
