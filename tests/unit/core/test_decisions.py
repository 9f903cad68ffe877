"""Every decision from outside reaches the upgrade, and does nothing where there is none."""

from __future__ import annotations

import pytest

from gateway.core.budgets import Scope, Spent
from gateway.core.decisions import carry_out
from gateway.core.events import BudgetEased, BudgetSpent, Decided, End, Install, Refuse, Start
from gateway.core.states import UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code
from tests.unit.core.build import FACTS, NOW, PLAN

SPENT = Spent(scope=Scope.TERMINAL, name="T1", used_bytes=1, limit_bytes=1, until=NOW + 10)
EVENTS: list[tuple[Decided, UpgradeState, UpgradeState]] = [
    (Start(), UpgradeState.SCHEDULED, UpgradeState.OFFERED),
    (Install("campaign"), UpgradeState.STAGED, UpgradeState.INSTALLING),
    (Refuse(Code.MODEL_MISMATCH), UpgradeState.SCHEDULED, UpgradeState.REJECTED),
    (End(Code.CANCELLED_BY_OPERATOR, "operator"), UpgradeState.OFFERED, UpgradeState.CANCELLED),
    (BudgetSpent(SPENT), UpgradeState.TRANSFERRING, UpgradeState.DEFERRED),
]


@pytest.mark.parametrize(("event", "state", "after"), EVENTS, ids=lambda value: getattr(value, "value", type(value).__name__))
def test_each_moves_the_upgrade(event: Decided, state: UpgradeState, after: UpgradeState) -> None:
    upgrade = Upgrade("u1", "T1", PLAN, state=state)
    entries = carry_out(upgrade, event, FACTS, NOW, 0.5)

    assert upgrade.state is after
    assert [entry.to_state for entry in entries] == [after.value]
    assert carry_out(None, event, FACTS, NOW, 0.5) == []


def test_easing_undoes_spending() -> None:
    upgrade = Upgrade("u1", "T1", PLAN, state=UpgradeState.TRANSFERRING)
    carry_out(upgrade, BudgetSpent(SPENT), None, NOW, 0.5)
    carry_out(upgrade, BudgetEased(), None, NOW, 0.5)
    assert upgrade.state is UpgradeState.SCHEDULED
