"""Campaigns: pause, resume, abort, the stop rule, the concurrency cap, and merchants who say no or later."""

from __future__ import annotations

from gateway.wire.codes import OrderKind, What
from tests.e2e.accounts import check_ledger
from tests.e2e.hand import Air
from tests.e2e.parcels import parcel, uploaded, version_of
from tests.harness.stage import MODEL, UNSHAPED, Stage


async def test_an_aborted_campaign_calls_back_what_does_not_install_yet(stage: Stage, air: Air) -> None:
    """The terminal that holds it is told to drop it, the one that installs goes on to its proof, the silent one is ended."""
    holding, installing, silent = stage.broker.new_terminals(3)
    stage.register([holding, installing, silent])
    package = uploaded(stage, parcel(stage))
    one, two = air.hand(stage, holding), air.hand(stage, installing)
    await one.appear()
    await two.appear()
    campaign = stage.campaign(package, [holding, installing, silent])
    held = await one.upgrade_to(What.READY)
    await one.order(OrderKind.UPGRADE_TRANSFER)
    going_on = await two.upgrade_to(What.INSTALLING)
    stage.post(f"/campaigns/{campaign}/abort", {"note": "wrong release"})

    cancel = await one.order(OrderKind.UPGRADE_CANCEL)
    assert (cancel.args["u"], cancel.args["code"]) == (held, "cancelled_by_operator")
    await one.tell(held, What.CANCELLED)
    await two.prove(going_on, version_of(stage, package))
    await stage.until_states(campaign, {holding: "cancelled", installing: "succeeded", silent: "cancelled"})
    assert stage.get(f"/campaigns/{campaign}")["state"] == "aborted"
    check_ledger(stage, campaign)


async def test_a_paused_campaign_starts_nothing_until_it_is_resumed(stage: Stage, air: Air) -> None:
    """What is under way goes on meanwhile, and its end frees the one place."""
    first, second = stage.broker.new_terminals(2)
    stage.register([first, second])
    package = uploaded(stage, parcel(stage))
    hands = {name: air.hand(stage, name) for name in (first, second)}
    for hand in hands.values():
        await hand.appear()
    campaign = stage.campaign(package, [first, second], max_active=1)
    await stage.until(lambda: sorted(stage.states(campaign).values()) == ["offered", "scheduled"], "the first offer")
    [begun] = [name for name, state in stage.states(campaign).items() if state == "offered"]
    [other] = {first, second} - {begun}
    stage.post(f"/campaigns/{campaign}/pause")

    upgrade = await hands[begun].upgrade_to(What.INSTALLING)
    await hands[begun].prove(upgrade, version_of(stage, package))
    await stage.until_states(campaign, {begun: "succeeded", other: "scheduled"})
    assert stage.get(f"/campaigns/{campaign}/progress")["campaign"]["state"] == "paused"
    stage.post(f"/campaigns/{campaign}/resume")
    await hands[other].order(OrderKind.UPGRADE_OFFER)
    stage.post(f"/campaigns/{campaign}/abort")


async def test_terminals_that_are_away_occupy_no_place(stage: Stage, air: Air) -> None:
    """With one place and two terminals that were never seen, the third is upgraded at once."""
    here, *away = stage.broker.new_terminals(3)
    stage.register([here, *away])
    hand = air.hand(stage, here)
    await hand.appear()
    package = uploaded(stage, parcel(stage))
    campaign = stage.campaign(package, [here, *away], max_active=1)

    await hand.prove(await hand.upgrade_to(What.INSTALLING), version_of(stage, package))
    await stage.until(lambda: stage.states(campaign)[here] == "succeeded", "the terminal that is here to succeed")
    assert stage.get(f"/campaigns/{campaign}/progress")["places_taken_count"] == 0
    stage.post(f"/campaigns/{campaign}/abort")


async def test_merchants_faults_and_the_stop_rule(stage: Stage) -> None:
    """One declines, one postpones and then accepts, one fails its self-test: the campaign pauses, and says why."""
    no, later, broken, rest = stage.broker.new_terminals(4)
    stage.register([no, later, broken, rest])
    group = f'model = "{MODEL}"\n{UNSHAPED}'
    simulator = stage.start_simulator(
        f'{group}\nids = ["{no}"]\nmerchant = {{ answers = ["decline"], delay_s = 1 }}',
        f'{group}\nids = ["{later}"]\nmerchant = {{ answers = ["postpone:200", "accept"], delay_s = 1 }}',
        f'{group}\nids = ["{broken}"]\nmerchant = {{ delay_s = 1 }}\nfaults = {{ selftest = "refund" }}',
        f'{group}\nids = ["{rest}"]\nmerchant = {{ delay_s = 1 }}',
    )
    await stage.until(lambda: all(stage.get(f"/terminals/{name}")["online"] for name in (no, later, broken, rest)), "terminals")
    package = uploaded(stage, parcel(stage))
    campaign = stage.campaign(
        package, [no, later, broken, rest], ask_merchant=True, canaries=[no, later, broken], failure_min=1, failure_ratio=0.4
    )
    await stage.until(lambda: stage.get(f"/campaigns/{campaign}")["state"] == "paused", "the stop rule")
    await stage.until_states(campaign, {no: "rejected", later: "scheduled", broken: "rolled_back", rest: "scheduled"})

    found = stage.get(f"/campaigns/{campaign}")
    assert found["stopped_by_rule"]
    assert found["reason"]
    codes = {name: stage.upgrade_of(campaign, name)["code"] for name in (no, broken)}
    assert codes == {no: "declined_by_merchant", broken: "selftest_refund_failed"}
    assert stage.post(f"/campaigns/{campaign}/resume", expected=409)["code"] == "stop_rule"
    stage.post(f"/campaigns/{campaign}/resume", {"accept_failures": True})
    await stage.until_states(campaign, {no: "rejected", later: "succeeded", broken: "rolled_back", rest: "succeeded"})
    waited = [entry["what"] for entry in stage.upgrade_of(campaign, later)["history"]]
    assert waited.index("postponed") < waited.index("postponement_over") < waited.index("accepted")
    check_ledger(stage, campaign)
    assert simulator.finish()[broken]["versions"]["app"] == "1.0.0"
