"""What was decided about one upgrade outside of it: by its campaign, by a person, or because a budget is used up."""

from __future__ import annotations

from gateway.core import holding
from gateway.core.effects import Append
from gateway.core.events import BudgetEased, BudgetSpent, Decided, End, Install, Refuse, Start
from gateway.core.upgrade import Upgrade
from gateway.wire.messages import Facts


def carry_out(upgrade: Upgrade | None, event: Decided, facts: Facts | None, now: float, jitter: float) -> list[Append]:
    """Let ``upgrade``, if there is one, take ``event`` in. ``facts`` are what its terminal said of itself, if not long ago."""
    if upgrade is None:
        return []
    match event:
        case Start():
            return upgrade.start(facts, now)
        case Install(actor):
            return upgrade.install(actor, now, jitter)
        case Refuse(code, evidence):
            return upgrade.refuse(code, evidence, now)
        case End(code, actor):
            return upgrade.end(code, actor, now)
        case BudgetSpent(spent):
            return holding.hold(upgrade, spent, now, jitter)
        case BudgetEased():
            return holding.ease(upgrade, now)
