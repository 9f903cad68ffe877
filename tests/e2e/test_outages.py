"""Broker or store are away, or somebody else has the store: the gateway says so, keeps serving, and recovers by itself."""

from __future__ import annotations

import resource
import sqlite3
from pathlib import Path

from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import Receipt
from tests.e2e.accounts import check_ledger
from tests.e2e.hand import Air
from tests.e2e.parcels import parcel, uploaded
from tests.harness.broker import Broker, free_port
from tests.harness.stage import Stage


async def test_a_broker_that_is_away_at_the_start_and_later_is_waited_for(tmp_path: Path, air: Air) -> None:
    """HTTP serves all the while; what was ordered meanwhile goes out when the broker is there."""
    broker = Broker(tmp_path / "broker", port=free_port())
    with Stage(tmp_path / "stage", broker) as stage:
        stage.start_gateway()
        try:
            assert ["refused" in reason for reason in stage.not_ready] == [True, True]
            assert stage.http.get("/healthz").status_code == 200
            stage.register(["t1"])
            order = stage.post("/terminals/t1/orders", {"kind": "inspect"})["id"]

            broker.start()
            await stage.ready()
            broker.add_terminals(["t1"])
            hand = air.hand(stage, "t1")
            await hand.appear()
            assert (await hand.order(OrderKind.INSPECT)).id == order

            broker.stop()
            await stage.until(lambda: len(stage.not_ready) == 2, "the gateway to notice")
            campaign = stage.campaign(uploaded(stage, parcel(stage)), ["t1"])
            broker.start()
            await stage.ready()
            await hand.appear()
            await hand.order(OrderKind.UPGRADE_OFFER)
            assert stage.states(campaign) == {"t1": "offered"}
        finally:
            broker.stop()


def test_a_second_gateway_on_the_same_store_is_refused_in_one_line(stage: Stage) -> None:
    second = stage.start_second_gateway()

    assert second.wait(20) == 2
    [line] = second.output.splitlines()
    assert line.startswith("tillgate: ")
    assert "tillgate.db" in line
    assert stage.http.get("/readyz").status_code == 200


async def test_nothing_is_receipted_while_the_store_takes_no_commits(own_stage: Stage, air: Air) -> None:
    """No file may grow past a limit, as on a full disk; then it may again."""
    stage = own_stage
    assert stage.gateway is not None
    await stage.ready()
    [name] = stage.broker.new_terminals(1)
    stage.register([name, *(f"filler-{number}" for number in range(2000))])
    hand = air.hand(stage, name)
    await hand.appear()
    campaign = stage.campaign(uploaded(stage, parcel(stage)), [name])
    upgrade = str((await hand.order(OrderKind.UPGRADE_OFFER)).args["u"])
    store = stage.home / "var" / "tillgate.db-wal"
    limit = store.stat().st_size // 2
    resource.prlimit(stage.gateway.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    said = hand.report(upgrade, What.ACCEPTED)
    await stage.until(lambda: any("store" in reason for reason in stage.not_ready), "the gateway to say that it is not ready")
    hand.say(said)
    await stage.until(lambda: stage.counters["store_failed"] >= 2, "another try")
    assert hand.count(Receipt) == 0
    assert stage.states(campaign) == {name: "offered"}
    assert stage.http.get("/healthz").status_code == 200

    resource.prlimit(stage.gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    hand.say(said)
    await hand.hear(Receipt, lambda receipt: said.seq in receipt.seqs)
    await stage.ready()
    assert stage.states(campaign) == {name: "preparing"}
    await hand.order(OrderKind.UPGRADE_PREPARE)
    check_ledger(stage, campaign)


async def test_an_ordered_stop_keeps_all_and_goes_on(own_stage: Stage, air: Air) -> None:
    """SIGTERM, exit code 0, a whole store; the next start sends what is due."""
    stage = own_stage
    await stage.ready()
    [name] = stage.broker.new_terminals(1)
    stage.register([name])
    hand = air.hand(stage, name)
    await hand.appear()
    campaign = stage.campaign(uploaded(stage, parcel(stage)), [name])
    await hand.upgrade_to(What.ACCEPTED)
    assert stage.gateway is not None

    assert stage.gateway.stop() == 0
    with sqlite3.connect(stage.home / "var" / "tillgate.db") as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store.close()
    stage.start_gateway()
    await hand.order(OrderKind.UPGRADE_PREPARE)
    assert stage.states(campaign) == {name: "preparing"}
