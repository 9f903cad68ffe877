"""One upgrade after the other on the terminal's side: each way it can go, as the reports tell it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from device_sim.faults import Duty, Faults
from device_sim.options import Battery, Merchant, Options, Shop
from gateway.trust.manifest import Manifest
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.messages import Report, Result
from tests.unit.device_sim.build import manifest_of, payload_of
from tests.unit.device_sim.play import Play

PAYLOAD = payload_of(300_000)
GOOD = [What.ACCEPTED, What.READY, What.STAGED, What.INSTALLING, What.BOOTED, What.VERIFIED, What.COMMITTED]


def stop_at(play: Play, message: object, what: What) -> None:
    """The gateway orders nothing more once ``what`` is reported."""
    if isinstance(message, Report) and message.what is what:
        play.due = None


def running_version(play: Play) -> str:
    firmware = play.terminal.firmware
    assert firmware is not None
    return firmware.slots.versions(firmware.slots.running)["app"]


def test_upgrade_that_goes_well_tells_every_step_once_and_raises_the_floor() -> None:
    play = Play(PAYLOAD)

    assert play.upgrade_to(What.COMMITTED)
    play.run(seconds=120)
    assert play.whats() == GOOD
    assert play.last_report(What.BOOTED).detail == {"version": "2.0.0", "slot": "b"}
    assert play.last_report(What.STAGED).detail == {"received_bytes": 300_000, "wasted_bytes": 0, "segments": 3}
    facts = play.terminal.firmware.session if play.terminal.firmware else None
    assert facts is not None
    play.terminal.power_cut(play.now)
    play.run(seconds=120)
    assert play.hellos[-1].facts.components["app"] == "2.0.0"
    assert play.hellos[-1].facts.floors == {"app": 7}
    assert play.hellos[-1].upgrade is not None
    assert play.hellos[-1].upgrade.phase is Phase.DONE


def test_second_upgrade_goes_into_the_other_slot() -> None:
    play = Play(PAYLOAD)
    assert play.upgrade_to(What.COMMITTED)
    play.payload = payload_of(200_000, seed=2)
    play.manifest = manifest_of(play.payload, version="2.1.0", counter=8)
    play.upgrade, play.reports, play.due, play.answered = "u2", {}, OrderKind.UPGRADE_OFFER, True

    assert play.run(lambda: play.newest is What.COMMITTED)
    assert play.last_report(What.BOOTED).detail["slot"] == "a"
    assert running_version(play) == "2.1.0"
    assert "slot_b" not in play.terminal.board.flash.areas, "the old slot is free"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"models": ("other",)}, Code.MODEL_MISMATCH),
        ({"version": "1.0.0"}, Code.ALREADY_INSTALLED),
        ({"version": "0.9.0"}, Code.VERSION_TOO_LOW),
        ({"minimum_versions": {"os": "5.0"}}, Code.BASE_VERSION_TOO_LOW),
    ],
)
def test_terminal_itself_rejects_what_is_not_for_it(changes: Mapping[str, object], code: Code) -> None:
    play = Play(PAYLOAD, manifest=manifest_of(PAYLOAD, **changes))

    assert play.upgrade_to(What.REJECTED, seconds=60)
    assert play.last_report(What.REJECTED).code is code
    assert play.terminal.firmware is not None
    assert play.terminal.firmware.dossier.record is None


def test_manifest_of_a_stranger_is_rejected() -> None:
    play = Play(PAYLOAD)
    play.auto = False
    play.boot()
    play.run(seconds=1)
    play.order(OrderKind.UPGRADE_OFFER, {**play.args_of(OrderKind.UPGRADE_OFFER), "m": b"no manifest"})
    play.run(seconds=1)
    assert play.reports[1].code is Code.MANIFEST_INVALID

    blob = bytearray(bytes(play.args_of(OrderKind.UPGRADE_OFFER)["m"]))  # type: ignore[arg-type]  # bytes
    blob[60] ^= 1
    play.order(OrderKind.UPGRADE_OFFER, {**play.args_of(OrderKind.UPGRADE_OFFER), "m": bytes(blob)})
    play.run(seconds=1)
    assert play.reports[2].code in {Code.SIGNATURE_INVALID, Code.MANIFEST_INVALID}


def test_merchant_postpones_and_then_accepts() -> None:
    play = Play(PAYLOAD, options=Options(speed=20.0, merchant=Merchant(answers=("postpone:600", "accept"))))

    assert play.upgrade_to(What.COMMITTED)
    postponed = play.last_report(What.POSTPONED)
    until_ms = postponed.detail["until_ms"]
    assert isinstance(until_ms, int)
    assert abs(until_ms - postponed.at_ms - 30_000) < 100
    assert play.whats() == [What.POSTPONED, *GOOD]


def test_merchant_who_declines_ends_it_and_is_not_asked_again() -> None:
    play = Play(PAYLOAD, options=Options(speed=20.0, merchant=Merchant(answers=("decline", "accept"))))
    assert play.upgrade_to(What.DECLINED)

    play.due, play.answered = OrderKind.UPGRADE_OFFER, True
    play.run(seconds=30)
    assert set(play.whats()) == {What.DECLINED}
    assert len(play.whats()) == 2, "a new order is answered by a new report"


def test_question_that_power_took_away_is_asked_again() -> None:
    play = Play(PAYLOAD, options=Options(speed=20.0, merchant=Merchant(delay_s=(100, 100))))
    play.boot()
    play.at(2.0, lambda: play.terminal.power_cut(play.now, 1.0))

    assert play.upgrade_to(What.ACCEPTED, seconds=60)


@pytest.mark.parametrize("test", ["payment", "refund", "query"])
def test_failing_self_test_rolls_back_by_itself_and_restores_the_parameters(test: str) -> None:
    play = Play(PAYLOAD, faults=Faults(selftest=test))

    assert play.upgrade_to(What.ROLLED_BACK)
    report = play.last_report(What.ROLLED_BACK)
    assert report.code == f"selftest_{test}_failed"
    assert (report.detail["version"], report.detail["slot"], report.detail["test"]) == ("1.0.0", "a", test)
    assert running_version(play) == "1.0.0"
    assert play.terminal.board.journal.get("params") == {"currency": "CNY", "merchant": "M000"}


def test_new_version_that_never_boots_is_given_up_after_three_tries() -> None:
    play = Play(PAYLOAD, faults=Faults(boot_loop=-1))

    assert play.upgrade_to(What.ROLLED_BACK)
    assert play.last_report(What.ROLLED_BACK).code is Code.BOOT_FAILED
    assert play.terminal.board.tally.events["boot_hung"] == 3
    assert What.BOOTED not in play.whats()


def test_new_version_that_hangs_once_still_makes_it() -> None:
    play = Play(PAYLOAD, faults=Faults(boot_loop=1))

    assert play.upgrade_to(What.COMMITTED)


def test_boot_budget_that_runs_out_rolls_back() -> None:
    play = Play(PAYLOAD)
    play.boot_budget_s = 0.1

    assert play.upgrade_to(What.ROLLED_BACK)
    assert play.last_report(What.ROLLED_BACK).code is Code.BOOT_FAILED


def test_bad_flash_fails_to_install_and_the_old_version_was_never_left() -> None:
    """The gateway offers again; the segments are still there, so nothing is sent twice."""
    play = Play(PAYLOAD, faults=Faults(install_failures=2))

    assert play.upgrade_to(What.COMMITTED)
    whats = play.whats()
    assert whats.count(What.FAILED) == 2
    assert play.last_report(What.FAILED).code is Code.INSTALL_FAILED
    assert play.terminal.board.tally.received_bytes == 300_000


def test_liar_reports_the_new_version_but_its_facts_do_not() -> None:
    play = Play(PAYLOAD, faults=Faults(lying_version=True))
    play.soak_s = 1e9

    assert play.upgrade_to(What.VERIFIED)
    assert play.last_report(What.VERIFIED).detail["version"] == "2.0.0"
    assert play.hellos[-1].facts.components["app"] == "1.0.0"
    play.send(OrderKind.UPGRADE_ROLLBACK)
    assert play.upgrade_to(What.ROLLED_BACK, seconds=300)
    assert play.last_report(What.ROLLED_BACK).detail["version"] == "1.0.0"


def test_soak_reports_health_and_regression() -> None:
    play = Play(PAYLOAD, faults=Faults(health_regressed_after=3))
    play.soak_s = 45.0
    assert play.upgrade_to(What.COMMITTED)

    health = [report for _, report in sorted(play.reports.items()) if report.what is What.HEALTH]
    assert [report.code for report in health] == [Code.OK, Code.OK, Code.HEALTH_REGRESSED, Code.HEALTH_REGRESSED]
    assert set(health[0].detail) == {"battery_pct", "payments_ok", "payments_failed", "restarts", "uptime_s"}


def test_ordered_roll_back_from_the_soak() -> None:
    play = Play(PAYLOAD)
    play.soak_s = 1e9
    assert play.upgrade_to(What.VERIFIED)
    play.due = None
    play.send(OrderKind.UPGRADE_ROLLBACK)

    assert play.upgrade_to(What.ROLLED_BACK)
    assert play.last_report(What.ROLLED_BACK).code is Code.ROLLED_BACK_BY_ORDER
    assert running_version(play) == "1.0.0"


def test_power_cuts_in_the_soak_do_not_count_as_failed_boots() -> None:
    play = Play(PAYLOAD)
    play.soak_s = 1e9
    assert play.upgrade_to(What.VERIFIED)
    for _ in range(5):
        play.terminal.power_cut(play.now, 0.1)
        play.run(seconds=30)

    assert running_version(play) == "2.0.0"
    assert play.terminal.firmware is not None
    assert play.terminal.firmware.dossier.current.restarts == 5


def test_low_battery_is_not_ready_until_it_has_charged() -> None:
    """It says hello when the reason has passed."""
    options = Options(speed=60.0, battery=Battery(start_pct=20, plug_at_s=120))
    play = Play(PAYLOAD, options=options)
    play.on_uplink = lambda message: stop_at(play, message, What.NOT_READY)
    assert play.upgrade_to(What.NOT_READY)
    assert play.last_report(What.NOT_READY).code is Code.BATTERY_LOW
    assert play.last_report(What.NOT_READY).detail == {"needed": 30, "found": 19}

    hellos = len(play.hellos)
    assert play.run(lambda: len(play.hellos) > hellos and play.hellos[-1].facts.charging, seconds=600)
    play.due, play.answered = OrderKind.UPGRADE_PREPARE, True
    assert play.upgrade_to(What.COMMITTED)


@pytest.mark.parametrize(
    ("options", "faults", "code"),
    [
        (Options(speed=20.0, storage_used_bytes=268_000_000), Faults(), Code.STORAGE_FULL),
        (Options(speed=20.0, shop=Shop(unsettled_count=4)), Faults(settle_failures=1), Code.UNSETTLED_BATCH),
        (Options(speed=20.0), Faults(backup_failures=1), Code.BACKUP_FAILED),
    ],
)
def test_each_obstacle_has_its_code(options: Options, faults: Faults, code: Code) -> None:
    play = Play(PAYLOAD, options=options, faults=faults)

    assert play.upgrade_to(What.NOT_READY)
    assert play.last_report(What.NOT_READY).code is code
    if code is not Code.STORAGE_FULL:
        assert play.upgrade_to(What.COMMITTED)
        assert play.terminal.board.shop.unsettled_count == 0


def test_busy_shop_is_never_interrupted() -> None:
    """Payments all the time: the upgrade gets through between them, and none of them fails by it."""
    shop = Shop(payment_every_s=(5, 5), lead_s=(2, 4), declined_p=0.0)
    play = Play(PAYLOAD, options=Options(speed=1.0, shop=shop))
    play.boot_budget_s = 600

    assert play.upgrade_to(What.COMMITTED)
    assert play.terminal.board.shop.failed_count == 0
    assert play.terminal.board.shop.ok_count > 5


def test_terminal_that_is_away_half_of_the_time_gets_there() -> None:
    play = Play(PAYLOAD, faults=Faults(duty=Duty(period_s=6.0, fraction=0.5)))
    play.chunk_blocks = 1

    assert play.upgrade_to(What.COMMITTED)
    assert play.terminal.board.tally.repeated_bytes == 0


def test_garbage_and_doubled_messages_do_not_stop_it() -> None:
    play = Play(PAYLOAD, faults=Faults(duplicate_p=0.5))

    assert play.upgrade_to(What.COMMITTED)
    assert play.whats() == GOOD


@pytest.mark.parametrize("what", [What.ACCEPTED, What.READY, What.STAGED])
def test_cancel_drops_everything_before_it_installs(what: What) -> None:
    play = Play(PAYLOAD)
    play.on_uplink = lambda message: stop_at(play, message, what)
    assert play.upgrade_to(what)
    play.send(OrderKind.UPGRADE_CANCEL)

    assert play.upgrade_to(What.CANCELLED, seconds=30)
    assert play.terminal.board.flash.areas.get("stage") is None
    assert play.last_report(What.CANCELLED).code is Code.CANCELLED_BY_OPERATOR


def refused(play: Play) -> Result:
    play.run(lambda: bool(play.results), seconds=30)
    return play.results[-1]


def test_orders_out_of_turn_are_refused_as_busy() -> None:
    play = Play(PAYLOAD)
    play.on_uplink = lambda message: stop_at(play, message, What.ACCEPTED)
    assert play.upgrade_to(What.ACCEPTED)
    for kind in (OrderKind.UPGRADE_TRANSFER, OrderKind.UPGRADE_INSTALL, OrderKind.UPGRADE_COMMIT, OrderKind.UPGRADE_ROLLBACK):
        play.results.clear()
        play.send(kind)
        result = refused(play)
        assert (result.status, result.code) == (ResultStatus.REFUSED, Code.BUSY), kind


def test_cancel_in_the_soak_is_refused() -> None:
    play = Play(PAYLOAD)
    play.soak_s = 1e9
    assert play.upgrade_to(What.VERIFIED)
    play.send(OrderKind.UPGRADE_CANCEL)

    assert refused(play).code is Code.BUSY


def test_newer_offer_takes_the_place_of_one_that_has_not_installed() -> None:
    play = Play(PAYLOAD)
    assert play.upgrade_to(What.ACCEPTED)
    old: list[Report] = []
    play.on_uplink = lambda message: old.append(message) if isinstance(message, Report) and message.upgrade == "u1" else None
    play.upgrade, play.reports, play.due, play.answered = "u2", {}, OrderKind.UPGRADE_OFFER, True

    assert play.upgrade_to(What.COMMITTED)
    assert old[-1].what is What.CANCELLED


def test_offer_while_another_upgrade_soaks_is_rejected_as_busy() -> None:
    play = Play(PAYLOAD)
    play.soak_s = 1e9
    assert play.upgrade_to(What.VERIFIED)
    play.auto = False
    for number in (1, 2):
        play.upgrade = "u2"
        play.reports = {}
        play.send(OrderKind.UPGRADE_OFFER)
        play.run(seconds=2)
        assert play.reports[number].code is Code.BUSY
        assert max(play.reports) == number, "its reports are numbered on"


def test_manifest_battery_rule_is_eased_on_the_charger() -> None:
    manifest: Manifest = manifest_of(PAYLOAD, battery_min_pct=60)
    play = Play(PAYLOAD, manifest=manifest, options=Options(speed=20.0, battery=Battery(start_pct=35, charging=True)))

    assert play.upgrade_to(What.READY)
