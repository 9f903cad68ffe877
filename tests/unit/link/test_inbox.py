"""The bounded inbox: order, batches, and what happens when it is full."""

from __future__ import annotations

import anyio
import pytest

from gateway.engine.ports import Inbound
from gateway.link.inbox import Inbox


def inbox(*, max_messages: int = 100, max_bytes: int = 10_000, max_payload: int = 1_000) -> Inbox:
    return Inbox(max_messages=max_messages, max_bytes=max_bytes, max_payload=max_payload, admit=lambda _: True)


async def test_batch_holds_all_in_order_of_arrival() -> None:
    box = inbox()
    for at in range(3):
        box.put(f"t/{at}", b"x")

    assert [Inbound(f"t/{at}", b"x") for at in range(3)] == await box.take(10)
    assert len(box) == 0


async def test_batch_is_limited_and_the_rest_stays() -> None:
    box = inbox()
    for at in range(5):
        box.put(f"t/{at}", b"x")

    assert [item.topic for item in await box.take(3)] == ["t/0", "t/1", "t/2"]
    assert [item.topic for item in await box.take(3)] == ["t/3", "t/4"]


async def test_taking_waits_for_the_first_message() -> None:
    box = inbox()
    taken: list[Inbound] = []

    async def take() -> None:
        taken.extend(await box.take(10))

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        box.put("t", b"x")

    assert [Inbound("t", b"x")] == taken


async def test_cancelled_taker_has_taken_nothing() -> None:
    box = inbox()
    with anyio.move_on_after(0):
        await box.take(10)
    box.put("t", b"x")

    assert [Inbound("t", b"x")] == await box.take(10)


async def test_newcomer_is_dropped_and_counted_when_the_count_is_full() -> None:
    box = inbox(max_messages=2)
    for at in range(5):
        box.put(f"t/{at}", b"x")

    assert [item.topic for item in await box.take(10)] == ["t/0", "t/1"]
    assert (box.received, box.dropped_full, box.oversized) == (5, 3, 0)


@pytest.mark.parametrize("limit", [1, 10], ids=["taken one by one", "taken at once"])
async def test_bytes_are_bounded_and_given_back(limit: int) -> None:
    box = inbox(max_bytes=100)
    box.put("t/0", bytes(60))
    box.put("t/1", bytes(60))
    box.put("t/2", bytes(40))

    taken = [item.topic for _ in range(1 if limit > 1 else 2) for item in await box.take(limit)]
    box.put("t/3", bytes(100))

    assert taken == ["t/0", "t/2"]
    assert [item.topic for item in await box.take(10)] == ["t/3"]
    assert box.dropped_full == 1


async def test_oversized_payload_is_dropped_and_counted_apart() -> None:
    box = inbox(max_payload=10)
    box.put("t/0", bytes(11))
    box.put("t/1", bytes(10))

    assert [item.topic for item in await box.take(10)] == ["t/1"]
    assert (box.oversized, box.dropped_full) == (1, 0)


async def test_what_is_not_admitted_takes_no_place() -> None:
    box = Inbox(max_messages=2, max_bytes=100, max_payload=10, admit=lambda topic: topic != "t/loud")
    for topic in ("t/loud", "t/1", "t/loud", "t/2"):
        box.put(topic, b"x")

    assert [item.topic for item in await box.take(10)] == ["t/1", "t/2"]
    assert (box.received, box.arrived, box.dropped_full) == (4, 2, 0)
