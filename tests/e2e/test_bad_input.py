"""Hostile and broken messages over the real broker: counted by reason, never a crash, never a change of state."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from gateway.wire import topics
from gateway.wire.codec import encode
from gateway.wire.codes import OrderKind, ResultStatus, What
from gateway.wire.messages import Ack, Hello, Log, Presence, Receipt, Report, Result, Welcome
from tests.e2e.accounts import check_ledger
from tests.e2e.hand import Air, Hand
from tests.e2e.parcels import parcel, uploaded
from tests.harness.stage import Stage

ACK = Ack(transfer=1, epoch=1, seq=1, number=0, cum=0, ranges=(), credit_bytes=1 << 18, delay_ms=0, echo_ms=0)


def written(stage: Stage, campaign: str, *names: str) -> tuple[Any, ...]:
    """Everything that a message could have changed."""
    rows = stage.pages(f"/campaigns/{campaign}/upgrades")
    entries = [stage.pages(f"/terminals/{name}/history") for name in names]
    return rows, entries, [stage.get(f"/terminals/{name}")["facts"] for name in names]


async def heard_out(stage: Stage, hand: Hand) -> None:
    """Return once the gateway has dealt with all that ``hand`` has said: it answers what comes after."""
    before = hand.count(Welcome)
    hand.greet()
    await stage.until(lambda: hand.count(Welcome) > before, "the welcome that follows")


async def under_way(stage: Stage, air: Air) -> tuple[Hand, str, str]:
    """A terminal that has accepted and made itself ready; its upgrade and campaign."""
    [name] = stage.broker.new_terminals(1)
    stage.register([name])
    hand = air.hand(stage, name)
    await hand.appear()
    campaign = stage.campaign(uploaded(stage, parcel(stage)), [name])
    return hand, await hand.upgrade_to(What.READY), campaign


async def test_what_cannot_be_read_is_counted_by_reason(stage: Stage, air: Air) -> None:
    """Noise, cut and blown up messages, wrong places: on every topic that the broker lets a terminal write."""
    hand, upgrade, campaign = await under_way(stage, air)
    await hand.order(OrderKind.UPGRADE_TRANSFER)
    name, chance = hand.id, Random(1)
    true = encode(Report(upgrade=upgrade, seq=9, what=What.VERIFIED, detail={"version": "2.0.0"}))
    before, counted = written(stage, campaign, name), Counter(stage.counters)

    noise = (b"", b"\x00", b"\xc1", chance.randbytes(50), b"\x91" * 1000, b"\xdf\xff\xff\xff\xff", true[:-3], true + b"\0")
    for kind in ("presence", "hello", "report", "result", "log", "ack"):
        for payload in noise:
            hand.shout(topics.up(name, kind, bulk=kind == "ack"), payload)
    hand.shout(topics.up(name, "report"), bytes(66_000))
    hand.shout(f"tg1/up/{(topics.shard_of(name) + 1) % 256}/{name}/report", true)
    hand.shout(f"tg1/up/999/{name}/report", true)
    hand.shout(f"tg1/up/007/{name}/report", true)
    hand.shout(topics.up(name, "report", bulk=True), true)
    hand.shout(topics.up(name, "ack"), encode(ACK))
    hand.shout(topics.up(name, "nonsense"), true)
    hand.shout(topics.up(name, "order"), true)
    hand.say(Log(upload=1, index=0, data=b"?", last=True))
    await heard_out(stage, hand)

    def counts() -> Counter[str]:
        return Counter({key: value for key, value in (Counter(stage.counters) - counted).items() if key.startswith("bad:")})

    await stage.until(lambda: sum(counts().values()) >= 6 * 8 + 6, "all of it to be counted")
    found = counts()
    assert found["bad:shard_mismatch"] == 2
    assert found["bad:topic_invalid"] == 1
    assert found["bad:wrong_connection"] == 2
    assert found["bad:not_asked_for"] == 1
    assert sum(found.values()) == 6 * 8 + 6, found
    assert (Counter(stage.counters) - counted)["link.control.oversized"] == 1
    assert "handle_failed" not in stage.counters
    assert written(stage, campaign, name) == before
    assert not stage.not_ready
    stage.post(f"/campaigns/{campaign}/abort")


async def test_what_comes_twice_late_or_from_yesterday_moves_nothing(stage: Stage, air: Air) -> None:
    """Repeated reports are receipted again; old epochs, stale deaths, unexpected acks and strange results are let go by."""
    hand, upgrade, campaign = await under_way(stage, air)
    await hand.order(OrderKind.UPGRADE_TRANSFER)
    await hand.appear()
    before = written(stage, campaign, hand.id)
    receipts = hand.count(Receipt)

    hand.say(Report(upgrade=upgrade, seq=1, what=What.ACCEPTED))
    await stage.until(lambda: hand.count(Receipt) > receipts, "the receipt, again")
    hand.say(Report(upgrade=upgrade, seq=2, what=What.COMMITTED))  # a number that was used for something else
    await stage.until(lambda: hand.count(Receipt) > receipts + 1, "the receipt of a used number")
    hand.say(Presence(epoch=hand.epoch - 1, online=False))
    hand.say(Hello(epoch=hand.epoch - 1, counter=2**40, facts=hand.facts))
    hand.say(ACK, bulk=True)
    await heard_out(stage, hand)
    assert written(stage, campaign, hand.id) == before
    assert stage.get(f"/terminals/{hand.id}")["online"]

    # Reports that overtook each other: the younger one counts, the older one is only written down.
    hand.seq = 4
    await hand.tell(upgrade, What.INSTALLING)
    assert stage.states(campaign) == {hand.id: "installing"}
    hand.seq = 2
    await hand.tell(upgrade, What.STAGED)
    assert stage.states(campaign) == {hand.id: "installing"}
    check_ledger(stage, campaign)


async def test_nobody_speaks_for_another_terminal(stage: Stage, air: Air) -> None:
    """Not on its topics, which the broker forbids, and not by naming its upgrade or order."""
    hand, upgrade, campaign = await under_way(stage, air)
    [other_name] = stage.broker.new_terminals(1)
    stage.register([other_name])
    other = air.hand(stage, other_name)
    await other.appear()
    order = stage.post(f"/terminals/{hand.id}/orders", {"kind": "inspect"})["id"]
    await hand.order(OrderKind.INSPECT)
    before = written(stage, campaign, hand.id)
    detail = stage.get(f"/upgrades/{upgrade}")

    other.shout(topics.up(hand.id, "report"), encode(Report(upgrade=upgrade, seq=3, what=What.COMMITTED)))
    other.shout(topics.up(hand.id, "presence"), encode(Presence(epoch=99, online=False)))
    await other.tell(upgrade, What.COMMITTED)
    other.say(Result(order=order, status=ResultStatus.DONE))
    await other.hear(Receipt, lambda receipt: order in receipt.orders)
    await heard_out(stage, other)

    assert written(stage, campaign, hand.id) == before
    assert stage.get(f"/orders/{order}")["status"] == "sent"
    assert stage.get(f"/upgrades/{upgrade}")["history"] == detail["history"]
    stage.post(f"/campaigns/{campaign}/abort")


async def test_an_unknown_terminal_is_refused_and_listed(stage: Stage, air: Air) -> None:
    """The broker knows it, the gateway does not: no answer, no row but its name among the strangers."""
    [name] = stage.broker.new_terminals(1)
    stranger = air.hand(stage, name)
    with pytest.raises(TimeoutError):
        await stranger.appear(wait_s=0.5)

    def listed() -> bool:
        """Strangers are listed once a second, so that a flood of them costs little: this one goes on."""
        stranger.report("u1", What.COMMITTED)
        return any(row["id"] == name for row in stage.pages("/unknown-terminals"))

    await stage.until(listed, "the stranger to be listed")
    assert stage.http.get(f"/api/v1/terminals/{name}").status_code == 404
    assert stage.counters["bad:terminal_unknown"] >= 1
    assert stranger.heard == []

    stage.register([name])  # and from now on it is heard
    await stranger.appear()
