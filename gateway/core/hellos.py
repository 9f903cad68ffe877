"""What a hello shows of an upgrade: whether the terminal still knows it, runs the new version, or need not wait any longer."""

from __future__ import annotations

from typing import Final

from gateway.core import holding
from gateway.core.effects import Append
from gateway.core.readiness import unready
from gateway.core.states import UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import DROPPABLE, Code
from gateway.wire.messages import Facts, Hello, OpenUpgrade
from gateway.wire.ranges import RangeSet

#: States that wait for a place or for the terminal's answer to an offer; later ones learn from a refused order.
_BEFORE_ANSWER: Final = frozenset({UpgradeState.SCHEDULED, UpgradeState.OFFERED, UpgradeState.DEFERRED})
#: Waits for readiness, which facts can end.
_WAITING: Final = frozenset({UpgradeState.SCHEDULED, UpgradeState.PREPARING})
#: What ``unready`` can tell from facts alone.
_JUDGED: Final = frozenset({Code.BATTERY_LOW, Code.STORAGE_FULL, Code.IN_TRANSACTION})


def held(upgrade: Upgrade, found: OpenUpgrade) -> None:
    """The terminal's journal holds it open: it goes on from what is held there, or is told that it has ended here."""
    upgrade.have = RangeSet(found.have)
    if found.phase in DROPPABLE:
        upgrade.withdraw()
    holding.remind(upgrade, found.phase)


def shown(upgrade: Upgrade, hello: Hello, now: float) -> list[Append]:
    """Take in what the hello of a present session shows; the entries that it leaves."""
    if hello.upgrade is None and upgrade.state in _BEFORE_ANSWER and upgrade.top_seq:
        evidence = {"last_seq": upgrade.top_seq}
        upgrade.begin_anew()
        return [upgrade.note("journal_lost", "gateway", now, upgrade.code, evidence)]
    version, expected = hello.facts.components.get(upgrade.plan.target.component), upgrade.plan.target.version
    if upgrade.state is not UpgradeState.SOAKING or version == expected:
        upgrade.proven = upgrade.state is UpgradeState.SOAKING
        return _ready_again(upgrade, hello.facts, now)
    return upgrade.disprove("hello", {"version": version, "expected_version": expected}, now)


def _ready_again(upgrade: Upgrade, facts: Facts, now: float) -> list[Append]:
    """It waits for its battery, storage or merchant, and the facts show that there is nothing to wait for: ask it now.

    Without this a terminal that was charged after a minute would wait out the whole time until the next check.
    """
    if upgrade.state not in _WAITING or upgrade.code not in _JUDGED or now >= upgrade.not_before:
        return []
    if unready(facts, upgrade.plan.need):
        return []
    evidence = {"saved_s": round(upgrade.not_before - now, 3), "battery_pct": facts.battery_pct, "charging": facts.charging}
    upgrade.not_before = now
    return [upgrade.note("ready_again", "gateway", now, upgrade.code, evidence)]
