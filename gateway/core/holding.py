"""A day's budget of bytes is used up: the upgrade waits for the next day and says so, and its terminal closes the transfer.

Verified segments stay, no attempt is spent, no place is taken meanwhile. ``Upgrade`` sends the order ``upgrade.hold`` while
``holding`` is set; the terminal's report ``held`` clears it.
"""

from __future__ import annotations

from typing import Final

from gateway.core.budgets import SPENT_CODES, Spent
from gateway.core.effects import Append
from gateway.core.states import Trigger, UpgradeState, allowed
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, Phase

#: Terminals go on within this time after midnight, not all at once (seconds).
SPREAD_S: Final = 900.0


def hold(upgrade: Upgrade, spent: Spent, now: float, jitter: float) -> list[Append]:
    """No more bytes today: wherever a transfer moves, or is about to be offered one, it waits for the next day."""
    until = min(max(spent.until, now) + jitter * SPREAD_S, upgrade.plan.ends_at)
    evidence = {
        "scope": spent.scope.value,
        "name": spent.name,
        "used_bytes": spent.used_bytes,
        "limit_bytes": spent.limit_bytes,
        "until_ms": int(until * 1000),
    }
    if allowed(upgrade.state, Trigger.BUDGET_SPENT):
        entries = upgrade.move(Trigger.BUDGET_SPENT, "gateway", "budget_spent", now, spent.code, evidence)
        _tell(upgrade)
    elif upgrade.state is UpgradeState.SCHEDULED and now >= upgrade.not_before:
        upgrade.code = spent.code
        entries = [upgrade.note("budget_spent", "gateway", now, spent.code, evidence)]
    else:
        return []
    upgrade.not_before = until
    return entries


def ease(upgrade: Upgrade, now: float) -> list[Append]:
    """The budget that it waited for has room again before the next day: a person has raised it."""
    if upgrade.code not in SPENT_CODES:
        return []
    if upgrade.state is UpgradeState.DEFERRED:
        return upgrade.move(Trigger.RESUME, "gateway", "budget_eased", now)
    if upgrade.state is UpgradeState.SCHEDULED:
        upgrade.not_before, upgrade.code = 0.0, Code.OK
        return [upgrade.note("budget_eased", "gateway", now, Code.OK, {})]
    return []


def remind(upgrade: Upgrade, phase: Phase) -> None:
    """A terminal's journal shows its phase: one that still wants chunks has not heard that there are none today."""
    if phase is Phase.TRANSFERRING and waits_for_budget(upgrade) and not upgrade.holding:
        _tell(upgrade)


def waits_for_budget(upgrade: Upgrade) -> bool:
    """Whether a day's budget, and not the merchant, put it off."""
    return upgrade.state is UpgradeState.DEFERRED and upgrade.code in SPENT_CODES


def _tell(upgrade: Upgrade) -> None:
    upgrade.holding = True
    upgrade.next_step()
