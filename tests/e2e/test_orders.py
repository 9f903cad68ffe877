"""Orders outside any upgrade: reboot and inspect with their results, and what becomes of them when the terminal is away."""

from __future__ import annotations

from typing import Any

from gateway.wire.codes import OrderKind, ResultStatus
from gateway.wire.messages import Receipt, Result
from tests.e2e.hand import Air
from tests.harness.stage import MODEL, UNSHAPED, Stage


async def settled(stage: Stage, order: str) -> dict[str, Any]:
    """The order once it has its result."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = stage.get(f"/orders/{order}")
        return None if found["status"] in {"pending", "sent"} else found

    found = await stage.until(look, f"the result of {order}")
    assert found is not None
    return found


async def test_orders_are_carried_out_once_and_answered_or_expire(stage: Stage, air: Air) -> None:
    """A simulated terminal reboots and is inspected; an order for one that is away waits, or expires."""
    name, away, late = stage.broker.new_terminals(3)
    stage.register([name, away, late])
    expiring = stage.post(f"/terminals/{away}/orders", {"kind": "reboot", "expires_s": 10})["id"]
    waiting = stage.post(f"/terminals/{late}/orders", {"kind": "inspect"})["id"]
    simulator = stage.start_simulator(f'model = "{MODEL}"\nids = ["{name}"]\n{UNSHAPED}')
    await stage.until(lambda: stage.get(f"/terminals/{name}")["online"], "the terminal to come online")

    inspected = await settled(stage, stage.post(f"/terminals/{name}/orders", {"kind": "inspect"})["id"])
    assert inspected["status"] == "done"
    assert inspected["result"]["battery_pct"] > 0
    rebooted = await settled(stage, stage.post(f"/terminals/{name}/orders", {"kind": "reboot"})["id"])
    assert rebooted["status"] == "done"
    assert rebooted["result"]["boot_s"] > 0
    assert stage.get(f"/orders/{waiting}")["status"] == "pending"
    entries = [entry for entry in stage.pages("/entries", terminal=name) if entry["evidence"].get("order") == rebooted["id"]]
    assert [entry["what"] for entry in entries if entry["actor"] == "terminal"] == ["result:done"]

    hand = air.hand(stage, late)
    await hand.appear()
    assert (await hand.order(OrderKind.INSPECT)).id == waiting
    assert stage.get(f"/orders/{waiting}")["status"] == "sent"
    for _ in range(2):  # the receipt was lost: it says so again, and is receipted again
        hand.say(Result(order=waiting, status=ResultStatus.DONE, data={"battery_pct": 7}))
        await hand.hear(Receipt, lambda receipt: receipt.orders == (waiting,))
    assert (await settled(stage, waiting))["result"] == {"battery_pct": 7}

    expired = await settled(stage, expiring)
    assert (expired["status"], expired["code"]) == ("expired", "order_expired")
    assert simulator.finish()[name]["boots"] == 2
