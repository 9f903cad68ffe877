"""Every state that waits for its terminal calls for an order, or is one in which the terminal moves by itself."""

from __future__ import annotations

from gateway.core.calls import ORDERS, RENUMBERED, RETURNABLE
from gateway.core.plan import DEADLINES_S
from gateway.core.states import REVOCABLE, TRANSITIONS, Trigger, UpgradeState


def test_a_state_that_waits_for_its_terminal_calls_for_an_order_or_the_terminal_moves_by_itself() -> None:
    """Ready is left in the same moment; what proves itself or soaks needs no word from us before the commit."""
    moves_itself = {UpgradeState.READY, UpgradeState.VERIFYING, UpgradeState.SOAKING}

    assert set(DEADLINES_S) == set(ORDERS) | moves_itself
    assert len(set(ORDERS.values())) == len(ORDERS)


def test_what_may_be_offered_again_has_a_way_back() -> None:
    assert all((state, Trigger.RETRY) in TRANSITIONS for state in RETURNABLE)
    assert set(RETURNABLE) <= set(ORDERS) < set(RENUMBERED)
    assert UpgradeState.OFFERED in set(REVOCABLE) - set(RETURNABLE)
