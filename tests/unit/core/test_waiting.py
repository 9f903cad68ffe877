"""A gateway that is busy or deaf costs no terminal an attempt: while its word may wait with us, no deadline passes."""

from __future__ import annotations

import pytest

from gateway.core.effects import OpenTransfer, SendReceipt, SendWelcome
from gateway.core.events import Admitted, Heard, Tick
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import Hello, Presence
from tests.unit.core.build import FACTS, NOW, brought_to, kinds, report

DAY_S = 86_400.0


def born(found: Terminal, now: float) -> list[object]:
    """A new session that has to wait: birth and hello."""
    effects: list[object] = list(found.handle(Heard(Presence(epoch=2, online=True), waits=True), now))
    return [*effects, *found.handle(Heard(Hello(epoch=2, counter=9, facts=FACTS)), now)]


def test_a_session_that_waits_is_present_and_welcomed_and_sent_nothing_else() -> None:
    found, _ = brought_to(UpgradeState.OFFERED)
    effects = found.handle(Heard(Presence(epoch=2, online=True), waits=True), NOW + 1)
    assert kinds(effects) == []
    assert found.online

    effects = found.handle(Heard(Hello(epoch=2, counter=9, facts=FACTS)), NOW + 1)
    assert any(isinstance(effect, SendWelcome) for effect in effects)
    assert kinds(effects) == []
    assert kinds(found.handle(Admitted(NOW + 100), NOW + 60)) == [OrderKind.UPGRADE_OFFER]


def test_its_reports_are_receipted_and_move_it_though_it_waits() -> None:
    found, seq = brought_to(UpgradeState.PREPARING)
    born(found, NOW + 1)
    effects = found.handle(report(What.READY, seq + 1), NOW + 2)

    assert found.upgrade is not None
    assert found.upgrade.state is UpgradeState.TRANSFERRING
    assert any(isinstance(effect, SendReceipt) for effect in effects)
    assert not any(isinstance(effect, OpenTransfer) for effect in effects)
    effects = found.handle(Admitted(NOW + 100), NOW + 60)
    assert kinds(effects) == [OrderKind.UPGRADE_TRANSFER]
    assert any(isinstance(effect, OpenTransfer) for effect in effects)


@pytest.mark.parametrize("state", [UpgradeState.PREPARING, UpgradeState.TRANSFERRING, UpgradeState.INSTALLING])
def test_no_deadline_passes_while_it_waits_nor_at_its_turn(state: UpgradeState) -> None:
    """Nor is a try counted; later the same silence does cost one."""
    found, _ = brought_to(state)
    born(found, NOW + 1)
    assert found.deadline() == float("inf")
    found.handle(Tick(), NOW + DAY_S)
    found.handle(Admitted(NOW + DAY_S + 360), NOW + DAY_S)
    upgrade = found.upgrade
    assert upgrade is not None
    assert (upgrade.state, upgrade.attempt) == (state, 1)

    found.handle(Tick(), NOW + DAY_S + 361)
    assert upgrade.state is not state or upgrade.attempt > 1


def test_silence_that_may_be_our_own_is_judged_when_it_is_over() -> None:
    """The deadline is put off, not looked at again and again; a report that comes meanwhile finds all as it was."""
    found, seq = brought_to(UpgradeState.PREPARING)
    upgrade = found.upgrade
    assert upgrade is not None
    late = NOW + upgrade.plan.deadline_s(UpgradeState.PREPARING) + 1
    found.handle(Tick(late + 360), late)
    assert (upgrade.state, upgrade.attempt) == (UpgradeState.PREPARING, 1)
    assert upgrade.deadline() == late + 360

    found.handle(report(What.READY, seq + 1), late + 59)
    assert upgrade.state is UpgradeState.TRANSFERRING
