"""What a hello shows of an upgrade: that the reason of a wait is gone, or is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.effects import Append, SaveUpgrade
from gateway.core.events import Start
from gateway.core.states import UpgradeState
from gateway.wire.codes import Code, OrderKind, Phase, What
from gateway.wire.messages import Facts, OpenUpgrade
from tests.unit.core.build import FACTS, NOW, brought_to, hello, kinds, report, terminal

LOW = replace(FACTS, battery_pct=5)
HELD = OpenUpgrade(id="u1", phase=Phase.ACCEPTED, transfer=0, have=(), seq=2)


def test_a_terminal_that_was_charged_is_offered_its_upgrade_at_once() -> None:
    """It would wait 300 s for the next check otherwise. The entry says what was seen and how long it would have waited."""
    found = terminal()
    found.handle(hello(facts=LOW), NOW)
    found.handle(Start(), NOW + 1)
    effects = found.handle(hello(2, facts=replace(FACTS, battery_pct=40)), NOW + 11)
    entries = [effect for effect in effects if isinstance(effect, Append)]

    assert [(entry.what, entry.code, entry.evidence["saved_s"]) for entry in entries] == [("ready_again", "battery_low", 290.0)]
    assert [effect.due_us for effect in effects if isinstance(effect, SaveUpgrade)] == [int((NOW + 11) * 1e6)]
    assert kinds(found.handle(Start(), NOW + 12)) == [OrderKind.UPGRADE_OFFER]


def test_a_terminal_that_said_not_ready_while_it_prepared_is_asked_again_at_once() -> None:
    found, seq = brought_to(UpgradeState.PREPARING)
    found.handle(report(What.NOT_READY, seq + 1, Code.BATTERY_LOW), NOW + 1)

    assert kinds(found.handle(hello(2, upgrade=HELD), NOW + 2)) == [OrderKind.UPGRADE_PREPARE]


@pytest.mark.parametrize(
    "facts",
    [replace(LOW, battery_pct=29), replace(FACTS, storage_free_bytes=10), replace(FACTS, in_transaction=True)],
    ids=["still low", "full meanwhile", "a customer meanwhile"],
)
def test_whoever_is_still_not_ready_goes_on_waiting(facts: Facts) -> None:
    found = terminal()
    found.handle(hello(facts=LOW), NOW)
    found.handle(Start(), NOW + 1)
    found.handle(hello(2, facts=facts), NOW + 11)

    assert found.upgrade is not None
    assert found.upgrade.not_before == NOW + 301


def test_waits_that_facts_do_not_explain_are_left_alone() -> None:
    """A merchant who postpones is not asked before the time that was agreed, nor is a failed try repeated early."""
    postponed, seq = brought_to(UpgradeState.OFFERED)
    postponed.handle(report(What.POSTPONED, seq + 1, Code.OK, {"until_ms": int((NOW + 3600) * 1000)}), NOW + 1)
    broken, seq = brought_to(UpgradeState.TRANSFERRING)
    broken.handle(report(What.FAILED, seq + 1, Code.CHECKSUM_MISMATCH), NOW + 1)
    for found in (postponed, broken):
        assert found.upgrade is not None
        before = found.upgrade.not_before
        found.handle(hello(2, upgrade=HELD), NOW + 2)

        assert found.upgrade.not_before == before > NOW + 2
