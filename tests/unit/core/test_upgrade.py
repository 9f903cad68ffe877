"""One upgrade: what moves it, what does not, how it fails, retries and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

import pytest

from gateway.core.effects import Append, SendWelcome
from gateway.core.events import End, Heard, Install, Start, Tick
from gateway.core.schedule import Window
from gateway.core.staging import Staging
from gateway.core.states import FINAL, UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, OrderKind, What
from gateway.wire.messages import Presence
from tests.unit.core.build import NOW, PLAN, STORY, brought_to, hello, kinds, orders, report


def test_an_upgrade_that_goes_well_takes_every_step_and_ends_proven() -> None:
    """Offer, prepare, transfer, install, soak, commit."""
    found, seq = brought_to(UpgradeState.SOAKING)
    assert found.upgrade is not None
    found.handle(hello(2, version="2.0.0"), NOW + 5)
    found.handle(report(What.HEALTH, seq + 1), NOW + 60)
    assert kinds(found.handle(Tick(), NOW + 599)) == []
    assert kinds(found.handle(Tick(), NOW + 600)) == [OrderKind.UPGRADE_COMMIT]

    found.handle(report(What.COMMITTED, seq + 2), NOW + 601)
    assert UpgradeState.SUCCEEDED is found.upgrade.state


def test_every_order_of_an_upgrade_has_an_id_of_its_own() -> None:
    """The terminal executes an id once."""
    found, _ = brought_to(UpgradeState.SCHEDULED)
    sent = orders(found.handle(Start(), NOW))
    for seq, (_, what, detail) in enumerate(STORY, 1):
        sent += orders(found.handle(report(what, seq, detail=detail), NOW))
    found.handle(hello(2, version="2.0.0"), NOW + 1)
    found.handle(report(What.HEALTH, 6), NOW + 1)
    sent += orders(found.handle(Tick(), NOW + 700))

    assert [order.kind.split(".")[1] for order in sent] == ["offer", "prepare", "transfer", "install", "commit"]
    assert len(sent) == len({order.id for order in sent})


def test_no_success_without_a_health_report_in_the_soak() -> None:
    """Silence proves nothing."""
    found, _ = brought_to(UpgradeState.SOAKING)
    found.handle(Tick(), NOW + 600)
    assert kinds(found.handle(Tick(), NOW + 6000)) == []

    assert found.upgrade is not None
    found.handle(Tick(), found.upgrade.deadline())
    assert (found.upgrade.state, found.upgrade.code) == (UpgradeState.FAILED, Code.HEALTH_REGRESSED)


@pytest.mark.parametrize("what", [What.BOOTED, What.VERIFIED])
def test_another_version_than_the_release_is_no_proof(what: What) -> None:
    """The claim is kept as evidence."""
    found, seq = brought_to(UpgradeState.VERIFYING)
    effects = found.handle(report(what, seq + 1, detail={"version": "1.0.0"}), NOW)

    assert found.upgrade is not None
    assert (found.upgrade.state, found.upgrade.code) == (UpgradeState.ROLLING_BACK, Code.VERSION_NOT_PROVEN)
    assert kinds(effects) == [OrderKind.UPGRADE_ROLLBACK]


def test_a_hello_that_shows_the_old_version_while_soaking_disproves_the_claim() -> None:
    """A lying terminal is caught by its own facts."""
    found, _ = brought_to(UpgradeState.SOAKING)
    found.handle(hello(2, version="1.0.0"), NOW + 5)

    assert found.upgrade is not None
    assert UpgradeState.ROLLING_BACK is found.upgrade.state


def test_a_terminal_that_reports_success_is_asked_to_show_it_and_not_committed_before() -> None:
    """A report alone may lie."""
    found, seq = brought_to(UpgradeState.SOAKING)
    found.handle(report(What.HEALTH, seq + 1), NOW + 60)
    effects = found.handle(Tick(), NOW + 700)
    assert kinds(effects) == []
    assert [effect.welcome.hello for effect in effects if isinstance(effect, SendWelcome)] == [True]

    assert kinds(found.handle(hello(1, version="2.0.0"), NOW + 701)) == [OrderKind.UPGRADE_COMMIT]


def test_regressed_health_rolls_back() -> None:
    """And the end is the terminal's word."""
    found, seq = brought_to(UpgradeState.SOAKING)
    assert kinds(found.handle(report(What.HEALTH, seq + 1, Code.HEALTH_REGRESSED), NOW)) == [OrderKind.UPGRADE_ROLLBACK]

    found.handle(report(What.ROLLED_BACK, seq + 2, Code.ROLLED_BACK_BY_ORDER), NOW + 60)
    assert found.upgrade is not None
    assert UpgradeState.ROLLED_BACK is found.upgrade.state


@pytest.mark.parametrize("state", [UpgradeState.OFFERED, UpgradeState.PREPARING])
def test_a_merchant_postpones_and_is_asked_again_at_that_time(state: UpgradeState) -> None:
    """By a new order, since the old one has been answered."""
    found, seq = brought_to(state)
    first = found.upgrade.step if found.upgrade is not None else 0
    found.handle(report(What.POSTPONED, seq + 1, detail={"until_ms": int((NOW + 900) * 1000)}), NOW)
    assert found.upgrade is not None
    assert (found.upgrade.state, found.deadline()) == (UpgradeState.DEFERRED, NOW + 900)

    found.handle(Tick(), NOW + 900)
    assert UpgradeState.SCHEDULED is found.upgrade.state
    found.handle(Start(), NOW + 901)
    assert found.upgrade.step > first


def test_a_merchant_who_agreed_is_not_asked_twice() -> None:
    """A second attempt is offered without the question."""
    found, seq = brought_to(UpgradeState.INSTALLING)
    assert found.upgrade is not None
    found.handle(report(What.FAILED, seq + 1, Code.INSTALL_FAILED), NOW)
    assert (found.upgrade.state, found.upgrade.attempt) == (UpgradeState.SCHEDULED, 2)

    (offer,) = orders(found.handle(Start(), found.upgrade.not_before + 1))
    assert offer.args["ask"] is False


def test_a_terminal_that_is_not_ready_is_asked_again_without_cost() -> None:
    """Battery and open batches pass by themselves."""
    found, seq = brought_to(UpgradeState.PREPARING)
    for again in range(20):
        now = found.deadline() if again else NOW
        found.handle(Tick(), now)
        seq += 1
        found.handle(report(What.NOT_READY, seq, Code.BATTERY_LOW, {"needed": 30, "found": 12}), now)

    assert found.upgrade is not None
    assert (found.upgrade.state, found.upgrade.attempt) == (UpgradeState.PREPARING, 1)
    assert kinds(found.handle(Tick(), found.deadline())) == [OrderKind.UPGRADE_PREPARE]


def test_attempts_are_limited_and_the_reason_is_kept() -> None:
    """Three bad installs are enough."""
    found, seq = brought_to(UpgradeState.INSTALLING)
    assert found.upgrade is not None
    for _ in range(3):
        assert not found.upgrade.final
        seq += 1
        found.handle(report(What.FAILED, seq, Code.INSTALL_FAILED), NOW)
        found.handle(Start(), NOW + 99_999)
        seq += 1
        found.handle(report(What.ACCEPTED, seq), NOW + 99_999)

    assert (found.upgrade.state, found.upgrade.code) == (UpgradeState.FAILED, Code.INSTALL_FAILED)


@pytest.mark.parametrize("code", [Code.MODEL_MISMATCH, Code.VERSION_TOO_LOW, Code.SIGNATURE_INVALID])
def test_a_package_that_does_not_fit_is_not_tried_again(code: Code) -> None:
    """It will not get better by itself."""
    found, _ = brought_to(UpgradeState.OFFERED)
    found.handle(report(What.REJECTED, 1, code), NOW)

    assert found.upgrade is not None
    assert (UpgradeState.REJECTED, code) == (found.upgrade.state, found.upgrade.code)


def test_silence_costs_no_attempt_until_the_terminal_has_said_that_it_installs() -> None:
    """Before, it is away and runs its old version; after, it may run anything."""
    stories = (
        (UpgradeState.TRANSFERRING, (), UpgradeState.SCHEDULED),
        (UpgradeState.INSTALLING, (), UpgradeState.SCHEDULED),
        (UpgradeState.INSTALLING, (What.INSTALLING,), UpgradeState.FAILED),
    )
    for state, said, expected in stories:
        found, seq = brought_to(state)
        for what in said:
            found.handle(report(what, seq + 1), NOW)
        found.handle(Heard(Presence(epoch=1, online=False)), NOW)
        found.handle(Tick(), NOW + 11)
        assert found.upgrade is not None
        found.handle(Tick(), found.upgrade.deadline())

        assert (found.upgrade.state, found.upgrade.code, found.upgrade.attempt) == (expected, Code.LINK_LOST, 1)


@pytest.mark.parametrize(
    ("what", "detail", "expected"),
    [
        (What.VERIFIED, {"version": "2.0.0"}, UpgradeState.SOAKING),
        (What.COMMITTED, {}, UpgradeState.SUCCEEDED),
        (What.ROLLED_BACK, {}, UpgradeState.ROLLED_BACK),
    ],
)
def test_what_the_terminal_proves_beats_what_the_gateway_assumed(
    what: What, detail: dict[str, str], expected: UpgradeState
) -> None:
    """A failure by silence is corrected by the terminal's own report."""
    found, seq = brought_to(UpgradeState.INSTALLING)
    assert found.upgrade is not None
    found.handle(report(What.INSTALLING, seq + 1), NOW)
    found.handle(Tick(), found.upgrade.deadline())
    assert UpgradeState.FAILED is found.upgrade.state

    found.handle(report(what, seq + 2, detail=detail), NOW + 99_999)
    assert expected is found.upgrade.state


def test_a_report_that_was_overtaken_is_kept_and_moves_nothing() -> None:
    """Numbers, not arrival, order a terminal's reports."""
    found, seq = brought_to(UpgradeState.TRANSFERRING)
    effects = found.handle(report(What.STAGED, seq + 2), NOW)
    late = found.handle(report(What.FAILED, seq + 1, Code.CHECKSUM_MISMATCH), NOW)

    assert found.upgrade is not None
    assert UpgradeState.INSTALLING is found.upgrade.state
    assert [entry.evidence.get("late") for entry in late if isinstance(entry, Append)] == [True]
    assert OrderKind.UPGRADE_INSTALL in kinds(effects)


def test_reports_may_jump_forward_over_states_the_gateway_never_saw() -> None:
    """Its store was restored from a backup."""
    found, _ = brought_to(UpgradeState.SCHEDULED)
    found.handle(report(What.VERIFIED, 9, detail={"version": "2.0.0"}), NOW)

    assert found.upgrade is not None
    assert UpgradeState.SOAKING is found.upgrade.state


@pytest.mark.parametrize("code", [Code.CANCELLED_BY_OPERATOR, Code.CAMPAIGN_ENDED])
def test_what_already_installs_is_neither_cancelled_nor_expired(code: Code) -> None:
    """There is no way back but through the terminal."""
    for state in (UpgradeState.INSTALLING, UpgradeState.VERIFYING, UpgradeState.SOAKING):
        found, _ = brought_to(state)
        assert kinds(found.handle(End(code, "operator"), NOW + 1)) == []
        assert found.upgrade is not None
        assert state is found.upgrade.state


def test_the_end_of_the_campaign_expires_what_has_not_begun_to_install() -> None:
    """Also without anybody asking."""
    found, _ = brought_to(UpgradeState.PREPARING)
    found.handle(Tick(), PLAN.ends_at)

    assert found.upgrade is not None
    assert (found.upgrade.state, found.upgrade.code) == (UpgradeState.EXPIRED, Code.CAMPAIGN_ENDED)


def test_installing_waits_for_its_window() -> None:
    """Pre-staged by day, installed by night."""
    window = Window(days=frozenset(range(7)), start=time(2), end=time(4), zone="UTC")
    found, _ = brought_to(UpgradeState.TRANSFERRING, replace(PLAN, staging=Staging(window=window)))
    found.handle(report(What.STAGED, 3), NOW)
    assert found.upgrade is not None
    assert UpgradeState.STAGED is found.upgrade.state

    slot = found.upgrade.not_before
    assert 2 * 3600 < slot % 86_400 < 4 * 3600
    assert kinds(found.handle(Tick(), slot)) == []
    assert kinds(found.handle(Install("campaign"), slot - 1)) == []
    assert kinds(found.handle(Install("campaign"), slot)) == [OrderKind.UPGRADE_INSTALL]


def test_a_postponement_past_the_end_is_cut_to_it() -> None:
    """And a malformed time means soon."""
    for until_ms in (10**15, -5, "tomorrow", None):
        found, seq = brought_to(UpgradeState.OFFERED)
        found.handle(report(What.POSTPONED, seq + 1, detail={"until_ms": until_ms}), NOW)
        assert found.upgrade is not None
        assert NOW < found.upgrade.not_before <= PLAN.ends_at


def test_a_deadline_stands_in_every_state_that_waits() -> None:
    """Nothing is ever stuck."""
    for state in UpgradeState:
        upgrade = Upgrade("u", "t", PLAN, state=state, since=NOW, progress_at=NOW, soak_until=NOW, not_before=NOW)
        assert (upgrade.deadline() < float("inf")) is (state not in FINAL), state
