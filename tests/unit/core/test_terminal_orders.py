"""Orders outside upgrades, and their results, as a terminal's session keeps them."""

from __future__ import annotations

from gateway.core.effects import (
    Append,
    Effect,
    SaveOrder,
    SendReceipt,
    SendWelcome,
)
from gateway.core.events import End, Heard, Ordered, Tick
from gateway.core.states import UpgradeState
from gateway.core.terminal import STRAY_REPORTS_MAX
from gateway.wire.codes import Code, OrderKind, ResultStatus, What
from gateway.wire.messages import Result
from tests.unit.core.build import NOW, brought_to, hello, kinds, report, terminal


def test_orders_wait_while_the_terminal_installs() -> None:
    """A reboot in between could break it."""
    found, _ = brought_to(UpgradeState.INSTALLING)
    asked = Ordered("o1", OrderKind.REBOOT, NOW + 9999)
    assert OrderKind.REBOOT not in kinds(found.handle(asked, NOW))

    effects: list[Effect] = []
    for seq, what in ((4, What.BOOTED), (5, What.VERIFIED)):
        effects = found.handle(report(what, seq, detail={"version": "2.0.0"}), NOW + 1)
    assert OrderKind.REBOOT in kinds(effects)


def test_an_order_ends_with_its_result_and_a_repeated_result_is_receipted_again() -> None:
    """One stored result, as many receipts as it takes."""
    found = terminal()
    found.handle(hello(), NOW)
    found.handle(Ordered("o1", OrderKind.INSPECT, NOW + 99), NOW)
    result = Heard(Result(order="o1", status=ResultStatus.DONE, data={"ok": True}))
    first, again = found.handle(result, NOW + 1), found.handle(result, NOW + 2)

    assert [effect.status for effect in first if isinstance(effect, SaveOrder)] == ["done"]
    assert [effect for effect in again if isinstance(effect, SaveOrder)] == []
    assert sum(isinstance(effect, SendReceipt) for effect in again) == 1
    assert not found.out.orders


def test_results_of_orders_unknown_here_are_kept_up_to_a_limit() -> None:
    """And without a receipt beyond it: what is not stored is not acknowledged."""
    found = terminal()
    found.handle(hello(), NOW)
    kept = receipts = 0
    for number in range(STRAY_REPORTS_MAX + 50):
        effects = found.handle(Heard(Result(order=f"x{number}", status=ResultStatus.DONE)), NOW)
        kept += sum(isinstance(effect, Append) for effect in effects)
        receipts += sum(isinstance(effect, SendReceipt) for effect in effects)

    assert (kept, receipts) == (STRAY_REPORTS_MAX, STRAY_REPORTS_MAX)


def test_a_second_refusal_for_another_reason_is_heard() -> None:
    """First the clock was wrong, then the journal was gone."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    assert found.upgrade is not None
    order = found.upgrade.order
    for code in (Code.NOT_YET_VALID, Code.UPGRADE_UNKNOWN):
        found.handle(Heard(Result(order=order, status=ResultStatus.REFUSED, code=code)), NOW + 1)

    assert found.upgrade.state is UpgradeState.SCHEDULED


def test_an_order_without_a_result_expires() -> None:
    """It says so in its row."""
    found = terminal()
    found.handle(Ordered("o1", OrderKind.INSPECT, NOW + 50), NOW)
    effects = found.handle(Tick(), found.deadline())

    assert [effect.status for effect in effects if isinstance(effect, SaveOrder)] == ["expired"]


def test_a_terminal_whose_clock_has_stepped_is_told_the_time() -> None:
    """Each time that it refuses an order for its time, or it would refuse every repetition until its next connection."""
    found, _ = brought_to(UpgradeState.OFFERED)
    assert found.upgrade is not None
    for code in (Code.NOT_YET_VALID, Code.ORDER_EXPIRED, Code.NOT_YET_VALID, Code.COUNTER_REPLAYED):
        result = Result(order=found.upgrade.order, status=ResultStatus.REFUSED, code=code)
        welcomes = [one.welcome for one in found.handle(Heard(result), NOW + 1) if isinstance(one, SendWelcome)]

        times = [] if code is Code.COUNTER_REPLAYED else [(NOW + 1) * 1000]
        assert [one.now_ms for one in welcomes if not one.hello] == times


def test_a_cancel_that_is_refused_at_the_door_is_repeated() -> None:
    """A bit flipped on the way, or a wrong clock: only its journal says that it does not hold the upgrade."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    found.handle(End(Code.CANCELLED_BY_OPERATOR, "operator"), NOW + 1)
    assert found.upgrade is not None
    told = {}
    for code in (Code.SIGNATURE_INVALID, Code.ORDER_EXPIRED, Code.COUNTER_REPLAYED, Code.UPGRADE_UNKNOWN):
        found.handle(Heard(Result(order=found.upgrade.order, status=ResultStatus.REFUSED, code=code)), NOW + 2)
        told[code] = not found.upgrade.withdrawn

    assert [code for code, is_told in told.items() if is_told] == [Code.UPGRADE_UNKNOWN]
